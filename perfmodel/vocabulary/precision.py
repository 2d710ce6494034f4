"""What "int8", "bf16", "w4" ... mean: arithmetic and storage for each operator family.

This is vocabulary shared by workload and mapping; no hardware is in it. A policy never narrows what
such a deployment keeps wide: in ``int8`` (W8A8) only convolutions and linear layers multiply in
INT8; products of two activations (matmul, attention) run in BF16, and norms, softmax, activations
and elementwise operators compute in FP32 on BF16 storage. Integer and boolean tensors (indices,
masks) keep the size they were traced with.

=========  ======================  ==================  =================================
precision  conv, linear            matmul, attention   everything else
=========  ======================  ==================  =================================
fp32       fp32                    fp32                fp32
bf16       bf16, fp32 accumulate   bf16                fp32 arithmetic, bf16 storage
fp16       fp16, fp32 accumulate   fp16                fp32 arithmetic, fp16 storage
int8       int8, int32 accumulate  bf16                fp32 arithmetic, bf16 storage [1]_
w8         bf16, weights in int8   bf16                fp32 arithmetic, bf16 storage
w4         bf16, weights in 4 bit  bf16                fp32 arithmetic, bf16 storage [2]_
=========  ======================  ==================  =================================

A CPU without arithmetic in a format runs the next wider one it has; the estimate says so.

.. [1] Pooling between quantised convolutions stays in INT8. A linear layer reads INT8 and writes
   BF16, which is what the norm, attention or residual after it reads.
.. [2] Linear layers only, in groups of 32 weights with one 16-bit scale: 4.5 bits a weight (the
   layout of GGUF's Q4_0). Convolutions store INT8. Widening the weights costs no time of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import UnknownName
from perfmodel.vocabulary import families as f

#: Arithmetic formats an engine can list operations per cycle for.
FORMATS: Final = ("fp64", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, eq=False)
class Precision:
    """One policy. Every array is indexed by family code (``families.CODE``).

    Two policies are the same if they are one object: another of the same name is another.

    Attributes:
        name: how the user names it.
        arithmetic: format each family multiplies in (for families without multiplications, the
            format of their vector arithmetic).
        weight_bits, input_bits, output_bits: stored size of one floating-point element by role.
    """

    name: str
    description: str
    arithmetic: tuple[str, ...]
    weight_bits: npt.NDArray[np.float64]
    input_bits: npt.NDArray[np.float64]
    output_bits: npt.NDArray[np.float64]

    def bits(self, role: str) -> npt.NDArray[np.float64]:
        """Stored bits per floating-point element of ``role`` ("weight", "input", "output")."""
        table = {
            "weight": self.weight_bits,
            "input": self.input_bits,
            "output": self.output_bits,
        }
        return table[role]


def _policy(
    name: str,
    description: str,
    *,
    storage: int,
    products: str,
    arithmetic: dict[str, str] | None = None,
    weight: Mapping[str, float] | None = None,
    read: Mapping[str, float] | None = None,
    write: Mapping[str, float] | None = None,
) -> Precision:
    """A policy from its general rule (storage bits, format of products) and its exceptions."""

    def column(exceptions: Mapping[str, float] | None) -> npt.NDArray[np.float64]:
        values = [(exceptions or {}).get(family, storage) for family in f.FAMILIES]
        array = np.array(values, dtype=np.float64)
        array.setflags(write=False)
        return array

    formats = dict.fromkeys(f.GEMM_FAMILIES, products) | (arithmetic or {})
    return Precision(
        name=name,
        description=description,
        arithmetic=tuple(formats.get(family, "fp32") for family in f.FAMILIES),
        weight_bits=column(weight),
        input_bits=column(read),
        output_bits=column(write),
    )


_QUANTISED: Final = (*f.CONVOLUTIONS, f.LINEAR)

PRECISIONS: Final = {
    policy.name: policy
    for policy in (
        _policy("fp32", "FP32 arithmetic and storage", storage=32, products="fp32"),
        _policy(
            "bf16",
            "BF16 products with FP32 accumulation, BF16 storage",
            storage=16,
            products="bf16",
        ),
        _policy(
            "fp16",
            "FP16 products with FP32 accumulation, FP16 storage",
            storage=16,
            products="fp16",
        ),
        _policy(
            "int8",
            "W8A8: INT8 convolutions and linear layers; the rest as in bf16",
            storage=16,
            products="bf16",
            arithmetic=dict.fromkeys(_QUANTISED, "int8"),
            weight=dict.fromkeys(_QUANTISED, 8),
            read=dict.fromkeys((*_QUANTISED, f.POOLING), 8),
            write=dict.fromkeys((*f.CONVOLUTIONS, f.POOLING), 8),
        ),
        _policy(
            "w8",
            "weights in INT8, BF16 products and activations",
            storage=16,
            products="bf16",
            weight=dict.fromkeys(_QUANTISED, 8),
        ),
        _policy(
            "w4",
            "linear weights in 4 bits with a scale per 32, BF16 products and activations",
            storage=16,
            products="bf16",
            weight=dict.fromkeys(f.CONVOLUTIONS, 8) | {f.LINEAR: 4 + 16 / 32},
        ),
    )
}


#: What others call some of these.
_ALSO: Final = {
    **dict.fromkeys(("int4", "q4", "q4_0", "w4a16", "4bit"), "w4"),
    **dict.fromkeys(("q8", "q8_0", "w8a16"), "w8"),
    **dict.fromkeys(("w8a8", "i8", "8bit"), "int8"),
    **dict.fromkeys(("float32", "f32", "float"), "fp32"),
    **dict.fromkeys(("float16", "f16", "half"), "fp16"),
    "bfloat16": "bf16",
}


def get_precision(name: str | Precision) -> Precision:
    """The policy called ``name``; raises :class:`UnknownName` with the nearest valid one."""
    if isinstance(name, Precision):
        return name
    try:
        return PRECISIONS[name]
    except KeyError:
        raise UnknownName("precision", name, PRECISIONS, meant=_ALSO.get(name.lower())) from None
