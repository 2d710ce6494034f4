"""Arguments and options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from perfmodel.cli.rendering import note
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.machine import Machine

Format: TypeAlias = Literal["table", "json", "csv", "markdown"]
State: TypeAlias = Literal["steady", "cold"]
RuntimeName: TypeAlias = Literal["compiled", "eager", "llama_cpp"]
PhaseName: TypeAlias = Literal["prefill", "decode"]

_MODEL = (
    "name (see perfmodel models), saved workload (FILE.json), saved torch.export program "
    "(FILE.pt2), or factory (package.module:function or FILE.py:function); the last two run code"
)

Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODELS", help=f"Each a {_MODEL}; by default those of the published table."
    ),
]
OneModel: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"A {_MODEL}.", show_default=False)
]
Cpus: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--cpu",
        "-c",
        metavar="ID|FILE",
        help="A CPU (see perfmodel cpus) or a machine file; repeat it for several. "
        "\\[default: one of each vendor]",
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
Batches: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N[,N...]",
        help="Samples per run, one or several numbers; may be repeated. \\[default: 1, or that of "
        "the saved workload]",
    ),
]
ServedBatches: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N[,N...]",
        help="Samples per run to try, one or several numbers; may be repeated. \\[default: powers "
        "of two up to 128, or that of the saved workload]",
    ),
]
Phase: TypeAlias = Annotated[
    PhaseName | None,
    typer.Option(
        "--phase",
        help="Of a model that generates tokens; prefill: the whole prompt, decode: one token with "
        "a KV cache. \\[default: prefill]",
    ),
]
Tokens: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--tokens",
        metavar="N",
        min=1,
        help="Tokens of each sample: of the prompt in prefill, or of an encoder's input.",
    ),
]
Context: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="N",
        min=1,
        help="Length of the KV cache in decode, the new token included.",
    ),
]
RunState: TypeAlias = Annotated[
    State,
    typer.Option("--state", help="steady: run again and again; cold: weights come from memory."),
]
Runtime: TypeAlias = Annotated[
    RuntimeName,
    typer.Option(
        "--runtime",
        help="compiled: fused kernels; eager: one kernel per operator; llama_cpp: all cores meet "
        "after every kernel.",
    ),
]
AllowUnmodelled: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-unmodelled",
        help="Charge operators without a formula for the bytes they move, and no arithmetic.",
    ),
]
Instances: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--instances",
        metavar="N|auto",
        help="Instances of the model that run at once on one socket; auto: as many as give the "
        "highest throughput.",
    ),
]
CoresPerInstance: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cores-per-instance", metavar="C|auto", help="Cores of each of those instances."
    ),
]
Weights: TypeAlias = Annotated[
    Literal["separate", "shared"],
    typer.Option(
        "--weights",
        help="Of the instances; separate: processes with a copy each; shared: threads of one "
        "process.",
    ),
]
MaxLatency: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--max-latency",
        metavar="TIME",
        help='Longest time a batch may be computed, such as 50ms or "0.2 s". \\[default: no limit]',
    ),
]
OutputFormat: TypeAlias = Annotated[
    Format, typer.Option("--format", "-f", help="json holds every figure in full.")
]


def machines(cpus: Sequence[str] | None, settings: Sequence[str] | None) -> list[Machine]:
    """The machines that ``--cpu`` names, with every ``--set`` applied and noted on stderr."""
    from perfmodel.comparison import DEFAULT_CPUS
    from perfmodel.machine import load_machine
    from perfmodel.machine.settings import with_settings

    found = with_settings([load_machine(cpu) for cpu in cpus or DEFAULT_CPUS], settings or ())
    for setting in settings or ():
        note(f"what if: {setting}")
    return found


def different_machines(cpus: Sequence[str] | None, settings: Sequence[str] | None) -> list[Machine]:
    """:func:`machines`, where one twice makes no sense: that is a PerfmodelError."""
    found = machines(cpus, settings)
    ids = [machine.id for machine in found]
    twice = next((cpu for cpu in ids if ids.count(cpu) > 1), None)
    if twice is not None:
        raise PerfmodelError(f"two CPUs have the id {twice!r}: name each once, by an id of its own")
    return found


def cpus_or_machines(
    cpus: Sequence[str] | None, settings: Sequence[str] | None
) -> list[str | Machine] | None:
    """What ``--cpu`` names, as it stands; where ``--set`` changes a CPU, the changed machine."""
    from perfmodel.comparison import DEFAULT_CPUS

    if not settings:
        return list(cpus) if cpus else None
    named = cpus or DEFAULT_CPUS
    changed = {setting.strip().partition("=")[0] for setting in settings}
    return [
        machine if any(target.startswith(f"{machine.id}.") for target in changed) else name
        for name, machine in zip(named, machines(named, settings), strict=True)
    ]


def batches(given: Sequence[str] | None) -> list[int] | None:
    """The numbers that ``--batch`` lists, each once.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else.
    """
    if not given:
        return None
    numbers: dict[int, None] = {}
    for text in ",".join(given).split(","):
        digits = text.strip()
        if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 16 and int(digits)):
            raise PerfmodelError(
                f"--batch: expected whole numbers of at least 1, such as 1,8,64; found {text!r}"
            )
        numbers[int(digits)] = None
    return list(numbers)


def count(option: str, text: str | None) -> int | Literal["auto"] | None:
    """What a user wrote for an option that takes a number or ``auto``.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else.
    """
    if text is None or text == "auto":
        return text if text is None else "auto"
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16):
        raise PerfmodelError(f"{option}: expected a whole number or auto, found {text!r}")
    return int(text)


def latency(text: str | None) -> float | None:
    """Seconds of ``--max-latency``; raises as :func:`quantity`."""
    return None if text is None else quantity("--max-latency", text, "s", "50 ms")


def quantity(option: str, text: str, unit: str, example: str, *, bare: str = "") -> float:
    """A positive quantity in SI from what a user wrote for ``option``.

    Args:
        bare: the unit that a number without one is in; by default it needs one.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else.
    """
    from perfmodel.figures.quantity import QuantityError, parse, split

    expected = f'expected a positive quantity such as "{example}"'
    try:
        with_unit = text if split(text)[1] else f"{text} {bare}"
        value = parse(with_unit, unit)
    except QuantityError as error:
        raise PerfmodelError(f"{option}: {text!r} {error}; {expected}") from None
    if not (value > 0 and math.isfinite(value)):
        raise PerfmodelError(f"{option}: {text!r}; {expected}")
    return value
