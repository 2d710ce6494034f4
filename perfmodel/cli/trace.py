"""``perfmodel trace``: a model's workload as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perfmodel.cli import options
from perfmodel.cli.rendering import note, progress


def trace(
    model: options.OneModel,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.json", help="Where to write it.")
    ],
    batch: options.Batch = None,
    phase: options.Phase = None,
    context: options.Context = None,
    tokens: options.Tokens = None,
    allow_unmodelled: options.AllowUnmodelled = False,
) -> None:
    """Trace a model and save its workload, which every command takes in place of a name."""
    from perfmodel.resolve import resolve_model

    source = resolve_model(
        model, phase=phase, tokens=tokens, context=context, allow_unmodelled=allow_unmodelled
    )
    with progress() as loading:
        loading(source.name)
        workload = source.workload(batch)
    workload.save(output)
    note(f"wrote {output}: {len(workload)} kernels, {workload.flops / 1e9:,.1f} GFLOP")
