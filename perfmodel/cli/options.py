"""Arguments and options: each is declared here once; those of a run are a Scenario's fields."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    get_type_hints,
)

import typer

from perfmodel.cli.rendering import note
from perfmodel.errors import PerfmodelError
from perfmodel.scenario import AUTO, Count, Scenario
from perfmodel.vocabulary import ranges, words

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.resolve import ModelSource

F = TypeVar("F", bound=Callable[..., None])

Format: TypeAlias = Literal["table", "json", "csv", "markdown"]


# -- what a shell completes ------------------------------------------------------------------------


def _completed(names: Callable[[], Iterable[str]], *suffixes: str) -> Callable[[str], list[str]]:
    """What completes a name: those there are, folders, and files with one of ``suffixes``."""

    def complete(incomplete: str) -> list[str]:
        found = [name for name in names() if name.startswith(incomplete)]
        if not incomplete or not suffixes:
            return found
        folder, slash, start = incomplete.rpartition("/")
        entries = sorted(Path(f"{folder}{slash}" or ".").glob(f"{start}*"))
        return found + [
            f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
            for entry in entries
            if entry.is_dir() or entry.suffix in suffixes
        ]

    return complete


def _models() -> Iterable[str]:
    from perfmodel.models import zoo

    return zoo.known()


def _cpus() -> Iterable[str]:
    from perfmodel.machine.catalog import known

    return known()


def _precisions() -> Iterable[str]:
    from perfmodel.vocabulary.precision import PRECISIONS

    return PRECISIONS


def _software() -> Iterable[str]:
    from perfmodel.software import catalogue

    return catalogue()


_COMPLETE_MODELS: Final = _completed(_models, ".json", ".pt2", ".py")
_COMPLETE_CPUS: Final = _completed(_cpus, ".toml")
_COMPLETE_SOFTWARE: Final = _completed(_software, ".toml")

# -- models and CPUs -------------------------------------------------------------------------------

_MODEL: Final = (
    "name (see perfmodel models), saved workload (FILE.json), saved torch.export program "
    "(FILE.pt2), or factory (package.module:function or FILE.py:function); the last two run code"
)

Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODELS",
        help=f"Each a {_MODEL}; by default those of the published table.",
        autocompletion=_COMPLETE_MODELS,
    ),
]
OneModel: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"A {_MODEL}.",
        show_default=False,
        autocompletion=_COMPLETE_MODELS,
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
        autocompletion=_COMPLETE_CPUS,
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
        autocompletion=_COMPLETE_CPUS,
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

# -- a run: the fields of a Scenario ---------------------------------------------------------------

Batch: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N",
        help="Samples per run. [default: 1, or that of the saved workload]",
    ),
]
Batches: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N[,N...]",
        help="Samples per run, one or several numbers; may be repeated. [default: 1, or that of "
        "the saved workload]",
    ),
]
ServedBatches: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        "-b",
        metavar="N[,N...]",
        help="Samples per run to try, one or several numbers; may be repeated. [default: powers "
        "of two up to 128, or that of the saved workload]",
    ),
]
AllowUnmodelled: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-unmodelled",
        help="Charge operators without a formula for the bytes they move, and no arithmetic.",
    ),
]
AllowMasks: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-masks",
        help="Where a mask of unknown values selects elements, take all: an upper bound.",
    ),
]
_FIELDS: Final[dict[str, Any]] = {
    "precision": Annotated[
        str,
        typer.Option(
            "--precision",
            "-p",
            metavar="P",
            help="fp32, bf16, fp16, int8, w8 or w4.",
            autocompletion=_completed(_precisions),
        ),
    ],
    "software": Annotated[
        str,
        typer.Option(
            "--software",
            "--runtime",
            metavar="NAME|FILE",
            help="What runs the model: openvino, inductor, eager, llama_cpp or another of "
            "docs/software.md, or a TOML file.",
            autocompletion=_COMPLETE_SOFTWARE,
        ),
    ],
    "state": Annotated[
        words.State,
        typer.Option(
            "--state", help="steady: run again and again; cold: weights come from memory."
        ),
    ],
    "phase": Annotated[
        words.Phase | None,
        typer.Option(
            "--phase",
            help="Of a model that generates tokens; prefill: the whole prompt, decode: one token "
            "with a KV cache. [default: prefill]",
        ),
    ],
    "tokens": Annotated[
        int | None,
        typer.Option(
            "--tokens",
            metavar="N",
            min=1,
            help="Tokens of each sample: of the prompt in prefill, or of an encoder's input.",
        ),
    ],
    "context": Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="N",
            min=1,
            help="Length of the KV cache in decode, the new token included.",
        ),
    ],
    "instances": Annotated[
        str | None,
        typer.Option(
            "--instances",
            metavar="N|auto",
            help="Instances of the model that run at once on one socket; auto: as many as give the "
            "highest throughput.",
        ),
    ],
    "cores_per_instance": Annotated[
        str | None,
        typer.Option(
            "--cores-per-instance", metavar="C|auto", help="Cores of each of those instances."
        ),
    ],
    "weights": Annotated[
        words.Weights,
        typer.Option(
            "--weights",
            help="Of the instances; separate: processes with a copy each; shared: threads of one "
            "process.",
        ),
    ],
}

#: Fields by what they say, for :func:`takes_run`.
SHAPE: Final = ("phase", "tokens", "context")
HOW: Final = ("precision", "software", "state")
DIVISION: Final = ("instances", "cores_per_instance", "weights")


@dataclass(frozen=True)
class Run:
    """What the options of a run say.

    Attributes:
        scenario: all but the batch.
        batches: those asked for, each once; None where none is.
        allow_unmodelled: whether operators without a formula are charged for their bytes alone.
        allow_masks: whether reading by a mask of unknown values takes all elements.
    """

    scenario: Scenario
    batches: list[int] | None
    allow_unmodelled: bool
    allow_masks: bool

    def source(self, model: str) -> ModelSource:
        """The model that ``model`` names, to be run so."""
        from perfmodel.resolve import resolve_model

        return resolve_model(
            model,
            self.scenario,
            allow_unmodelled=self.allow_unmodelled,
            allow_masks=self.allow_masks,
        )

    def sources(self, models: Sequence[str] | None) -> list[ModelSource]:
        """The models that are named; by default those of the published table."""
        from perfmodel.models import zoo

        return [self.source(model) for model in models or zoo.DEFAULT_MODELS]

    @property
    def batch(self) -> int | None:
        """The one batch asked for, or None; raises :class:`PerfmodelError` for several."""
        if self.batches is None:
            return None
        if len(self.batches) > 1:
            raise PerfmodelError(f"--batch: takes one number here, found {len(self.batches)}")
        return self.batches[0]


def takes_run(
    *groups: Sequence[str], batch: object = Batches, **defaults: object
) -> Callable[[F], F]:
    """Give a command the options of ``groups`` of fields; they reach it as ``run``.

    Args:
        batch: the declaration of ``--batch``.
        defaults: of fields, where they are not the Scenario's own.
    """
    names = [name for group in groups for name in group]
    usual = {field.name: field.default for field in fields(Scenario)}
    declared = {name: (_FIELDS[name], defaults.get(name, usual[name])) for name in names} | {
        "batch": (batch, None),
        "allow_unmodelled": (AllowUnmodelled, False),
        "allow_masks": (AllowMasks, False),
    }
    allowed = ("allow_unmodelled", "allow_masks")
    order = [n for n in ("precision", "batch", *names, *allowed) if n in declared]

    def decorate(command: F) -> F:
        keyword = inspect.Parameter.KEYWORD_ONLY
        hints = get_type_hints(command, include_extras=True)
        parameters = []
        for name, parameter in inspect.signature(command).parameters.items():
            if name == "run":
                parameters += [
                    inspect.Parameter(n, keyword, default=declared[n][1], annotation=declared[n][0])
                    for n in dict.fromkeys(order)
                ]
            else:
                parameters.append(parameter.replace(annotation=hints[name], kind=keyword))

        @functools.wraps(command)
        def with_run(**given: Any) -> None:
            asked = {name: given.pop(name) for name in declared}
            command(**given, run=_run(asked))

        with_run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_run.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_run  # type: ignore[return-value]

    return decorate


#: For commands that divide a socket themselves: all divisions are tried where none is given.
takes_served_run: Final = takes_run(
    HOW,
    SHAPE,
    DIVISION,
    batch=ServedBatches,
    instances="auto",
    cores_per_instance="auto",
)


def _run(asked: dict[str, Any]) -> Run:
    batches = _batches(asked.pop("batch"))
    unmodelled, masks = asked.pop("allow_unmodelled"), asked.pop("allow_masks")
    for name in ("instances", "cores_per_instance"):
        if name in asked:
            asked[name] = _count(f"--{name.replace('_', '-')}", asked[name])
    return Run(Scenario(**asked), batches, unmodelled, masks)


# -- other options of several commands -------------------------------------------------------------

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


def machines(
    cpus: Sequence[str] | None, settings: Sequence[str] | None, sockets: int = 1
) -> list[Machine]:
    """The machines that ``--cpu`` names, with every ``--set`` applied and noted on stderr.

    What a file takes over from its base and cannot be meant is noted, too.
    """
    from perfmodel.comparison import DEFAULT_CPUS
    from perfmodel.machine import load_machine
    from perfmodel.machine.settings import with_settings

    named = cpus or DEFAULT_CPUS
    found = with_settings([load_machine(cpu) for cpu in named], settings or ())
    for setting in settings or ():
        note(f"what if: {setting}")
    note_doubts(named)
    return [load_machine(machine, sockets=sockets) for machine in found]


def note_doubts(cpus: Sequence[str]) -> None:
    """Note what files among ``cpus`` take over from their base and cannot be meant."""
    from perfmodel.machine.inheritance import inheritance

    for cpu in cpus:
        taken = inheritance(cpu) if cpu.endswith(".toml") and Path(cpu).is_file() else None
        for doubt in () if taken is None else taken.doubts:
            note(f"{cpu}: {doubt}")


def one_machine(cpus: Sequence[str], settings: Sequence[str] | None) -> Machine:
    """The one machine of a command that takes one; several are a PerfmodelError."""
    if len(cpus) > 1:
        raise PerfmodelError(f"one --cpu is expected here, found {len(cpus)}: {', '.join(cpus)}")
    (machine,) = machines(cpus, settings)
    return machine


def different_machines(
    cpus: Sequence[str] | None, settings: Sequence[str] | None, sockets: int = 1
) -> list[Machine]:
    """:func:`machines`, where one twice makes no sense: that is a PerfmodelError."""
    found = machines(cpus, settings, sockets)
    ids = [machine.id for machine in found]
    twice = next((cpu for cpu in ids if ids.count(cpu) > 1), None)
    if twice is not None:
        raise PerfmodelError(f"two CPUs have the id {twice!r}: name each once, by an id of its own")
    return found


def cpus_or_machines(
    cpus: Sequence[str] | None, settings: Sequence[str] | None, sockets: int = 1
) -> list[str | Machine] | None:
    """What ``--cpu`` names, as it stands; where an option changes a CPU, the changed machine."""
    from perfmodel.comparison import DEFAULT_CPUS

    if sockets > 1:
        return list(machines(cpus, settings, sockets))
    if not settings:
        note_doubts(cpus or ())
        return list(cpus) if cpus else None
    named = cpus or DEFAULT_CPUS
    changed = {setting.strip().partition("=")[0] for setting in settings}
    return [
        machine if any(target.startswith(f"{machine.id}.") for target in changed) else name
        for name, machine in zip(named, machines(named, settings), strict=True)
    ]


def _batches(given: Sequence[str] | None) -> list[int] | None:
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
        ranges.BATCH.check("--batch", int(digits))
        numbers[int(digits)] = None
    return list(numbers)


def _count(option: str, text: str | None) -> Count:
    """What a user wrote for an option that takes a number or ``auto``.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else.
    """
    if text is None:
        return None
    if text == AUTO:
        return "auto"
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16):
        raise PerfmodelError(f"{option}: expected a whole number or auto, found {text!r}")
    return int(text)


def latency(text: str | None) -> float | None:
    """Seconds of ``--max-latency``; raises as :func:`quantity`."""
    if text is None:
        return None
    return quantity("--max-latency", text, "s", "50 ms", ranges.LATENCY)


def quantity(
    option: str, text: str, unit: str, example: str, plausible: ranges.Range, *, bare: str = ""
) -> float:
    """A quantity in SI from what a user wrote for ``option``.

    Args:
        bare: the unit that a number without one is in; by default it needs one.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else, and outside ``plausible``.
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
    plausible.check(option, value)
    return value
