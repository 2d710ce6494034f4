"""One run, named once: in which precision, by which software, at which sizes, how divided.

Every function that estimates something takes a :class:`Scenario`, or its fields as keywords::

    estimate("resnet50", "epyc_9654", "bf16", batch=8, software="eager")
    estimate("resnet50", "epyc_9654", Scenario("bf16", batch=8, software="eager"))
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict

from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import ranges, words

if TYPE_CHECKING:
    from perfmodel.software import Software
    from perfmodel.vocabulary.precision import Precision

#: What leaves a count to a search.
AUTO: Final = "auto"
Count: TypeAlias = int | Literal["auto"] | None


@dataclass(frozen=True)
class Scenario:
    """How a model is run. It says nothing of which model, and nothing of the CPU.

    Attributes:
        precision: a name (:mod:`perfmodel.vocabulary.precision`) or a policy of one's own.
        software: what runs the model: a name ("openvino", "inductor", "eager": see
            :func:`perfmodel.software.catalogue`), or the path of a TOML file.
        state: "steady" (the same model again and again) or "cold" (weights come from memory).
        batch: samples per run; None for 1, or for what a saved workload was traced with.
        phase: "prefill" or "decode" of a model that generates tokens; None for its default.
        tokens: of each sample: of the prompt, or of an encoder's input; None for its default.
        context: in decode, the length of the KV cache, new token included; None for its default.
        instances, cores_per_instance: how a socket is divided into instances that run at once;
            "auto" for the division with the highest throughput. Both None: one instance on all
            cores.
        weights: of those instances: "separate" (a copy each, as processes have) or "shared" (one
            for all, as threads of one process have).

    Raises:
        UnknownName: a precision, software or word that does not exist; suggests the nearest.
        PerfmodelError: a number that is not whole, or below 1.
    """

    precision: str | Precision = "int8"
    software: str | os.PathLike[str] | Software = "openvino"
    state: str = "steady"
    batch: int | None = None
    phase: str | None = None
    tokens: int | None = None
    context: int | None = None
    instances: Count = None
    cores_per_instance: Count = None
    weights: str = "separate"

    def __post_init__(self) -> None:
        self.policy, self.loaded  # noqa: B018 - raise for what does not exist
        words.check("state", self.state, words.STATES)
        words.check("way to hold weights", self.weights, words.WEIGHTS)
        if self.phase is not None:
            words.check("phase", self.phase, words.PHASES)
        for name, plausible in _COUNTS.items():
            _check_count(name, getattr(self, name), plausible)

    @property
    def policy(self) -> Precision:
        """The precision's policy."""
        from perfmodel.vocabulary.precision import get_precision

        return get_precision(self.precision)

    @cached_property
    def loaded(self) -> Software:
        """The software's record: here a name becomes one, and nowhere else."""
        from perfmodel.software import load_software

        return load_software(self.software)

    @property
    def divided(self) -> bool:
        """Whether the socket is divided into instances."""
        return self.instances is not None or self.cores_per_instance is not None

    @property
    def several(self) -> bool:
        """Whether several instances run at once: as many as fit, where only a size is given."""
        return self.divided and self.instances != 1


class RunOptions(TypedDict, total=False):
    """The fields of a :class:`Scenario` as keywords, but for the batch."""

    precision: str | Precision
    software: str | os.PathLike[str] | Software
    state: str
    phase: str | None
    tokens: int | None
    context: int | None
    instances: Count
    cores_per_instance: Count
    weights: str


class Options(RunOptions, total=False):
    """The fields of a :class:`Scenario` as keywords."""

    batch: int | None


#: What a function takes in the place of a scenario: one, or a precision alone.
ScenarioLike: TypeAlias = "Scenario | str | Precision | None"


def scenario_of(given: ScenarioLike, options: Options | RunOptions) -> Scenario:
    """The scenario that ``given`` stands for, with ``options`` in place of its fields.

    Raises:
        UnknownName, PerfmodelError: as :class:`Scenario`; a precision that is given twice.
    """
    if isinstance(given, Scenario):
        return replace(given, **options) if options else given
    if given is None:
        return Scenario(**options)
    if "precision" in options:
        raise PerfmodelError(f"precision is given twice: {given} and {options['precision']}")
    return replace(Scenario(**options), precision=given)


#: Fields that are counts, with their plausible ranges; None where a socket's cores are the limit.
_COUNTS: Final = {
    "batch": ranges.BATCH,
    "tokens": ranges.TOKENS,
    "context": ranges.TOKENS,
    "instances": None,
    "cores_per_instance": None,
}


def _check_count(name: str, value: object, plausible: ranges.Range | None) -> None:
    if value is None or (plausible is None and value == AUTO):
        return
    if isinstance(value, bool) or not isinstance(value, int):
        alternative = "" if plausible else " or 'auto'"
        raise PerfmodelError(f"{name}: expected a whole number{alternative}, found {value!r}")
    if value < 1:
        raise PerfmodelError(f"{name}: expected at least 1, found {value}")
    if plausible is not None:
        plausible.check(name, value)
