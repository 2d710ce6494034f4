"""``perfmodel compare``: models on CPUs, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import named_cpus, options, plotting, run_options
from perfmodel.cli.rendering import (
    Column,
    Facts,
    Table,
    certainty,
    note,
    optional,
    power,
    progress,
    show,
)

if TYPE_CHECKING:
    from perfmodel.comparison import Disagreement, Order
    from perfmodel.mapping import Result


@run_options.takes_run(run_options.HOW, run_options.SHAPE, run_options.DIVISION)
def compare(
    *,
    models: options.Models = None,
    cpu: options.Cpus = None,
    run: run_options.Run,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="[roofline|published]",
            help="Repeat it for both. [default: roofline, and published where no model is named]",
        ),
    ] = None,
    sockets: options.Sockets = 1,
    set_: options.Settings = None,
    power: Annotated[
        Literal["tdp", "modelled"],
        typer.Option("--power", help="What FPS/W are over: the vendor's rating, or the model's."),
    ] = "tdp",
    energy: Annotated[
        bool, typer.Option("--energy", help="Add joules per sample, modelled (docs/cost.md).")
    ] = False,
    plot: options.Plot = None,
    format: options.OutputFormat = "table",
) -> None:
    """Rank CPUs by latency, model by model, and say where the two methods disagree and why."""
    from perfmodel.comparison import compare, disagreements, rankings
    from perfmodel.errors import PerfmodelError

    plotting.check(plot)
    if plot is not None and method and "roofline" not in method:
        raise PerfmodelError("--plot is of the roofline method: ask for it too (--method roofline)")
    with progress() as loading:
        rows = compare(
            models or None,
            named_cpus.cpus_or_machines(cpu, set_, sockets),
            run.scenario,
            batch=run.batches,
            methods=method or None,
            allow_unmodelled=run.allow_unmodelled,
            allow_masks=run.allow_masks,
            power=power,
            energy=energy,
            progress=loading,
            left_out=note,
        )

    def blocks() -> list[Table | Facts]:
        by = "throughput" if run.scenario.divided else "latency"
        return [table(rows), *summary(rankings(rows), disagreements(rows), by)]

    show(
        format,
        lambda: [row.to_record() if format == "csv" else row.to_dict() for row in rows],
        blocks,
    )
    plotting.write(plot, lambda: plotting.of_results([r for r in rows if r.method == "roofline"]))
    if format in ("table", "markdown"):
        for line in dict.fromkeys(text for row in rows for text in row.notes):
            note(line)


def table(rows: Sequence[Result]) -> Table:
    """One line per model, batch and CPU, the methods' latencies side by side, fastest first.

    What is beside the latencies is the roofline method's wherever that was asked for.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    lines: dict[tuple[str, int, str], dict[str, Result]] = {}
    for row in rows:
        lines.setdefault((row.model, row.batch, row.cpu), {})[row.method] = row
    several = len({row.batch for row in rows}) > 1

    latencies = [f"{m}\nms" for m in methods] if len(methods) > 1 else ["latency\nms"]
    main_method = "roofline" if "roofline" in methods else methods[0]
    generating = any(row.tokens_per_s is not None for row in rows)
    energies = any(row.energy_j is not None for row in rows)
    divided = any(row.instances is not None for row in rows)
    scope = f"FPS to bottleneck: {main_method} method. " if len(methods) > 1 else ""
    result = Table(
        [
            Column("model", "left", key=True),
            *([Column("batch", key=True)] if several else []),
            Column("CPU", "left", key=True),
            *(Column(header) for header in latencies),
            *([Column("tokens/s")] if generating else []),
            Column("FPS"),
            Column("FPS/W"),
            *([Column("J per\nsample")] if energies else []),
            Column("used\n%"),
            Column("instances\nx cores" if divided else "cores"),
            Column("bottleneck", "left"),
        ],
        title=_title(rows),
        caption=f"{scope}FPS/W: {_power(rows, main_method)}."
        + (" J: of the package, modelled." if energies else "")
        + certainty(rows),
    )
    last: tuple[str, int] | tuple[()] = ()
    for (model, samples, cpu), by_method in lines.items():
        main = by_method.get("roofline") or next(iter(by_method.values()))
        result.add(
            model if model not in last else "",
            *([str(samples) if (model, samples) != last else ""] if several else []),
            cpu,
            *(significant(by_method[m].latency_ms) if m in by_method else "-" for m in methods),
            *([optional(main.tokens_per_s, significant)] if generating else []),
            significant(main.throughput_fps),
            significant(main.fps_per_watt),
            *([optional(main.energy_j, significant)] if energies else []),
            f"{main.utilization * 100:.0f}",
            f"{main.instances} x {main.cores_per_instance}" if divided else str(main.active_cores),
            f"{main.bottleneck} {percent(main.bottleneck_shares[main.bottleneck])}",
            section=(model, samples) != last,
        )
        last = (model, samples)
    return result


def _power(rows: Sequence[Result], method: str) -> str:
    """What power the FPS/W of each CPU are over."""
    by_basis: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.method == method:
            by_basis.setdefault(power(row.power_basis), {})[row.cpu] = None
    if len(by_basis) == 1:
        return f"over {next(iter(by_basis))}"
    return "; ".join(f"{', '.join(cpus)} over {basis}" for basis, cpus in by_basis.items())


def _title(rows: Sequence[Result]) -> str:
    row = next((row for row in rows if row.method == "roofline"), rows[0])
    parts = [row.precision.upper()]
    batches = sorted({row.batch for row in rows})
    parts.append(f"batch {', '.join(map(str, batches))}")
    parts += dict.fromkeys(row.phase for row in rows if row.phase is not None)
    if row.state is not None:
        parts += [f"{row.state} state", f"{row.software} software"]
    else:
        parts.append(f"{row.method} method")
    return ", ".join(parts)


def summary(
    rankings: Sequence[Order], disagreements: Sequence[Disagreement], by: str = "latency"
) -> list[Table | Facts]:
    """The rankings by model, with a reason below each model on which the methods disagree."""
    several = len({ranking.batch for ranking in rankings}) > 1
    lines: dict[tuple[str, int], list[tuple[str, ...]]] = {}
    for ranking in rankings:
        if len(ranking.cpus) > 1:
            label = f"{ranking.model}, batch {ranking.batch}" if several else ranking.model
            line = (label, ranking.method, str(ranking))
            lines.setdefault((ranking.model, ranking.batch), []).append(line)
    for found in disagreements:
        run = lines[found.model, found.roofline.batch]
        run.append((run[0][0], "why", found.reason))
    if not lines:
        return []
    rows = [line for group in lines.values() for line in group]
    return [Facts(rows, title=f"Rankings by {by}, relative to the fastest")]
