"""Arguments and options of several commands: each is declared here once.

Those of a run, which are a Scenario's fields, are in :mod:`perfmodel.cli.run_options`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import typer

from perfmodel.cli import completing
from perfmodel.vocabulary import ranges

Format: TypeAlias = Literal["table", "json", "csv", "markdown"]

_MODEL: Final = (
    "name (see perfmodel models), saved workload (FILE.json), saved torch.export program "
    "(FILE.pt2), or factory (package.module:function or FILE.py:function); the last two run code"
)

Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODELS",
        help=f"Each a {_MODEL}; by default those of the published table.",
        autocompletion=completing.MODELS,
    ),
]
OneModel: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"A {_MODEL}.",
        show_default=False,
        autocompletion=completing.MODELS,
    ),
]
Cpus: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--cpu",
        "-c",
        metavar="ID|FILE",
        help="A CPU (see perfmodel cpus), an instance such as c7i.8xlarge (perfmodel cpus "
        "--instances) or a file of either; repeat it for several. "
        "[default: one of each vendor]",
        autocompletion=completing.CPUS,
    ),
]
OneCpu: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--cpu",
        "-c",
        metavar="ID|FILE",
        help="A CPU (see perfmodel cpus), an instance (perfmodel cpus --instances) or a file of "
        "either.",
        autocompletion=completing.CPUS,
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="ID.PATH=VALUE",
        help="What if: change a figure of a CPU, written as in its file, for example "
        'epyc_9654.memory.bandwidth="576 GB/s"; repeat it for several.',
    ),
]

Sockets: TypeAlias = Annotated[
    int,
    typer.Option(
        "--sockets",
        metavar="N",
        min=1,
        max=16,
        help="Sockets of each CPU in one machine. An instance that spans several pays for the "
        "memory of the others.",
    ),
]
MaxLatency: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--max-latency",
        metavar="TIME",
        help='Longest time a batch may be computed, such as 50ms or "0.2 s". [default: no limit]',
    ),
]
Samples: TypeAlias = Annotated[
    int,
    typer.Option(
        "--samples",
        metavar="N",
        min=int(ranges.SAMPLES.least),
        max=int(ranges.SAMPLES.most),
        help="Samples of the uncertain figures.",
    ),
]
Plot: TypeAlias = Annotated[
    str | None,
    typer.Option("--plot", metavar="FILE", help="Draw it, too, as a .png or .svg file."),
]
OutputFormat: TypeAlias = Annotated[
    Format, typer.Option("--format", "-f", help="json holds every figure in full.")
]
