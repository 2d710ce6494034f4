"""What a named model is: plain data, a builder, and the ways in which it can be run.

Nothing here imports a library of models; only a builder does, when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import words
from perfmodel.workload.workload import describe_phase

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModelInput:
    """One tensor argument: its shape without the leading batch dimension, and its torch dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


#: Keys and values of one attention layer.
CacheLayer: TypeAlias = tuple[ModelInput, ModelInput]


@dataclass(frozen=True)
class Run:
    """One way to run a named model, checked and with its defaults filled in.

    Attributes:
        batch: samples.
        phase: "prefill", "decode", or None for a model that does not generate.
        tokens: of each sample that are processed; 0 for a model that takes none.
        context: in decode, tokens that the new one attends to, itself included, which is the length
            of the KV cache when the step is done; else 0.
    """

    batch: int = 1
    phase: str | None = None
    tokens: int = 0
    context: int = 0

    @property
    def description(self) -> str:
        """The phase in words, for example ``decode at context 1024``; empty without a phase."""
        return describe_phase(self.phase, self.tokens, self.context)


@dataclass(frozen=True)
class ModelSpec:
    """A named model.

    Attributes:
        name: how the user asks for it.
        title: how people write it.
        task: what it is for, in two or three words.
        inputs: its positional arguments in its default run, for one sample.
        library: the distribution that defines the module; its version is part of a trace's key.
        build: makes the module for a run, with random or no weights. It chooses how: most builders
            run under ``torch.device("meta")``; one whose initialisation reads values may run
            elsewhere, and :func:`perfmodel.models.zoo.build` moves the result to meta.
        notes: anything a reader of its figures should know.
        extra: the extra of perfmodel that installs ``library``.
        phases: those it can be run in, the default first; none if it does not generate.
        tokens, context: default lengths (see :class:`Run`); 0 where it takes none.
        longest: the most tokens or context it has positions for; 0 for no limit.
        arguments: its positional arguments in any run, where they are not always ``inputs``.
        cache: the KV cache it takes as its last argument in a run, where there is one.
    """

    name: str
    title: str
    task: str
    inputs: tuple[ModelInput, ...]
    library: str
    build: Callable[[Run], torch.nn.Module] = field(repr=False)
    notes: str = ""
    extra: str = "torch"
    phases: tuple[str, ...] = ()
    tokens: int = 0
    context: int = 0
    longest: int = 0
    arguments: Callable[[Run], tuple[ModelInput, ...]] | None = field(default=None, repr=False)
    cache: Callable[[Run], tuple[CacheLayer, ...]] = field(default=lambda run: (), repr=False)

    def run(
        self,
        batch: int = 1,
        phase: str | None = None,
        tokens: int | None = None,
        context: int | None = None,
    ) -> Run:
        """The run these options ask for; what is None is the model's default.

        Raises :class:`~perfmodel.errors.UnknownName` for a phase that does not exist, and
        :class:`~perfmodel.errors.PerfmodelError` for one the model does not have, a length that
        does not belong to the phase, and any number out of range.
        """
        _check_count("batch", batch)
        if phase is not None:
            words.check("phase", phase, words.PHASES)
        if phase is not None and phase not in self.phases:
            raise PerfmodelError(
                f"{self.name} has no {phase} phase: it takes its input at once and generates no "
                "tokens; leave the phase (or --output) out"
            )
        if phase is None and self.phases:
            phase = self.phases[0]
        if context is not None:
            if phase != "decode":
                way_out = "it has no such phase"
                if "decode" in self.phases:
                    way_out = "ask for that phase (--phase decode)"
                raise PerfmodelError(
                    f"{self.name}: context is the length of the KV cache in the decode phase; "
                    f"{way_out}, or leave the context out"
                )
            self._check_length("context", context)
        if tokens is not None:
            if phase == "decode":
                raise PerfmodelError(
                    f"{self.name}: decode processes one token of each sample; the length of its KV "
                    "cache is the context (--context)"
                )
            if not self.tokens:
                raise PerfmodelError(f"{self.name} takes no tokens: leave their number out")
            self._check_length("tokens", tokens)
        if phase == "decode":
            return Run(batch, phase, 1, self.context if context is None else context)
        return Run(batch, phase, self.tokens if tokens is None else tokens)

    def _check_length(self, what: str, length: int) -> None:
        _check_count(what, length)
        if self.longest and length > self.longest:
            raise PerfmodelError(
                f"{self.name} has positions for {self.longest} tokens, fewer than {what} {length}"
            )

    def input_specs(self, run: Run) -> tuple[ModelInput, ...]:
        """Its positional arguments in ``run`` but for the KV cache."""
        return self.inputs if self.arguments is None else self.arguments(run)

    def input_shapes(self, batch: int = 1) -> tuple[tuple[int, ...], ...]:
        """The shape of each argument of the default run at ``batch`` samples."""
        return tuple((batch, *argument.shape) for argument in self.inputs)

    def describe_inputs(self, batch: int = 1) -> str:
        """The arguments in one line, for example ``image 1x3x224x224 float32``."""
        return ", ".join(
            f"{argument.name} {'x'.join(map(str, shape))} {argument.dtype}"
            for argument, shape in zip(self.inputs, self.input_shapes(batch), strict=True)
        )


def _check_count(what: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PerfmodelError(f"{what} must be a whole number of at least 1, not {value!r}")
