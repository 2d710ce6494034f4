"""``perfmodel tco``: what serving a rate costs, and on which CPU it costs least."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import named_cpus, options, quantities, run_options
from perfmodel.cli.rendering import Column, Table, certainty, note, optional, show
from perfmodel.cli.searching import search_all
from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import ranges

if TYPE_CHECKING:
    from perfmodel.cost.inputs import Inputs
    from perfmodel.cost.plan import Plans
    from perfmodel.cost.tco import Demand
    from perfmodel.machine import Machine


@run_options.takes_served_run
def tco(
    *,
    model: options.OneModel,
    cpu: options.Cpus = None,
    rps: Annotated[
        float, typer.Option("--rps", metavar="N", help="Samples per second to serve, all the time.")
    ] = 10_000.0,
    max_latency: options.MaxLatency = None,
    run: run_options.Run,
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
            "--price",
            metavar="ID=PRICE",
            help='Of one CPU in USD, or of an instance as in c7i.8xlarge="1.2 USD/h", in place of '
            "the price that is listed.",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="NAME",
            help="Where instances are rented. [default: the first that has a price]",
        ),
    ] = None,
    hours: Annotated[
        float,
        typer.Option(
            "--hours-per-month",
            metavar="N",
            help="In which the rate is served: instances are given back in the others.",
        ),
    ] = 730.0,
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
    """Cost of serving a rate within a latency, bought or rented, and which is cheapest.

    Each CPU is divided into instances as perfmodel serve does. Options that are given are exact;
    all other figures with a range are sampled, as for perfmodel rank.
    """
    from perfmodel.cost.inputs import load_inputs
    from perfmodel.cost.plan import plans
    from perfmodel.cost.tco import Demand

    demand = Demand(rps, years, hours)
    limit_s = quantities.latency(max_latency)
    stated = load_inputs(inputs)
    fixed = _fixed(electricity, pue, server_price, utilization)
    machines = named_cpus.different_machines(cpu, set_, run=run.scenario)
    prices = _prices(price, {machine.id for machine in machines if machine.rental is not None})
    source = run.source(model)
    if simple:
        if any(machine.rental is not None for machine in machines):
            raise PerfmodelError("--simple: it is a form for CPUs that are bought; leave it out")
        _show_simple(machines, prices, demand, stated, fixed, format)
        return
    searched = search_all(source, machines, limit_s, run)
    result = plans(
        searched.workload,
        searched.machines,
        searched.found,
        demand,
        stated,
        given_prices=prices,
        fixed=fixed,
        region=region,
        samples=samples,
    )
    show(
        format,
        lambda: (
            [plan.to_record() for plan in result.plans] if format == "csv" else result.to_dict()
        ),
        lambda: [table(result)],
    )
    for line in (
        *result.excluded,
        *dict.fromkeys(n for each in searched.found for n in each.notes),
    ):
        note(line)


#: What :data:`ranges.RENT` is per second.
_PER_SECOND: Final = ranges.Range(ranges.RENT.least / 3600, ranges.RENT.most / 3600, " USD/s")


def _prices(given: Sequence[str] | None, rented: Collection[str]) -> dict[str, float]:
    """Prices by id: in USD of a CPU, in USD per hour of what is rented."""
    found = {}
    for text in given or ():
        cpu, equals, value = text.rpartition("=")
        if not equals or not cpu.strip():
            raise PerfmodelError(f"--price {text!r}: expected ID=PRICE, such as epyc_9654=9000")
        name = cpu.strip()
        if name in rented:
            found[name] = 3600 * quantities.quantity(
                "--price", value, "USD/s", "1.2 USD/h", _PER_SECOND, bare="USD/h"
            )
        else:
            found[name] = quantities.quantity(
                "--price", value, "USD", "9000 USD", ranges.PRICE, bare="USD"
            )
    return found


def _fixed(
    electricity: str | None, pue: float | None, server_price: str | None, utilization: float | None
) -> dict[str, float]:
    """Inputs that options state, by dotted path, in SI."""
    fixed: dict[str, float] = {}
    if electricity is not None:
        fixed["energy.price"] = quantities.quantity(
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
        fixed["server.price"] = quantities.quantity(
            "--server-price", server_price, "USD", "7000 USD", ranges.PRICE, bare="USD"
        )
    if utilization is not None:
        ranges.UTILIZATION.check("--utilization", utilization)
        fixed["service.utilization"] = utilization
    return fixed


def _dollars(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else significant(value)


def table(result: Plans) -> Table:
    """The CPUs, cheapest first; what is bought or rented only where some is."""
    from perfmodel.cost.tco import HOURS_PER_MONTH

    latency = result.max_latency_ms
    limit = "" if latency is None else f" within {significant(latency)} ms"
    hours = result.demand.hours_per_month
    rented = any(plan.rented for plan in result.plans)
    bought = not all(plan.rented for plan in result.plans)
    several = {plan.region for plan in result.plans if plan.region is not None}
    fps = "tokens/s" if result.tokens else "FPS"
    table = Table(
        [
            Column("CPU", "left", key=True),
            *([Column("paid", "left")] if rented else []),
            Column("machines\n(servers)" if rented else "sockets\n(servers)"),
            Column("instances\nx cores"),
            Column("batch"),
            Column("latency\nms"),
            Column(f"{fps} per\n{'machine' if rented else 'socket'}"),
            *([Column("W per\nsocket")] if bought else []),
            Column("idle\n%"),
            *([Column("purchase\nUSD"), Column("power\nUSD")] if bought else []),
            *([Column("rent\nUSD")] if rented else []),
            Column("total\nUSD"),
            *([Column("USD per\nmonth")] if rented else []),
            Column(f"USD per\nmillion{' tokens' if result.tokens else ''}"),
            Column("80 %\ninterval", "left"),
            Column("cheapest\n%"),
        ],
        title=f"{result.model}: {result.precision.upper()}, {result.rate:,g} {result.unit}/s{limit}"
        f" over {result.demand.years:g} years"
        + ("" if hours == HOURS_PER_MONTH else f", {hours:g} hours a month"),
        caption="Total: "
        + ("purchase with interest, power with cooling, maintenance" if bought else "")
        + ("; or " if rented and bought else "")
        + (f"rent on demand ({', '.join(sorted(several)) or 'prices as given'})" if rented else "")
        + ". Latency: of one run of a batch; perfmodel serve --rps adds waiting, and may need more "
        "machines. Idle: of the time paid for. Cheapest: share of samples."
        + (" W: package under load, modelled." if bought else "")
        + certainty([plan.served for plan in result.plans]),
    )
    for plan in result.plans:
        paid = plan.cost
        low, high = (
            optional(bound, significant) for bound in (plan.per_million_low, plan.per_million_high)
        )
        power = _dollars(float(paid.electricity) * result.demand.years)
        own = ("-", "-") if plan.rented else (_dollars(float(paid.purchase)), power)
        rent = _dollars(float(paid.rent) * result.demand.years) if plan.rented else "-"
        servers = "" if plan.rented else f" ({int(paid.servers)})"
        table.add(
            plan.cpu,
            *([plan.paid.partition(",")[0]] if rented else []),
            f"{int(paid.sockets)}{servers}",
            f"{plan.served.instances} x {plan.served.cores_per_instance}",
            str(plan.served.batch),
            significant(plan.served.latency_ms),
            significant(plan.served.throughput_fps * max(1, result.tokens)),
            *([f"{float(plan.power.package_w):.0f}"] if bought else []),
            f"{float(paid.idle_share) * 100:.0f}",
            *(own if bought else []),
            *([rent] if rented else []),
            _dollars(float(paid.total)),
            *([_dollars(float(paid.per_year) / 12)] if rented else []),
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
    from perfmodel.cost.prices import prices
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
