"""``perfmodel trace``: a model's workload as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perfmodel.cli import options
from perfmodel.cli.rendering import note, progress


@options.takes_run(options.SHAPE, batch=options.Batch)
def trace(
    *,
    model: options.OneModel,
    run: options.Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.json", help="Where to write it.")
    ],
) -> None:
    """Trace a model and save its workload, which every command takes in place of a name."""
    source, batch = run.source(model), run.batch
    with progress() as loading:
        loading(source.name)
        workload = source.workload(batch)
    workload.save(output)
    note(f"wrote {output}: {len(workload)} kernels, {workload.flops / 1e9:,.1f} GFLOP")
