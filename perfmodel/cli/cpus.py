"""``perfmodel cpus``: the CPUs that can be compared, their figures, and checking one's own file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfmodel._text import significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, optional, show
from perfmodel.errors import PerfmodelError, UnsupportedPrecision

if TYPE_CHECKING:
    from perfmodel.machine import Machine

#: Formats whose peaks are listed.
_PEAKS = ("int8", "bf16", "fp32")


def cpus(
    format: options.OutputFormat = "table",
    sources: Annotated[
        str | None,
        typer.Option(
            "--sources", metavar="ID|FILE", help="Every figure of one CPU, with where it is from."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE", help="Validate a machine file; show what follows."),
    ] = None,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="List instances of cloud providers with their prices."),
    ] = False,
) -> None:
    """List the catalogue's CPUs, and those that the published method knows."""
    from perfmodel.machine import catalogue, load_machine

    if (sources is not None) + (check is not None) + instances > 1:
        raise PerfmodelError(
            "--sources, --check and --instances exclude each other; run one after the other"
        )
    if instances:
        from perfmodel.cli.instances import show_instances

        show_instances(format)
        return
    if sources is not None:
        _show_sources(format, load_machine(sources))
        return
    if check is not None:
        _show_derived(format, load_machine(check), check)
        return
    from perfmodel.published import CPUS as published

    records = [_record(id, id in published) for id in catalogue()]

    def objects() -> list[dict[str, Any]]:
        # The published method's figures are its own and stay there.
        only = [cpu for id, cpu in published.items() if id not in catalogue()]
        empty = dict.fromkeys(records[0])
        return records + [
            empty | {"id": cpu.id, "name": cpu.label, "methods": ["published"]} for cpu in only
        ]

    def blocks() -> list[Table | Facts]:
        return [_table(records), Facts([("CPUs of the published method", ", ".join(published))])]

    show(format, objects, blocks)


def _show_sources(format: str, machine: Machine) -> None:
    """Every figure: path, value with range, confidence, source."""
    from perfmodel.figures.figure import CONFIDENCES

    figures = machine.figures()

    def records() -> list[dict[str, Any]]:
        return [
            {
                "path": path,
                "low": figure.low,
                "typical": figure.typical,
                "high": figure.high,
                "unit": figure.unit,
                "confidence": figure.confidence,
                "source": figure.source,
            }
            for path, figure in figures.items()
        ]

    def blocks() -> list[Table]:
        letters = sorted({figure.confidence for figure in figures.values()})
        table = Table(
            [
                Column("figure", "left", wraps=True),
                Column("value", "left", wraps=True),
                Column("", "left"),
                Column("source", "left", wraps=True),
            ],
            title=machine.name,
            caption="; ".join(f"{letter}: {CONFIDENCES[letter]}" for letter in letters) + ".",
        )
        for path, figure in figures.items():
            table.add(path, str(figure), figure.confidence, figure.source)
        return [table]

    show(format, records, blocks)


