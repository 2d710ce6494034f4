"""A Workload under a precision policy, as the columns the time formula reads.

Kernels that ask for exactly the same (the layers of a Transformer) become one column with a count,
so that the formula's cost follows the number of different kernels, not the depth of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.roofline import FloatArray, Work
from perfmodel.precision import Precision
from perfmodel.workload import families as f
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload

_ROLES = (WEIGHT, INPUT, OUTPUT)


@dataclass(frozen=True, eq=False)
class Columns:
    """Different kernels of one workload (K of them) and how to get back to all of its kernels.

    Attributes:
        precision: the policy the bytes were taken under.
        family: family code of each column, shape (K,).
        work: what each asks for.
        count: kernels each column stands for, shape (K,).
        inverse: column of each kernel of the workload, shape (kernels,).
        weight_bytes: of all weights, each stored once.
    """

    precision: Precision
    family: npt.NDArray[np.int64]
    work: Work
    count: FloatArray
    inverse: npt.NDArray[np.intp]
    weight_bytes: float


def columns(workload: Workload, precision: Precision) -> Columns:
    """The columns of ``workload`` (fuse it first where the runtime does)."""
    kernels = workload.kernels
    moved = np.stack([workload.bytes(role, precision) for role in _ROLES])
    touched = np.stack(
        [
            workload.elements(role) + workload.elements(role, floating=False)
            for role in (INPUT, OUTPUT)
        ]
    )
    table = np.column_stack(
        [
            kernels.family,
            kernels.flops,
            kernels.vector_ops,
            _loops(workload),
            np.maximum(touched.max(axis=0), 1),
            moved.T,
        ]
    ).astype(np.float64)
    unique, inverse, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    return Columns(
        precision=precision,
        family=unique[:, 0].astype(np.int64),
        work=Work(
            flops=unique[:, 1],
            vector_ops=unique[:, 2],
            loops=unique[:, 3:7],
            elements=unique[:, 7],
            moved=unique[:, 8:11].T,
        ),
        count=count.astype(np.float64),
        inverse=inverse.reshape(-1),
        weight_bytes=workload.weight_bytes(precision),
    )


def _loops(workload: Workload) -> npt.NDArray[np.int64]:
    """GEMM loops as an engine runs them, shape (kernels, 4)."""
    loops = np.maximum(workload.kernels.gemm, 1)
    # A depthwise convolution has one output channel per group; engines vectorise over the groups.
    depthwise = workload.kernels.family == f.CODE[f.DEPTHWISE_CONV]
    loops[depthwise, 2] *= loops[depthwise, 0]
    loops[depthwise, 0] = 1
    return loops
