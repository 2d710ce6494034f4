"""``perfmodel diff``: two saved runs, or both sides of a Git range, held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from perfmodel.cli.rendering import emit, json_text
from perfmodel.errors import PerfmodelError

#: Exit codes: nothing moved beyond what is allowed; something did. 2 is any error.
SAME, MOVED = 0, 1

Format = Literal["table", "markdown", "json", "html"]


def diff(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="OLD NEW | A..B",
            help="Two files of pytest --perfmodel-results (or folders of snapshots), or a Git range"
            " whose two sides are traced in work trees of their own (A...B: from the merge base).",
            show_default=False,
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            "-m",
            metavar="MODEL",
            help="Of a Git range: a factory (FILE.py:FUNCTION), file or name; repeat it.",
        ),
    ] = None,
    cpu: Annotated[
        list[str] | None,
        typer.Option("--cpu", "-c", metavar="ID|FILE", help="Of a Git range: a CPU; repeat it."),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", "-p", metavar="P", help="Of a Git range; repeat it."),
    ] = None,
    software: Annotated[
        str | None, typer.Option("--software", metavar="NAME|FILE", help="Of a Git range.")
    ] = None,
    fail_above: Annotated[
        str | None,
        typer.Option(
            "--fail-above",
            metavar="SHARE",
            help="Exit with 1 only for an increase of latency above this (5%). "
            "\\[default: for any difference]",
        ),
    ] = None,
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="table, markdown (for a pull request), json, or html (one page).",
        ),
    ] = "table",
) -> None:
    """Compare two runs: what moved, and which figure, layer or engine moved it.

    Exits with 0 where nothing moved beyond what is allowed, with 1 where something did or a model
    that worked now fails, with 2 where that cannot be said.
    """
    from perfmodel.guard import rendering
    from perfmodel.guard.difference import compare_results, moved_beyond, of_range, read
    from perfmodel.guard.gitrange import is_range
    from perfmodel.guard.tolerance import share

    limit = None if fail_above is None else share(fail_above, "--fail-above")
    if len(runs) == 1 and is_range(runs[0]):
        old, new = of_range(runs[0], models, cpu, precision, software)
    elif len(runs) == 2:
        if models or cpu or precision:
            raise PerfmodelError("--models, --cpu and --precision belong to a Git range A..B")
        old, new = (read(Path(run)) for run in runs)
    else:
        raise PerfmodelError(
            f"expected two saved runs, or one Git range such as main..HEAD; found {' '.join(runs)}"
        )
    report = compare_results(old, new, limit)
    if format == "json":
        emit(json_text(report.to_dict()))
    elif format == "markdown":
        emit(rendering.markdown(report))
    elif format == "html":
        emit(rendering.page(report))
    else:
        emit(rendering.text(report))
    raise typer.Exit(MOVED if moved_beyond(report, limit) else SAME)
