"""``perfmodel trace``: a model's workload as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from perfmodel._text import significant
from perfmodel.cli import options, run_options
from perfmodel.cli.rendering import emit, note, progress

#: In place of a file: standard output.
STDOUT: Final = Path("-")


@run_options.takes_run(run_options.SHAPE, batch=run_options.Batch)
def trace(
    *,
    model: options.OneModel,
    run: run_options.Run,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.json", help="Where to write it; - for the output."
        ),
    ],
) -> None:
    """Trace a model and save its workload, which every command takes in place of a name."""

    source, batch = run.source(model), run.batch
    with progress() as loading:
        loading(source.name)
        workload = source.workload(batch)
    if output == STDOUT:
        emit(workload.to_text())
    else:
        workload.save(output)
    where = "to standard output" if output == STDOUT else output
    count = f"{len(workload)} kernel{'s' * (len(workload) != 1)}"
    note(f"wrote {where}: {count}, {significant(workload.flops / 1e9)} GFLOP")