def _show_derived(format: str, machine: Machine, file: Path) -> None:
    """What follows from a machine file that is valid, and what it takes over from another."""
    from perfmodel.machine.inheritance import inheritance
    from perfmodel.mapping import mapper_for

    mapper_for(machine)  # Engines that no mapper knows are an error of the file, too.
    # FILE:SIZE names an instance, which rests on nothing but its CPU.
    figures, taken = machine.figures(), inheritance(file) if file.is_file() else None
    peaks = {
        f"{name} {fmt}": machine.peak_ops(name, fmt) / 1e12
        for name, engine in machine.core.engines.items()
        for fmt in engine.ops_per_cycle
    }
    record = {
        "id": machine.id,
        "name": machine.name,
        "figures": len(figures),
        "figures_with_range": sum(figure.is_range for figure in figures.values()),
        "peak_bandwidth_gb_s": machine.peak_bandwidth / 1e9,
        "sustained_bandwidth_gb_s": machine.sustained_bandwidth / 1e9,
        "l3_per_domain_mib": machine.l3_per_domain / 2**20,
        "cores_per_domain": machine.cores_per_domain,
        "numa_domains": machine.numa_domains,
        "peak_tera_ops_s": peaks,
        "base": None if taken is None else taken.base,
        "inherited": [] if taken is None else list(taken.figures),
        "warnings": [] if taken is None else list(taken.doubts),
    }

    def blocks() -> list[Facts]:
        domains = machine.cache.l3_domains.typical
        facts = [
            ("figures", f"{record['figures']}, {record['figures_with_range']} of them ranges"),
            *((f"peak {name.upper()}", f"{significant(p)} TOP/s") for name, p in peaks.items()),
            ("DRAM peak", f"{machine.peak_bandwidth / 1e9:.1f} GB/s"),
            ("DRAM sustained", f"{machine.sustained_bandwidth / 1e9:.1f} GB/s"),
            (
                "last-level cache",
                f"{domains:.0f} x {machine.l3_per_domain / 2**20:g} MiB, each for "
                f"{machine.cores_per_domain} cores",
            ),
        ]
        if machine.numa_domains > 1:
            part = (
                f"{machine.cores_per_numa_domain} cores, "
                f"{machine.l3_per_numa_domain / 2**20:g} MiB of L3, "
                f"{machine.bandwidth_per_numa_domain / 1e9:.1f} GB/s"
            )
            facts.append(("NUMA domains", f"{machine.numa_domains} of {part} each"))
        if taken is not None:
            facts.append((f"inherited from {taken.base}", _by_table(figures, taken.figures)))
            if taken.left_out is not None:
                facts.append(("left out", f"price.launch, {taken.left_out}, is of {taken.base}"))
            facts += [("warning", doubt) for doubt in taken.doubts]
        return [Facts(facts, title=f"{machine.id} is valid: {machine.name}")]

    show(format, lambda: [record] if format == "csv" else record, blocks)


def _by_table(figures: Collection[str], taken: Collection[str]) -> str:
    """``clock, core, power.idle``: tables that are taken over whole, else their figures."""
    tables = {path.partition(".")[0] for path in taken}
    named = []
    for table in sorted(tables):
        own = [path for path in figures if path.startswith(f"{table}.")]
        ours = [path for path in taken if path.startswith(f"{table}.")]
        named += [table] if len(own) == len(ours) else ours
    return ", ".join(named)


def _record(id: str, in_published: bool) -> dict[str, Any]:
    from perfmodel.machine import load_machine

    machine = load_machine(id)

    def peak(fmt: str) -> float | None:
        try:
            return machine.best_peak(fmt) / 1e12
        except UnsupportedPrecision:
            return None

    launch = machine.price.launch
    return {
        "id": machine.id,
        "name": machine.name,
        "methods": ["roofline", "published"] if in_published else ["roofline"],
        "cores": int(machine.cores.count.typical),
        "clock_ghz": machine.clock.sustained.typical / 1e9,
        "engines": list(machine.core.engines),
        **{f"peak_{fmt}_tera_ops_s": peak(fmt) for fmt in _PEAKS},
        "peak_bandwidth_gb_s": machine.peak_bandwidth / 1e9,
        "sustained_bandwidth_gb_s": machine.sustained_bandwidth / 1e9,
        "tdp_w": machine.power.tdp.typical,
        "launch_price_usd": None if launch is None else launch.typical,
    }


def _table(records: list[dict[str, Any]]) -> Table:
    table = Table(
        [
            Column("id", "left"),
            Column("name", "left", wraps=True),
            Column("cores"),
            Column("clock\nGHz"),
            Column("engines", "left", wraps=True),
            *(Column(f"peak {fmt.upper()}\nTOP/s") for fmt in _PEAKS),
            Column("DRAM\nGB/s"),
            Column("TDP\nW"),
            Column("list\nUSD"),
        ],
        caption="Clocks: sustained, all cores. Peaks: at the clock of the engine, a multiply-"
        "accumulate being 2 operations. DRAM: peak.",
    )
    for record in records:
        table.add(
            record["id"],
            record["name"],
            str(record["cores"]),
            f"{record['clock_ghz']:.2f}",
            " ".join(record["engines"]),
            *(optional(record[f"peak_{fmt}_tera_ops_s"], significant) for fmt in _PEAKS),
            f"{record['peak_bandwidth_gb_s']:.1f}",
            f"{record['tdp_w']:.0f}",
            optional(record["launch_price_usd"], lambda price: f"{price:,.0f}"),
        )
    return table
