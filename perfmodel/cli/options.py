"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

Format: TypeAlias = Literal["table", "json", "csv", "markdown"]
State: TypeAlias = Literal["steady", "cold"]
RuntimeName: TypeAlias = Literal["compiled", "eager"]

_MODEL = "name (see perfmodel models) or saved workload (FILE.json)"

Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODELS", help=f"Each a {_MODEL}; by default all names."),
]
OneModel: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"A {_MODEL}.", show_default=False)
]
Precision: TypeAlias = Annotated[
    str, typer.Option("--precision", "-p", metavar="P", help="fp32, bf16, fp16, int8, w8 or w4.")
]
Batch: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N",
        min=1,
        help="Samples per run. \\[default: 1, or that of the saved workload]",
    ),
]
RunState: TypeAlias = Annotated[
    State,
    typer.Option("--state", help="steady: run again and again; cold: weights come from memory."),
]
Runtime: TypeAlias = Annotated[
    RuntimeName,
    typer.Option("--runtime", help="compiled: fused kernels; eager: one kernel per operator."),
]
OutputFormat: TypeAlias = Annotated[
    Format, typer.Option("--format", "-f", help="json holds every figure in full.")
]
