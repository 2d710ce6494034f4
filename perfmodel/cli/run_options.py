"""The options of a run: a Scenario's fields, and the batches that it is run at."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar, get_type_hints

import typer

from perfmodel.cli import completing
from perfmodel.errors import PerfmodelError
from perfmodel.scenario import AUTO, Count, Scenario
from perfmodel.vocabulary import ranges, words

if TYPE_CHECKING:
    from perfmodel.resolve import ModelSource

F = TypeVar("F", bound=Callable[..., None])

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
            autocompletion=completing.PRECISIONS,
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
            autocompletion=completing.SOFTWARE,
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
