"""The Workload: what a model asks for, as columns, with no hardware in it.

Three tables. A *tensor* is one piece of storage; views of it are not rows. A *kernel* is one
operator that computes or moves data. An *access* is one kernel reading or writing one tensor, with
the number of elements it touches (a slice, or a row of an embedding, touches fewer than the tensor
holds).

FLOPs count a multiply-accumulate as 2 and cover convolutions, linear layers, matrix products and
attention, like ``torch.utils.flop_counter``. The arithmetic of norms, activations, pooling and
elementwise operators is kept apart, in ``vector_ops``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel._text import html_table, significant
from perfmodel.vocabulary import families
from perfmodel.vocabulary.precision import Precision, get_precision
from perfmodel.workload import storage
from perfmodel.workload.tables import (
    INPUT,
    KINDS,
    OUTPUT,
    ROLES,
    STATE,
    WEIGHT,
    Accesses,
    BoolArray,
    FloatArray,
    InputSpec,
    IntArray,
    Kernels,
    Tensors,
)

__all__ = [
    "INPUT",
    "KINDS",
    "OUTPUT",
    "ROLES",
    "STATE",
    "WEIGHT",
    "Accesses",
    "BoolArray",
    "FloatArray",
    "InputSpec",
    "IntArray",
    "Kernels",
    "Tensors",
    "Workload",
    "describe_phase",
]


def describe_phase(phase: str | None, tokens: int, context: int) -> str:
    """Return a phase and its length in words, empty for none."""
    if phase is None:
        return ""
    return f"decode at context {context}" if phase == "decode" else f"prefill of {tokens} tokens"


@dataclass(frozen=True, eq=False)
class Workload:
    """A traced model: kernels, tensors and who reads what. Immutable; it holds no hardware.

    Attributes:
        name: of the model.
        batch: samples that one run processes; throughput is batch / latency.
        parameters: number of trainable parameters of the module, shared ones once.
        inputs: the arguments it was traced with.
        provenance: tracer and library versions, for the reader of a saved file.
        unmodelled: operators without a formula, charged for their bytes only.
        phase: "prefill" or "decode", or None for a model that does not generate.
        tokens: of each sample that one run of the phase processes: the prompt's, or 1 in decode; 0
            without a phase.
        context: in decode, the length of the KV cache, new token included; else 0.
    """

    name: str
    batch: int
    parameters: int
    inputs: tuple[InputSpec, ...]
    tensors: Tensors
    kernels: Kernels
    accesses: Accesses
    provenance: Mapping[str, str] = field(default_factory=dict)
    unmodelled: tuple[str, ...] = ()
    phase: str | None = None
    tokens: int = 0
    context: int = 0

    def __len__(self) -> int:
        return len(self.kernels)

    def __repr__(self) -> str:
        summary = ", ".join(f"{name}: {text}" for name, text in self._summary().items())
        return f"Workload({summary})"

    def _repr_html_(self) -> str:
        return html_table(("", ""), list(self._summary().items()))

    def _summary(self) -> dict[str, str]:
        """What it is, as people read it."""
        phase = describe_phase(self.phase, self.tokens, self.context)
        return {
            "model": self.name,
            "batch": str(self.batch),
            **({"phase": phase} if phase else {}),
            "kernels": str(len(self)),
            "work": f"{significant(self.flops / 1e9)} GFLOP",
            "parameters": f"{self.parameters:,}",
        }

    @property
    def flops(self) -> int:
        """Total FLOPs of one run, a multiply-accumulate counted as 2 (see the module's text)."""
        return int(self.kernels.flops.sum())

    @property
    def vector_ops(self) -> int:
        """Total arithmetic operations outside multiply-accumulate loops."""
        return int(self.kernels.vector_ops.sum())

    def elements(self, role: int, *, floating: bool = True) -> IntArray:
        """Elements each kernel touches in ``role``, shape (kernels,): floating-point or others."""
        a = self.accesses
        chosen = (a.role == role) & (self.tensors.floating[a.tensor] == floating)
        return _sum_by_kernel(a.kernel[chosen], a.elements[chosen], len(self))

    def fixed_bytes(self, role: int) -> IntArray:
        """Bytes of non-floating tensors (indices, masks) each kernel touches, shape (kernels,)."""
        a = self.accesses
        chosen = (a.role == role) & ~self.tensors.floating[a.tensor]
        sizes = a.elements[chosen] * self.tensors.itemsize[a.tensor[chosen]]
        return _sum_by_kernel(a.kernel[chosen], sizes, len(self))

    def traced_bytes(self, role: int) -> IntArray:
        """Bytes each kernel touches in ``role`` at the element sizes it was traced with."""
        a = self.accesses
        chosen = a.role == role
        sizes = a.elements[chosen] * self.tensors.itemsize[a.tensor[chosen]]
        return _sum_by_kernel(a.kernel[chosen], sizes, len(self))

    def bytes(self, role: int, precision: str | Precision) -> FloatArray:
        """Bytes each kernel moves in ``role`` under ``precision``, shape (kernels,)."""
        bits = get_precision(precision).bits(ROLES[role])[self.kernels.family]
        return self.elements(role) * bits / 8 + self.fixed_bytes(role)

    def state_traffic(self, role: int, precision: str | Precision) -> FloatArray:
        """Of :meth:`bytes`, those read from or written to state, shape (kernels,)."""
        chosen, sizes = self._state(role, precision)
        total = np.zeros(len(self))
        np.add.at(total, self.accesses.kernel[chosen], sizes)
        return total

    def state_bytes(self, precision: str | Precision) -> float:
        """Bytes of all state that one run touches, each part stored once, under ``precision``."""
        held = np.zeros(len(self.tensors.name))
        for role in (INPUT, OUTPUT):
            chosen, sizes = self._state(role, precision)
            np.maximum.at(held, self.accesses.tensor[chosen], sizes)
        return float(held.sum())

    def _state(self, role: int, precision: str | Precision) -> tuple[IntArray, FloatArray]:
        """The accesses to state in ``role``, and the bytes of each."""
        a = self.accesses
        chosen = np.flatnonzero((a.role == role) & (self.tensors.kind[a.tensor] == STATE))
        tensor = a.tensor[chosen]
        by_family = get_precision(precision).bits(ROLES[role])
        bits = np.where(
            self.tensors.floating[tensor],
            by_family[self.kernels.family[a.kernel[chosen]]],
            self.tensors.itemsize[tensor] * 8,
        )
        return chosen, a.elements[chosen] * bits / 8

    def weight_bytes(self, precision: str | Precision) -> float:
        """Bytes of all weights that one run reads, each stored once, under ``precision``.

        A weight shared by kernels of different families counts at its widest. Raises
        :class:`~perfmodel.errors.UnknownName` for an unknown precision.
        """
        a = self.accesses
        chosen = a.role == WEIGHT
        tensor, kernel = a.tensor[chosen], a.kernel[chosen]
        bits = get_precision(precision).weight_bits[self.kernels.family[kernel]]
        traced_bits = self.tensors.itemsize[tensor] * 8
        bits = np.where(self.tensors.floating[tensor], bits, traced_bits)
        widest = np.zeros(len(self.tensors.name))
        np.maximum.at(widest, tensor, bits)
        touched = np.zeros(len(self.tensors.name), dtype=np.int64)
        np.maximum.at(touched, tensor, a.elements[chosen])
        return float(np.sum(touched * widest) / 8)

    @cached_property
    def dependencies(self) -> tuple[tuple[int, ...], ...]:
        """For each kernel, the earlier kernels whose results it reads, ascending."""
        a = self.accesses
        writer: dict[int, list[int]] = {}
        reads: list[set[int]] = [set() for _ in range(len(self))]
        for kernel, tensor, role in zip(
            a.kernel.tolist(), a.tensor.tolist(), a.role.tolist(), strict=True
        ):
            if role == OUTPUT:
                writer.setdefault(tensor, []).append(kernel)
            elif tensor in writer:
                reads[kernel].update(k for k in writer[tensor] if k != kernel)
        return tuple(tuple(sorted(kernels)) for kernels in reads)

    @cached_property
    def memo(self) -> dict[str, Any]:
        """What others derived from this workload and keep with it; no part of its value."""
        return {}

    def operator_counts(self) -> dict[str, int]:
        """How many kernels run each operator, by operator name."""
        counts: dict[str, int] = {}
        for operator in self.kernels.operator:
            counts[operator] = counts.get(operator, 0) + 1
        return dict(sorted(counts.items()))

    def family_names(self) -> tuple[str, ...]:
        """The family of each kernel, as text."""
        return tuple(families.FAMILIES[code] for code in self.kernels.family.tolist())

    def save(self, path: str | Path) -> None:
        """Write the workload as JSON (docs/workload-format.md), replacing ``path`` atomically.

        Raises :class:`~perfmodel.errors.PerfmodelError` if the file cannot be written.
        """
        storage.write(path, self.to_text())

    @staticmethod
    def load(path: str | Path) -> Workload:
        """Read a workload that :meth:`save` wrote; imports no torch.

        Raises :class:`~perfmodel.errors.WorkloadFormatError` for anything else.
        """
        return Workload.from_dict(storage.read(path), source=str(path))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of this workload, as plain Python objects."""
        return storage.to_dict(self)

    def to_text(self) -> str:
        """Return what :meth:`save` writes."""
        return storage.layout(self.to_dict()) + "\n"

    @staticmethod
    def from_dict(
        document: Mapping[str, Any], *, source: str = "workload", own: bool = False
    ) -> Workload:
        """Return the workload of a document that :meth:`to_dict` made.

        Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and what
        was expected there.
        """
        read = storage.own_fields if own else storage.fields
        return Workload(**read(document, source))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Workload) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.batch, self.parameters, len(self)))


def _sum_by_kernel(kernel: IntArray, values: IntArray, count: int) -> IntArray:
    # np.bincount would go through floats, which are not exact above 2**53.
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, kernel, values)
    return total
