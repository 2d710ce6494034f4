"""``perfmodel cpus``: the CPUs that can be compared."""

from __future__ import annotations

from typing import Any

from perfmodel._text import significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, optional, show
from perfmodel.errors import UnsupportedPrecision

#: Formats whose peaks are listed.
_PEAKS = ("int8", "bf16", "fp32")


def cpus(format: options.OutputFormat = "table") -> None:
    """List the catalogue's CPUs, and those that the published method knows."""
    from perfmodel.machine import catalogue
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
