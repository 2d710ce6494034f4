"""``perfmodel compare``: models on CPUs, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, note, power, progress, show

if TYPE_CHECKING:
    from perfmodel.comparison import Disagreement, Ranking, Row


def compare(
    models: options.Models = None,
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            "--cpu",
            "-c",
            metavar="ID|FILE",
            help="A CPU (see perfmodel cpus) or a machine file; repeat it for several. "
            "\\[default: one of each vendor]",
        ),
    ] = None,
    precision: options.Precision = "int8",
    batch: options.Batch = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="[roofline|published]",
            help="Repeat it for both. \\[default: both, where the published one exists: INT8, "
            "batch 1, its own CPUs]",
        ),
    ] = None,
    state: options.RunState = "steady",
    runtime: options.Runtime = "compiled",
    format: options.OutputFormat = "table",
) -> None:
    """Rank CPUs by latency, model by model, and say where the two methods disagree and why."""
    from perfmodel.comparison import compare, disagreements, rankings

    with progress() as loading:
        rows = compare(
            models or None,
            cpu or None,
            precision,
            batch,
            method or None,
            state,
            runtime,
            progress=loading,
            left_out=note,
        )

    def blocks() -> list[Table | Facts]:
        return [table(rows), *summary(rankings(rows), disagreements(rows))]

    show(format, lambda: [row.to_dict() for row in rows], blocks)
    if format in ("table", "markdown"):
        for line in dict.fromkeys(text for row in rows for text in row.notes):
            note(line)


def table(rows: Sequence[Row]) -> Table:
    """One line per model and CPU, the methods' latencies side by side, fastest first.

    What is beside the latencies is the roofline method's wherever that was asked for.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.model, row.cpu), {})[row.method] = row

    latencies = [f"{m}\nms" for m in methods] if len(methods) > 1 else ["latency\nms"]
    main_method = "roofline" if "roofline" in methods else methods[0]
    scope = f"FPS to bottleneck: {main_method} method. " if len(methods) > 1 else ""
    result = Table(
        [
            Column("model", "left"),
            Column("CPU", "left"),
            *(Column(header) for header in latencies),
            Column("FPS"),
            Column("FPS/W"),
            Column("used\n%"),
            Column("cores"),
            Column("bottleneck", "left"),
        ],
        title=_title(rows),
        caption=f"{scope}FPS/W: {_power(rows, main_method)}.",
    )
    last = None
    for (model, cpu), by_method in lines.items():
        main = by_method.get("roofline") or next(iter(by_method.values()))
        result.add(
            model if model != last else "",
            cpu,
            *(significant(by_method[m].latency_ms) if m in by_method else "-" for m in methods),
            significant(main.throughput_fps),
            significant(main.fps_per_watt),
            f"{main.utilization * 100:.0f}",
            str(main.active_cores),
            f"{main.bottleneck} {percent(main.bottleneck_shares[main.bottleneck])}",
            section=model != last,
        )
        last = model
    return result


def _power(rows: Sequence[Row], method: str) -> str:
    """What power the FPS/W of each CPU are over."""
    by_basis: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.method == method:
            by_basis.setdefault(power(row.power_basis), {})[row.cpu] = None
    if len(by_basis) == 1:
        return f"over {next(iter(by_basis))}"
    return "; ".join(f"{', '.join(cpus)} over {basis}" for basis, cpus in by_basis.items())


def _title(rows: Sequence[Row]) -> str:
    row = next((row for row in rows if row.method == "roofline"), rows[0])
    parts = [row.precision.upper()]
    batches = sorted({row.batch for row in rows})
    parts.append(f"batch {', '.join(map(str, batches))}")
    if row.state is not None:
        parts += [f"{row.state} state", f"{row.runtime} runtime"]
    else:
        parts.append(f"{row.method} method")
    return ", ".join(parts)


def summary(
    rankings: Sequence[Ranking], disagreements: Sequence[Disagreement]
) -> list[Table | Facts]:
    """The rankings by model, with a reason below each model on which the methods disagree."""
    reasons = {found.model: found.reason for found in disagreements}
    lines: dict[str, list[tuple[str, ...]]] = {}
    for ranking in rankings:
        if len(ranking.cpus) > 1:
            line = (ranking.model, ranking.method, str(ranking))
            lines.setdefault(ranking.model, []).append(line)
    for model, reason in reasons.items():
        lines[model].append((model, "why", reason))
    if not lines:
        return []
    rows = [line for group in lines.values() for line in group]
    return [Facts(rows, title="Rankings by latency, relative to the fastest")]
