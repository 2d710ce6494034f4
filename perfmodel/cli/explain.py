"""``perfmodel explain``: where the time of one model on one CPU goes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from perfmodel._text import common_name, percent, significant
from perfmodel.cli import named_cpus, options, plotting, run_options
from perfmodel.cli.rendering import Column, Facts, Table, certainty, note, power, progress, show

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.mapping import KernelEstimate, Result
    from perfmodel.mapping.modules import Attained, Module

View: TypeAlias = Literal["kernels", "products", "modules"]

#: Kernels a table shows when --top is not given.
DEFAULT_TOP = 15


@run_options.takes_run(run_options.HOW, run_options.SHAPE, batch=run_options.Batch)
def explain(
    *,
    model: options.OneModel,
    cpu: options.OneCpu,
    run: run_options.Run,
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
    view: Annotated[
        View,
        typer.Option(
            "--view",
            help="kernels by time; products: sizes, operational intensity and rate of matrix "
            "products and convolutions; modules: the model as a tree.",
        ),
    ] = "kernels",
    depth: Annotated[
        int, typer.Option("--depth", metavar="N", min=1, help="Levels of the tree of modules.")
    ] = 3,
    plot: options.Plot = None,
    format: options.OutputFormat = "table",
) -> None:
    """Show where a model's time goes on one CPU: by kernel, by matrix product or by module.

    MFU and MBU are the shares of the peak FLOPs and of the peak memory bandwidth that the run uses.
    """
    from perfmodel.mapping import estimate
    from perfmodel.mapping.modules import attained, modules

    plotting.check(plot)
    source, batch = run.source(model), run.batch
    machine = named_cpus.one_machine(cpu, set_)
    with progress() as loading:
        loading(source.name)
        workload = source.workload(batch)
    result = estimate(workload, machine, run.scenario)
    ordered = sorted(result.kernels, key=lambda kernel: -kernel.latency_ms)
    reached = attained(result)

    def records() -> Any:
        kernels = [_record(kernel) for kernel in ordered[:top]]
        if format == "csv":
            return list(_lines(modules(result), depth)) if view == "modules" else kernels
        totals = {"flops": workload.flops, "parameters": workload.parameters}
        return {
            **result.to_dict(),
            **totals,
            **_attained(reached),
            "machine": _figures(machine),
            "kernels": kernels,
            "modules": asdict(modules(result)),
        }

    def blocks() -> list[Table | Facts]:
        heading = _heading(result, machine, workload.flops, reached)
        if view == "modules":
            return [heading, _tree(modules(result), depth)]
        groups = grouped([k for k in ordered if view == "kernels" or any(k.gemm)])
        shown = groups[: DEFAULT_TOP if top is None else top]
        table = _table(shown) if view == "kernels" else _products(shown, result, machine)
        rest = groups[len(table.rows) :]
        if rest:
            share = percent(sum(group.share for group in rest))
            kernels = sum(group.count for group in rest)
            table.caption = f"and {kernels} more kernels with {share} of the time (--top)"
        return [heading, table]

    show(format, records, blocks)
    plotting.write(plot, result.roofline)
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


def _heading(result: Result, machine: Machine, flops: int, reached: Attained) -> Facts:
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
        "roofline": _roofline(reached),
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


def _products(groups: Sequence[Group], result: Result, machine: Machine) -> Table:
    table = Table(
        [
            Column("kernel", "left", wraps=True),
            Column("engine", "left"),
            Column("format", "left"),
            Column("product\nm x n x k"),
            Column("FLOP/B"),
            Column("TFLOP/s"),
            Column("of peak\n%"),
            Column("each\nus"),
            Column("count"),
            Column("share\n%"),
        ],
        caption="FLOP/B: by all bytes it moves, at whatever level. Of peak: of its engine, on all "
        "cores.",
    )
    for group in groups:
        kernel = group.kernel
        loops, m, n, k = kernel.gemm
        fmt = kernel.format
        rate = kernel.flops / kernel.latency_ms * 1e3
        table.add(
            group.name,
            kernel.engine,
            fmt,
            f"{f'{loops} x ' if loops > 1 else ''}{m} x {n} x {k}",
            significant(kernel.intensity),
            significant(rate / 1e12),
            significant(rate / machine.peak_ops(kernel.engine, fmt) * 100),
            significant(kernel.latency_ms * 1e3),
            str(group.count),
            f"{group.share * 100:.1f}",
        )
    return table


def _tree(root: Module, depth: int) -> Table:
    table = Table(
        [
            Column("module", "left"),
            Column("count"),
            Column("kernels"),
            Column("GFLOP"),
            Column("moved\nMB"),
            Column("ms"),
            Column("share\n%"),
        ],
        caption="Count: modules that are alike; figures are of all of them. Moved: from and to the "
        "level that each tensor is in.",
    )
    for line in _lines(root, depth):
        table.add(
            "  " * line["depth"] + line["module"],
            str(line["count"]),
            str(line["kernels"]),
            significant(line["flops"] / 1e9),
            significant(line["moved_bytes"] / 1e6),
            significant(line["latency_ms"]),
            f"{line['share'] * 100:.1f}",
        )
    return table


def _lines(module: Module, depth: int, level: int = 0) -> Iterator[dict[str, Any]]:
    """Every module down to ``depth`` levels below the model, parents first."""
    yield {
        "depth": level,
        "module": module.name,
        "count": module.count,
        "kernels": module.kernels,
        "flops": module.flops,
        "moved_bytes": module.moved_bytes,
        "latency_ms": module.latency_ms,
        "share": module.share,
    }
    if level < depth:
        for child in module.children:
            yield from _lines(child, depth, level + 1)


def _record(kernel: KernelEstimate) -> dict[str, Any]:
    """One kernel in columns of one number or word each."""
    record = asdict(kernel)
    sizes = dict(zip(("gemm_loops", "gemm_m", "gemm_n", "gemm_k"), record.pop("gemm"), strict=True))
    return record | sizes


def _attained(reached: Attained) -> dict[str, Any]:
    """What the run attains, for JSON; an intensity without bytes of memory is None."""
    finite = reached.dram_bytes > 0
    return {
        "mfu": reached.mfu,
        "mbu": reached.mbu,
        "operational_intensity_flop_per_byte": reached.intensity if finite else None,
        "ridge_point_flop_per_byte": reached.ridge_point,
    }


def _roofline(reached: Attained) -> str:
    intensity = (
        f"{significant(reached.intensity)} FLOP per byte of memory"
        if reached.dram_bytes
        else "no bytes of memory"
    )
    ridge = (
        f", ridge point {significant(reached.ridge_point)} ({reached.format.upper()})"
        if reached.format
        else ""
    )
    return f"{intensity}{ridge}, MFU {percent(reached.mfu)}, MBU {percent(reached.mbu)}"
