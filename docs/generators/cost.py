"""docs/cost.md: power, energy and cost, with examples and every figure they rest on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from perfmodel._text import significant
from perfmodel.cli.rendering import Column, Table
from perfmodel.cli.tco import table
from perfmodel.comparison import DEFAULT_CPUS
from perfmodel.cost.inputs import PREFIX as COST
from perfmodel.cost.inputs import load_inputs
from perfmodel.cost.plan import plans
from perfmodel.cost.power import PREFIX as ENERGY
from perfmodel.cost.power import figures, package_power
from perfmodel.cost.tco import Demand, simple_cost
from perfmodel.figures.quantity import factor
from perfmodel.machine import Figure, load_machine
from perfmodel.mapping import estimate
from perfmodel.resolve import resolve_model
from perfmodel.serving import search
from perfmodel.serving.searching import BATCHES

MODEL: Final = "resnet50"
RATE: Final = 10_000.0
LIMIT_S: Final = 0.05
#: CPU, and the price its published three-year figure holds, in USD.
PUBLISHED: Final = (("ampereone_192", 5000.0), ("xeon_8490h", 11600.0), ("epyc_9654", 11805.0))
TEXT: Final = Path(__file__).with_name("cost.md")

#: Units that people write instead of the SI ones: SI unit -> unit.
_SHOWN: Final = {"J/op": "pJ/op", "J/B": "pJ/B", "USD/J": "USD/kWh", "W": "W", "USD": "USD"}


def power() -> str:
    """Watts and joules of one instance on all cores."""
    found = Table(
        [
            Column("CPU", "left"),
            Column("precision", "left"),
            *(Column(f"{part}\nW") for part in ("idle", "active", "operations", "traffic")),
            Column("package\nW"),
            Column("of rating\n%"),
            Column("J per\nsample"),
        ]
    )
    workload = resolve_model(MODEL).workload(1)
    for cpu in DEFAULT_CPUS:
        machine = load_machine(cpu)
        for precision in ("int8", "fp32"):
            each = package_power(estimate(workload, machine, precision), machine)
            parts = (each.idle_w, each.active_w, each.operations_w, each.traffic_w)
            package = float(each.package_w)
            found.add(
                cpu,
                precision,
                *(f"{float(part):.1f}" for part in parts),
                f"{package:.0f}",
                f"{package / machine.power.tdp.typical * 100:.0f}",
                significant(float(each.energy_j)),
            )
    return found.markdown()


def costs() -> str:
    """The example of ``perfmodel tco``."""
    source = resolve_model(MODEL)
    source.prepare(BATCHES)
    at_batch = functools.cache(source.workload)
    machines = [load_machine(cpu) for cpu in DEFAULT_CPUS]
    found = [search(at_batch, machine, max_latency_s=LIMIT_S) for machine in machines]
    return table(plans(at_batch, machines, found, Demand(RATE, 3), load_inputs())).markdown()


def published() -> str:
    """The published three-year figures, from the prices that give them."""
    found = Table(
        [
            Column("CPU", "left"),
            Column("price USD"),
            Column("rated W"),
            Column("power USD"),
            Column("total USD"),
            Column("list price USD"),
        ]
    )
    electricity = 0.10 * factor("USD/kWh", "USD/J")
    for cpu, price in PUBLISHED:
        machine = load_machine(cpu)
        assert machine.price.launch is not None
        rating = machine.power.tdp.typical
        each = simple_cost(price, rating, 3, electricity)
        found.add(
            cpu,
            f"{price:,.0f}",
            f"{rating:g}",
            f"{each.power:,.0f}",
            f"{each.total:,.0f}",
            f"{machine.price.launch.typical:,.0f}",
        )
    return found.markdown()


def inputs(named: dict[str, Figure], prefix: str) -> str:
    """Figures with their ranges and sources."""
    found = Table(
        [
            Column("figure", "left"),
            Column("typical"),
            Column("range", "left"),
            Column("confidence", "left"),
            Column("source", "left"),
        ]
    )
    for path, figure in named.items():
        unit = _SHOWN.get(figure.unit, figure.unit)
        scale = factor(figure.unit, unit) if figure.unit else 1.0
        low, typical, high = (
            f"{value * scale:.6g}" for value in (figure.low, figure.typical, figure.high)
        )
        found.add(
            f"`{path.removeprefix(prefix)}`",
            f"{typical} {unit}".strip(),
            f"{low} to {high}" if figure.is_range else "",
            figure.confidence,
            figure.source,
        )
    return found.markdown()


def render() -> str:
    """The whole document."""
    return TEXT.read_text(encoding="utf-8").format(
        power=power(),
        costs=costs(),
        published=published(),
        energies=inputs(figures(), ENERGY),
        inputs=inputs(load_inputs().figures(), COST),
    )
