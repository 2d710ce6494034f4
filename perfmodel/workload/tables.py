"""The tables of a workload: its tensors, its kernels, and which kernel touches which tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

INT64_MAX: Final = 2**63 - 1
#: Operators whose outermost loop runs one after the other.
RECURRENT: Final = frozenset({"aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu"})

#: Roles of an access, and their codes in :attr:`Accesses.role`.
ROLES: Final = ("weight", "input", "output")
WEIGHT, INPUT, OUTPUT = range(3)
#: Kinds of tensor, and their codes in :attr:`Tensors.kind`. A *weight* is a parameter or buffer of
#: the module, an *input* an argument of the model, an *activation* the result of a kernel. *State*
#: is an argument that outlives the run, as a KV cache does: the next run finds it as this one left
#: it, so between runs it is where the weights are.
KINDS: Final = ("weight", "input", "activation", "state")
STATE: Final = KINDS.index("state")


@dataclass(frozen=True, eq=False)
class Tensors:
    """One row per storage. ``itemsize`` is bytes per element as traced."""

    name: tuple[str, ...]
    kind: IntArray
    elements: IntArray
    itemsize: IntArray
    floating: BoolArray


@dataclass(frozen=True, eq=False)
class Kernels:
    """One row per operator, in an order in which they can run.

    ``gemm`` has shape (kernels, 4): loops (batch, m, n, k), all zero where there are none. For a
    convolution m counts output pixels over the whole batch, n the output channels of a group, k the
    reduction, batch the groups. For attention they are those of the product of queries and keys.
    For a recurrent layer (:data:`RECURRENT`) batch counts what runs one after the other.
    ``flops`` counts multiply-accumulates as 2; ``vector_ops`` are the other arithmetic operations.
    FLOPs without loops, of a Fourier transform or a factorisation, run like ``vector_ops``.
    """

    name: tuple[str, ...]
    operator: tuple[str, ...]
    family: IntArray
    flops: IntArray
    vector_ops: IntArray
    gemm: IntArray

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, eq=False)
class Accesses:
    """One row per (kernel, tensor, role), with the elements touched; ordered by kernel."""

    kernel: IntArray
    tensor: IntArray
    role: IntArray
    elements: IntArray


@dataclass(frozen=True)
class InputSpec:
    """One tensor argument of the model, as it was traced."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def beyond_int64(tensors: Tensors, kernels: Kernels, accesses: Accesses) -> str | None:
    """The first column whose total, in bytes of what is touched, 64-bit integers do not hold.

    Sizes that are expressions do not count.
    """
    flops, vector_ops = kernels.flops.tolist(), kernels.vector_ops.tolist()
    itemsize = tensors.itemsize[accesses.tensor].tolist()
    touched = zip(accesses.elements.tolist(), itemsize, strict=True)
    totals = {
        "kernels.flops": sum(size for size in flops if type(size) is int),
        "kernels.vector_ops": sum(size for size in vector_ops if type(size) is int),
        "accesses.elements": sum(size * each for size, each in touched if type(size) is int),
    }
    return next((column for column, total in totals.items() if total > INT64_MAX), None)
