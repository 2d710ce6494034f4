"""``perfmodel explore``: a space of models, machines and figures, and what is best in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfmodel._text import significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, note, show

if TYPE_CHECKING:
    from perfmodel.exploration import Results
    from perfmodel.exploration.exploring import Progress

#: Rows of the front that a table shows.
_SHOWN = 20
#: Seconds between two lines of progress where stderr is no terminal.
_PAUSE = 30.0


def explore(
    *,
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE.toml|RESULTS",
            help="What to explore (docs/explore.md), or a folder of results to look at again.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where results go, as Parquet."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what is in that folder.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Of a Dask cluster, such as tcp://10.0.0.1:8786. [default: threads of this "
            "process]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, help="Threads. [default: one a core, at most 8]"
        ),
    ] = None,
    minimise: Annotated[
        list[str] | None,
        typer.Option("--minimise", metavar="COLUMN", help="In place of the space's; repeat it."),
    ] = None,
    maximise: Annotated[
        list[str] | None,
        typer.Option("--maximise", metavar="COLUMN", help="In place of the space's; repeat it."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="More than 100 million points are meant.")
    ] = False,
    format: options.OutputFormat = "table",
) -> None:
    """Evaluate models, CPUs, software and figures by the million, and show what is best.

    Results are Parquet files in a folder, one for each chunk, so that a run that was stopped can be
    resumed, and repeated bit by bit. The table is the Pareto front: what nothing beats in every
    column that is minimised or maximised.
    """
    from perfmodel.errors import PerfmodelError
    from perfmodel.exploration import explore as run
    from perfmodel.exploration import open_results

    if Path(space).is_dir():
        results = open_results(space)
    elif not Path(space).exists():
        raise PerfmodelError(f"{space}: no such file, and no folder of results")
    elif output is None:
        raise PerfmodelError("--output: say in which folder results go")
    else:
        with _progress() as tell:
            results = run(
                space,
                output,
                resume=resume,
                yes=yes,
                scheduler=scheduler,
                workers=workers,
                tell=tell,
            )
    front = results.front(minimise, maximise)
    objectives = (
        results.minimise if minimise is None else minimise,
        results.maximise if maximise is None else maximise,
    )
    show(
        format,
        lambda: front,
        lambda: [_facts(results), _front(results, front, *objectives), *_moves(results)],
    )
    if len(front) > _SHOWN and format in ("table", "markdown"):
        note(f"all {len(front):,} rows of the front: --format json or csv")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """What shows how far it is: one line that changes, or a line now and then to a file."""
    last, terminal = time.monotonic(), sys.stderr.isatty()

    def tell(progress: Progress) -> None:
        nonlocal last
        left = progress.seconds_left
        time_left = "" if left is None else f", {left:,.0f} s left"
        line = f"{progress.done:,} of {progress.points:,} points{time_left}"
        if terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
        elif time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            note(line)

    try:
        yield tell
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")


def _facts(results: Results) -> Facts:
    rows = results.rows
    kept = f"{results.points:,} points" + (
        f", {rows:,} of them within the constraints" if rows != results.points else ""
    )
    return Facts([("results", str(results.folder)), ("space", kept)])


def _front(
    results: Results,
    front: Sequence[Mapping[str, Any]],
    minimise: Sequence[str],
    maximise: Sequence[str],
) -> Table:
    numbers = list(dict.fromkeys([*minimise, *maximise, *results.figures]))
    varying = results.varying
    alike = _as_good(front, (*varying, *minimise, *maximise))
    several = any(count > 1 for _, count in alike)
    table = Table(
        [
            *(Column(name, "left") for name in varying),
            *(Column(n) for n in numbers),
            *([Column("as good")] if several else []),
        ],
        title="Pareto front",
        caption="Figures are in SI units. Low is good: "
        f"{', '.join(minimise) or '-'}; high: {', '.join(maximise) or '-'}."
        + (" As good: rows of other figures that reach the same." if several else ""),
    )
    for row, count in alike[:_SHOWN]:
        table.add(
            *(str(row[name]) for name in varying),
            *("-" if row.get(name) is None else significant(row[name]) for name in numbers),
            *([f"{count - 1:,}"] if several else []),
        )
    return table


def _as_good(
    front: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> list[tuple[Mapping[str, Any], int]]:
    """The first row of each value of these columns, and how many rows have it."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in front:
        alike.setdefault(tuple(row[name] for name in columns), []).append(row)
    return [(rows[0], len(rows)) for rows in alike.values()]


def _moves(results: Results) -> Iterator[Table]:
    moved = results.tornado()
    if not moved:
        return
    table = Table(
        [Column("figure", "left"), Column("low"), Column("high"), Column("high/low")],
        title="What moves the latency",
        caption="Median latency in ms where the figure is in its lowest and its highest tenth: the "
        "geometric mean over models, CPUs, software, precisions and batches.",
    )
    for figure, low, high in moved:
        table.add(figure, significant(low), significant(high), f"{high / low:.3f}")
    yield table
