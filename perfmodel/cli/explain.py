"""``perfmodel explain``: where the time of one model on one CPU goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, certainty, note, power, progress, show

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.mapping import KernelEstimate, Result

#: Kernels a table shows when --top is not given.
DEFAULT_TOP = 15


@options.takes_run(options.HOW, options.SHAPE, batch=options.Batch)
def explain(
    *,
    model: options.OneModel,
    cpu: options.OneCpu,
    run: options.Run,
    set_: options.Settings = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            "-n",
            metavar="N",
            min=1,
            help=f"Kernels to show. [default: {DEFAULT_TOP} in a table, all in json and csv]",
        ),
    ] = None,
    format: options.OutputFormat = "table",
) -> None:
    """Show a model's kernels by time on one CPU: engine, cores, level, bound and share."""
    from perfmodel.mapping import estimate

    source, batch = run.source(model), run.batch
    machine = options.one_machine(cpu, set_)
    with progress() as loading:
        loading(source.name)
        workload = source.workload(batch)
    result = estimate(workload, machine, run.scenario)
    ordered = sorted(result.kernels, key=lambda kernel: -kernel.latency_ms)

    def records() -> Any:
        kernels = [asdict(kernel) for kernel in ordered[:top]]
        if format == "csv":
            return kernels
        totals = {"flops": workload.flops, "parameters": workload.parameters}
        return {**result.to_dict(), **totals, "machine": _figures(machine), "kernels": kernels}

    def blocks() -> list[Table | Facts]:
        groups = grouped(ordered)
        table = _table(groups[: DEFAULT_TOP if top is None else top])
        rest = groups[len(table.rows) :]
        if rest:
            share = percent(sum(group.share for group in rest))
            kernels = sum(group.count for group in rest)
            table.caption = f"and {kernels} more kernels with {share} of the time (--top)"
        return [_heading(result, machine, workload.flops), table]

    show(format, records, blocks)
    if format in ("table", "markdown"):
        for line in result.notes:
            note(line)


@dataclass(frozen=True)
class Group:
    """Kernels that are alike in everything but their place in the model."""

    name: str
    count: int
    kernel: KernelEstimate

    @property
    def latency_ms(self) -> float:
        """Of all of them together."""
        return self.count * self.kernel.latency_ms

    @property
    def share(self) -> float:
        """Of all of them together, in the model's latency."""
        return self.count * self.kernel.share


def grouped(kernels: Sequence[KernelEstimate]) -> list[Group]:
    """Repeated layers as one group each, longest first.

    Kernels are alike if their estimates are equal and their names differ in numbers alone.
    """
    alike: dict[Any, list[KernelEstimate]] = {}
    for kernel in kernels:
        values = asdict(kernel)
        key = (re.sub(r"\d+", "#", values.pop("name")), *values.values())
        alike.setdefault(key, []).append(kernel)
    groups = [
        Group(common_name([kernel.name for kernel in same]), len(same), same[0])
        for same in alike.values()
    ]
    return sorted(groups, key=lambda group: -group.latency_ms)


def common_name(names: Sequence[str]) -> str:
    """Names that differ in numbers alone, as one: a number that differs becomes ``*``."""
    parts = [re.split(r"(\d+)", name) for name in names]
    return "".join(same[0] if len(set(same)) == 1 else "*" for same in zip(*parts, strict=True))


def _figures(machine: Machine) -> dict[str, Any]:
    """The machine's figures that decide most, units in the keys."""
    peaks = {
        f"{name}_{fmt}": machine.peak_ops(name, fmt) / 1e12
        for name, engine in machine.core.engines.items()
        for fmt in engine.ops_per_cycle
    }
    return {
        "id": machine.id,
        "name": machine.name,
        "cores": int(machine.cores.count.typical),
        "clock_ghz": {
            name: machine.engine_clock(name).typical / 1e9 for name in machine.core.engines
        },
        "peak_tera_ops_s": peaks,
        "l2_per_core_mib": machine.cache.l2.typical / 2**20,
        "l3_mib": machine.cache.l3.typical / 2**20,
        "l3_domains": int(machine.cache.l3_domains.typical),
        "sustained_bandwidth_gb_s": machine.sustained_bandwidth / 1e9,
        "tdp_w": machine.power.tdp.typical,
    }


def _heading(result: Result, machine: Machine, flops: int) -> Facts:
    """Totals, bottleneck shares and the machine, a line each."""
    tera_flops = flops / result.latency_ms / 1e9
    shares = ", ".join(
        f"{label} {percent(share)}"
        for label, share in sorted(result.bottleneck_shares.items(), key=lambda item: -item[1])
        if share > 0
    )
    figures = _figures(machine)
    domains = figures["l3_domains"]
    l3 = f"L3 {significant(figures['l3_mib'])} MiB" + (
        f" in {domains} parts" if domains > 1 else ""
    )
    engines = ", ".join(
        f"{name} {figures['clock_ghz'][name]:.2f} GHz ("
        + ", ".join(
            f"{fmt.upper()} {significant(figures['peak_tera_ops_s'][f'{name}_{fmt}'])}"
            for fmt in engine.ops_per_cycle
            if fmt != "fp64"
        )
        + " TOP/s)"
        for name, engine in machine.core.engines.items()
    )
    phase = "" if result.phase is None else f"{result.phase}, "
    rate = "" if result.tokens_per_s is None else f"{significant(result.tokens_per_s)} tokens/s, "
    lines = {
        "run": f"{result.model} on {machine.name}: {result.precision.upper()}, batch "
        f"{result.batch}, {phase}{result.state} state, {result.software} software",
        "total": f"{significant(result.latency_ms)} ms, {rate}"
        f"{significant(result.throughput_fps)} FPS, {significant(result.fps_per_watt)} FPS/W over "
        f"{power(result.power_basis)}, "
        f"{significant(flops / 1e9)} GFLOP at {significant(tera_flops)} TFLOP/s, "
        f"{percent(result.utilization)} utilised, {significant(result.mean_active_cores)} cores on "
        "average",
        "time": shares,
        "estimate": certainty([result]).strip().rstrip("."),
        "machine": f"{figures['cores']} cores, {engines}, L2 "
        f"{significant(figures['l2_per_core_mib'], 1)} MiB per core, {l3}, DRAM "
        f"{significant(figures['sustained_bandwidth_gb_s'])} GB/s sustained",
    }
    return Facts(list(lines.items()))


def _table(groups: Sequence[Group]) -> Table:
    table = Table(
        [
            Column("kernel", "left", wraps=True),
            Column("operators", "left", wraps=True),
            Column("engine", "left"),
            Column("cores"),
            Column("level", "left"),
            Column("bound", "left"),
            Column("each\nus"),
            Column("count"),
            Column("total\nms"),
            Column("share\n%"),
        ]
    )
    for group in groups:
        kernel = group.kernel
        table.add(
            # The operator that ends a kernel's name is in the next column too.
            re.sub(r"/\w+(#\d+)?$", r"\1", group.name),
            kernel.operator.replace("aten.", "").replace("+", " + "),
            kernel.engine,
            str(kernel.cores),
            kernel.level,
            kernel.bound,
            significant(kernel.latency_ms * 1e3),
            str(group.count),
            significant(group.latency_ms),
            f"{group.share * 100:.1f}",
        )
    return table
