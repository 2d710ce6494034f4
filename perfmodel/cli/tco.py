"""``perfmodel tco``: what serving a rate costs, and on which CPU it costs least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Table, certainty, note, optional, show
from perfmodel.cli.searching import search_all
from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import ranges

if TYPE_CHECKING:
    from perfmodel.cost.inputs import Inputs
    from perfmodel.cost.plan import Plans
    from perfmodel.cost.tco import Demand
    from perfmodel.machine import Machine


@options.takes_served_run
def tco(
    *,
    model: options.OneModel,
    cpu: options.Cpus = None,
    rps: Annotated[
        float, typer.Option("--rps", metavar="N", help="Samples per second to serve, all the time.")
    ] = 10_000.0,
    max_latency: options.MaxLatency = None,
    run: options.Run,
    years: Annotated[
        float, typer.Option("--years", metavar="N", help="Until everything is paid off.")
    ] = 3.0,
    electricity: Annotated[
        str | None,
        typer.Option("--electricity", metavar="PRICE", help="In USD/kWh. [default: 0.12]"),
    ] = None,
    pue: Annotated[
        float | None,
        typer.Option(
            "--pue",
            metavar="N",
            help="Power of the data centre over its servers'. [default: 1.4]",
        ),
    ] = None,
    server_price: Annotated[
        str | None,
        typer.Option(
            "--server-price", metavar="PRICE", help="Without CPUs, in USD. [default: 7000]"
        ),
    ] = None,
    utilization: Annotated[
        float | None,
        typer.Option(
            "--utilization",
            metavar="SHARE",
            help="Share of the throughput that is planned for. [default: 0.7]",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price", metavar="ID=PRICE", help="Of one CPU in USD, in place of its list price."
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs", metavar="FILE.toml", help="Prices and rates of your own (docs/cost.md)."
        ),
    ] = None,
    set_: options.Settings = None,
    samples: options.Samples = 1024,
    simple: Annotated[
        bool,
        typer.Option(
            "--simple",
            help="Price and rated power of one CPU alone: no server, cooling, interest or "
            "maintenance.",
        ),
    ] = False,
    format: options.OutputFormat = "table",
) -> None:
    """Cost of serving a rate within a latency, by CPU, and how sure it is which is cheapest.

    Each CPU is divided into instances as perfmodel serve does. Options that are given are exact;
    all other figures with a range are sampled, as for perfmodel rank.
    """
    from perfmodel.cost.inputs import load_inputs
    from perfmodel.cost.plan import plans
    from perfmodel.cost.tco import Demand

    demand = Demand(rps, years)
    limit_s = options.latency(max_latency)
    prices = _prices(price)
    stated = load_inputs(inputs)
    fixed = _fixed(electricity, pue, server_price, utilization)
    machines = options.different_machines(cpu, set_)
    source = run.source(model)
    if simple:
        _show_simple(machines, prices, demand, stated, fixed, format)
        return
    found, at_batch = search_all(source, machines, limit_s, run)
    result = plans(
        at_batch,
        machines,
        found,
        demand,
        stated,
        given_prices=prices,
        fixed=fixed,
        samples=samples,
    )
    show(
        format,
        lambda: (
            [plan.to_record() for plan in result.plans] if format == "csv" else result.to_dict()
        ),
        lambda: [table(result)],
    )
    for line in (*result.excluded, *dict.fromkeys(text for each in found for text in each.notes)):
        note(line)


def _prices(given: Sequence[str] | None) -> dict[str, float]:
    """Prices in USD by CPU id."""
    found = {}
    for text in given or ():
        cpu, equals, value = text.rpartition("=")
        if not equals or not cpu.strip():
            raise PerfmodelError(f"--price {text!r}: expected ID=PRICE, such as epyc_9654=9000")
        found[cpu.strip()] = options.quantity(
            "--price", value, "USD", "9000 USD", ranges.PRICE, bare="USD"
        )
    return found


def _fixed(
    electricity: str | None, pue: float | None, server_price: str | None, utilization: float | None
) -> dict[str, float]:
    """Inputs that options state, by dotted path, in SI."""
    fixed: dict[str, float] = {}
    if electricity is not None:
        fixed["energy.price"] = options.quantity(
            "--electricity",
            electricity,
            "USD/J",
            "0.12 USD/kWh",
            ranges.ELECTRICITY,
            bare="USD/kWh",
        )
    if pue is not None:
        ranges.PUE.check("--pue", pue)
        fixed["energy.pue"] = pue
    if server_price is not None:
        fixed["server.price"] = options.quantity(
            "--server-price", server_price, "USD", "7000 USD", ranges.PRICE, bare="USD"
        )
    if utilization is not None:
        ranges.UTILIZATION.check("--utilization", utilization)
        fixed["service.utilization"] = utilization
    return fixed


def _dollars(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else significant(value)


def table(result: Plans) -> Table:
    """The CPUs, cheapest first."""
    latency = result.max_latency_ms
    limit = "" if latency is None else f" within {significant(latency)} ms"
    table = Table(
        [
            Column("CPU", "left"),
            Column("sockets\n(servers)"),
            Column("instances\nx cores"),
            Column("batch"),
            Column("FPS per\nsocket"),
            Column("W per\nsocket"),
            Column("purchase\nUSD"),
            Column("power\nUSD"),
            Column("total\nUSD"),
            Column("USD per\nmillion"),
            Column("80 %\ninterval", "left"),
            Column("cheapest\n%"),
        ],
        title=f"{result.model}: {result.precision.upper()}, {result.demand.rate:,g} samples/s"
        f"{limit} over {result.demand.years:g} years",
        caption="Total: purchase with interest, power with cooling, maintenance. W: package under "
        "load, modelled. Cheapest: share of samples."
        + certainty([plan.served for plan in result.plans]),
    )
    for plan in result.plans:
        paid = plan.cost
        low, high = (
            optional(bound, significant) for bound in (plan.per_million_low, plan.per_million_high)
        )
        table.add(
            plan.cpu,
            f"{int(paid.sockets)} ({int(paid.servers)})",
            f"{plan.served.instances} x {plan.served.cores_per_instance}",
            str(plan.served.batch),
            significant(plan.served.throughput_fps),
            f"{float(plan.power.package_w):.0f}",
            _dollars(float(paid.purchase)),
            _dollars(float(paid.electricity) * result.demand.years),
            _dollars(float(paid.total)),
            significant(float(paid.per_million)),
            f"{low} to {high}",
            percent(plan.cheapest).removesuffix(" %"),
        )
    return table


def _show_simple(
    machines: Sequence[Machine],
    given: dict[str, float],
    demand: Demand,
    stated: Inputs,
    fixed: dict[str, float],
    format: str,
) -> None:
    """Price and rated power of one CPU each."""
    from perfmodel.cost.plan import prices
    from perfmodel.cost.tco import simple_cost

    price_of, unpriced = prices(machines, given)
    rate = fixed.get("energy.price", stated.energy.price.typical)
    found = {
        machine.id: simple_cost(price_of[machine.id], machine.power.tdp.typical, demand.years, rate)
        for machine in machines
        if machine.id in price_of
    }
    ordered = sorted(found.items(), key=lambda item: item[1].total)

    def simple_table() -> Table:
        result = Table(
            [
                Column("CPU", "left"),
                Column("price\nUSD"),
                Column("power\nUSD"),
                Column("total\nUSD"),
            ],
            title=f"One CPU over {demand.years:g} years, simple form",
            caption="Price and rated power alone: no server, cooling, interest or maintenance, and "
            "no account of how much the CPU serves.",
        )
        for cpu, each in ordered:
            result.add(cpu, _dollars(each.price), _dollars(each.power), _dollars(each.total))
        return result

    def records() -> list[dict[str, object]]:
        return [
            {
                "cpu": cpu,
                "price_usd": each.price,
                "power_usd": each.power,
                "total_usd": each.total,
                "years": demand.years,
            }
            for cpu, each in ordered
        ]

    show(format, records, lambda: [simple_table()])
    for line in unpriced:
        note(line)
