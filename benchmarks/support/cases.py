"""The models the suite guards: the published table's, and Transformers in their phases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

from perfmodel.models import zoo
from perfmodel.workload.workload import Workload

#: Positions in the KV cache of a decode step, the new token included.
CONTEXT: Final = 1024
#: Tokens of a prompt.
PROMPT: Final = 512


class Run(TypedDict):
    """What chooses a run of a model."""

    phase: str | None
    context: int | None
    tokens: int | None


@dataclass(frozen=True)
class Case:
    """A zoo model, in a phase where it generates."""

    model: str
    phase: str | None = None

    @property
    def name(self) -> str:
        """How snapshots and reports call it: "resnet50", "llama_7b.decode"."""
        return f"{self.model}.{self.phase}" if self.phase else self.model

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions its detailed snapshots hold: those it is deployed in."""
        return ("bf16", "w8", "w4") if self.phase == "decode" else ("int8", "bf16", "fp32")

    @property
    def run(self) -> Run:
        """The phase and sizes in which it is run, as keywords."""
        return {
            "phase": self.phase,
            "context": CONTEXT if self.phase == "decode" else None,
            "tokens": PROMPT if self.phase == "prefill" else None,
        }

    def workload(self) -> Workload:
        """Its traced workload at batch 1, from the disk cache where it is there."""
        return zoo.workload(self.model, **self.run)


GENERATIVE: Final = ("gpt2_xl", "llama_7b", "llama_3_8b")
VISION: Final = tuple(Case(model) for model in zoo.DEFAULT_MODELS)
DECODE: Final = tuple(Case(model, "decode") for model in GENERATIVE)
PREFILL: Final = tuple(Case(model, "prefill") for model in GENERATIVE)
ENCODERS: Final = (Case("bert_large"),)
CASES: Final = (*VISION, *ENCODERS, *PREFILL, *DECODE)
