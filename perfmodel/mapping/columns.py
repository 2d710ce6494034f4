"""A Workload under a precision policy, as the columns the time formula reads.

Kernels that ask for exactly the same (the layers of a Transformer) become one column with a count,
so that the formula's cost follows the number of different kernels, not the depth of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.roofline import FloatArray, Work
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import FORMATS, Precision
from perfmodel.workload import own_formats
from perfmodel.workload.tables import RECURRENT
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload

_ROLES = (WEIGHT, INPUT, OUTPUT)


@dataclass(frozen=True, eq=False)
class Columns:
    """Different kernels of one workload (K of them) and how to get back to all of its kernels.

    Attributes:
        precision: the policy the bytes were taken under.
        batch: samples in one run.
        family: family code of each column, shape (K,).
        work: what each asks for. Its ``moved`` counts what is read from or written to state with
            the weights: both stay from run to run, so both are found at the same level.
        count: kernels each column stands for, shape (K,).
        inverse: column of each kernel of the workload, shape (kernels,).
        resident_bytes: of all weights and state, each stored once.
        second: bytes of the second operand of products of several rows (what a GEMM library packs)
            by role, (weight, input), shape (2, K).
        stated: index in :data:`~perfmodel.vocabulary.precision.FORMATS` of what the program itself
            multiplies in, -1 where the precision decides, shape (K,).
        steps: how often the threads of each meet one after the other, shape (K,).
    """

    precision: Precision
    batch: int
    family: npt.NDArray[np.int64]
    work: Work
    count: FloatArray
    inverse: npt.NDArray[np.intp]
    resident_bytes: float
    second: FloatArray
    stated: npt.NDArray[np.int64]
    steps: FloatArray

    def arithmetic(self) -> list[tuple[tuple[str, ...], npt.NDArray[np.bool_]]]:
        """Formats by family, and of which columns: the precision's, then each that is stated."""
        return [
            (self.precision.arithmetic, self.stated < 0),
            *(
                ((FORMATS[code],) * len(f.FAMILIES), self.stated == code)
                for code in sorted(set(self.stated[self.stated >= 0].tolist()))
            ),
        ]

    def take(self, index: npt.NDArray[np.intp]) -> Columns:
        """Return these columns in another order: ``index`` names each once, shape (K,)."""
        work = self.work
        return replace(
            self,
            family=self.family[index],
            work=Work(
                flops=work.flops[index],
                loops=work.loops[index],
                vector_ops=work.vector_ops[index],
                elements=work.elements[index],
                moved=work.moved[:, index],
            ),
            count=self.count[index],
            inverse=np.argsort(index)[self.inverse],
            second=self.second[:, index],
            stated=self.stated[index],
            steps=self.steps[index],
        )

    def elements(self, role: int) -> FloatArray:
        """Elements of each column by role, shape (K,); those of the state are among the weights."""
        policy = self.precision
        bits = (policy.weight_bits, policy.input_bits, policy.output_bits)[role]
        found: FloatArray = self.work.moved[role] * 8 / bits[self.family]
        return found


def columns(workload: Workload, precision: Precision) -> Columns:
    """The columns of ``workload`` (fuse it first where the runtime does)."""
    kernels = workload.kernels
    moved = np.stack([workload.bytes(role, precision) for role in _ROLES])
    state = np.stack([workload.state_traffic(role, precision) for role in (INPUT, OUTPUT)])
    second = _second_operand(workload, moved)
    moved[[INPUT, OUTPUT]] -= state
    moved[WEIGHT] += state.sum(axis=0)
    touched = np.stack(
        [
            workload.elements(role) + workload.elements(role, floating=False)
            for role in (INPUT, OUTPUT)
        ]
    )
    # FLOPs without loops (a Fourier transform, a factorisation) are arithmetic on vectors.
    looped = kernels.gemm.any(axis=1)
    table = np.column_stack(
        [
            kernels.family,
            np.where(looped, kernels.flops, 0),
            kernels.vector_ops + np.where(looped, 0, kernels.flops),
            _loops(workload),
            np.maximum(touched.max(axis=0), 1),
            moved.T,
            second.T,
            _stated(workload, precision),
            np.where(_recurrent(workload), np.maximum(kernels.gemm[:, 0], 1), 1),
        ]
    ).astype(np.float64)
    unique, inverse, count = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    return Columns(
        precision=precision,
        batch=workload.batch,
        family=unique[:, 0].astype(np.int64),
        work=Work(
            flops=unique[:, 1],
            vector_ops=unique[:, 2],
            loops=unique[:, 3:7],
            elements=unique[:, 7],
            moved=unique[:, 8:11].T,
        ),
        count=count.astype(np.float64),
        inverse=inverse.ravel(),
        resident_bytes=workload.weight_bytes(precision) + workload.state_bytes(precision),
        second=unique[:, 11:13].T,
        stated=unique[:, 13].astype(np.int64),
        steps=unique[:, 14],
    )


def _stated(workload: Workload, precision: Precision) -> npt.NDArray[np.int64]:
    """Format that each kernel states, by index; -1 for none."""
    codes = []
    for fmt, family in zip(
        own_formats.stated(workload.kernels.operator), workload.kernels.family.tolist(), strict=True
    ):
        if fmt == own_formats.WIDE:
            fmt = "bf16" if precision.arithmetic[family] == "int8" else None
        codes.append(-1 if fmt is None else FORMATS.index(fmt))
    return np.array(codes, dtype=np.int64)


def mask_of(*families: str) -> npt.NDArray[np.bool_]:
    """Whether a family is among these, by family code: shape (families,)."""
    return np.isin(np.arange(len(f.FAMILIES)), [f.CODE[family] for family in families])


_PACKING: Final = mask_of(f.CONV, f.POINTWISE_CONV, f.LINEAR, f.MATMUL)


def _second_operand(workload: Workload, moved: FloatArray) -> FloatArray:
    """Bytes of the (k, n) operand of convolutions, linear layers and matrix products, (2, K).

    That of one row is read once as it is (a GEMV), attention kernels work on blocks of it, and
    depthwise convolutions have nothing to pack.
    """
    kernels = workload.kernels
    _, m, n, k = kernels.gemm.T.astype(np.float64)
    packs = _PACKING[kernels.family] & (m > 1) & (n > 0)
    weight = np.where(packs, moved[WEIGHT], 0.0)
    # Of two activations, the second is k x n of the elements read.
    both = np.where(packs, m * k + k * n, 1.0)
    activation = np.where(packs & (weight == 0), moved[INPUT] * (k * n) / both, 0.0)
    return np.stack([weight, activation])


def _loops(workload: Workload) -> npt.NDArray[np.int64]:
    """GEMM loops as an engine runs them, shape (kernels, 4)."""
    loops = np.maximum(workload.kernels.gemm, 1)
    # A depthwise convolution has one output channel per group; engines vectorise over the groups.
    depthwise = workload.kernels.family == f.CODE[f.DEPTHWISE_CONV]
    loops[depthwise, 2] *= loops[depthwise, 0]
    loops[depthwise, 0] = 1
    # No two cores share what runs one after the other, as they share no k.
    recurrent = _recurrent(workload)
    loops[recurrent, 3] *= loops[recurrent, 0]
    loops[recurrent, 0] = 1
    return loops


def _recurrent(workload: Workload) -> npt.NDArray[np.bool_]:
    """Whether a kernel's outermost loop runs one after the other, shape (kernels,)."""
    heads = (operator.partition("+")[0] for operator in workload.kernels.operator)
    return np.fromiter((head in RECURRENT for head in heads), np.bool_, len(workload))
