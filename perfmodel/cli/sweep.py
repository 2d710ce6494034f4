"""``perfmodel rank --sweep``: who leads at which size of a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel._text import significant
from perfmodel.cli import options, run_options
from perfmodel.cli.rendering import Column, Facts, Table, progress, show

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.ranking.sweep import Sweep
    from perfmodel.resolve import ModelSource


def show_sweeps(
    sources: Sequence[ModelSource],
    machines: Sequence[Machine],
    text: str,
    run: run_options.Run,
    format: options.Format,
) -> None:
    """Evaluate and print a sweep such as "batch=1:256" of every model.

    One batch may be given for a sweep over something else.

    Raises :class:`~perfmodel.errors.PerfmodelError` for several, or for one in a sweep over batch.
    """
    from perfmodel.errors import PerfmodelError
    from perfmodel.ranking.sweep import sweep, sweep_points

    dimension, points = sweep_points(text)
    batches = run.batches
    if batches and (len(batches) > 1 or dimension == "batch"):
        raise PerfmodelError(f"--sweep {text}: takes one --batch, and none where batch is swept")
    fixed = {"batch": batches[0]} if batches else None
    dimensions = (dimension, "batch") if fixed else (dimension,)
    found = []
    with progress() as loading:
        for source in sources:
            loading(source.name)
            family = source.parametric(dimensions)
            found.append(sweep(family, machines, dimension, points, run.scenario, fixed=fixed))
    show(
        format,
        lambda: (
            [row for one in found for row in _rows(one)]
            if format == "csv"
            else [one.to_dict() for one in found]
        ),
        lambda: [block for one in found for block in _blocks(one)],
    )


def _rows(found: Sweep) -> list[dict[str, object]]:
    """One record per size and CPU, for CSV."""
    return [
        {
            "model": found.model,
            "precision": found.precision,
            "dimension": found.dimension,
            "size": size,
            "cpu": cpu,
            "latency_ms": latency_ms,
            "throughput_fps": throughput_fps,
            "leads": cpu == leader,
        }
        for size, leader, latencies, throughputs in zip(
            found.points,
            found.leaders,
            found.latency_ms.tolist(),
            found.throughput_fps.tolist(),
            strict=True,
        )
        for cpu, latency_ms, throughput_fps in zip(found.cpus, latencies, throughputs, strict=True)
    ]


def _blocks(found: Sweep) -> list[Table | Facts]:
    """Latency by size and CPU, who leads, and where that changes."""
    table = Table(
        [
            Column(found.dimension),
            *(Column(f"{cpu}\nms") for cpu in found.cpus),
            Column("fastest", "left"),
        ],
        title=f"{found.model}: {found.precision.upper()}, {found.state} state, "
        f"{found.software} software",
    )
    for size, leader, latencies in zip(
        found.points, found.leaders, found.latency_ms.tolist(), strict=True
    ):
        table.add(str(size), *map(significant, latencies), leader)
    changes = [
        (f"from {found.dimension} {change.size}", f"{change.after} leads ({change.before} before)")
        for change in found.crossovers
    ]
    first, last = found.points[0], found.points[-1]
    always = (f"{found.dimension} {first} to {last}", f"{found.leaders[0]} leads throughout")
    return [table, Facts(changes or [always])]
