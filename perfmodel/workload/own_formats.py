"""Formats that a workload carries itself: products that a quantised program states.

An exported INT8 program (PT2E) writes a quantised product in floats, between operators that widen
its operands and one that narrows its result; a weight-only one widens the weight. What is compiled
from it reads the narrow operands and has no operator that widens. :func:`narrowed` says so, and
:func:`stated` what a product multiplies in, whatever precision the rest of the workload runs in.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Accesses, Kernels, Workload

#: A product of narrow weights and floating-point activations: no narrower than 16 bits.
WIDE: Final = "wide"
#: What operators multiply in that say so by their name. FP8 is widened: no CPU multiplies it.
_STATED: Final[Mapping[str, str]] = {
    "aten._int_mm": "int8",
    "aten._dyn_quant_matmul_4bit": "int8",
    "aten._scaled_mm": "bf16",
    "aten._scaled_mm_v2": "bf16",
    "aten._weight_int8pack_mm": WIDE,
    "aten._weight_int4pack_mm": WIDE,
    "aten._weight_int4pack_mm_for_cpu": WIDE,
    "aten._weight_int4pack_mm_with_scales_and_zeros": WIDE,
}
_INT8_MARK: Final = "[int8]"
_WIDE_MARK: Final = "[narrow weight]"
_MARKS: Final = {_INT8_MARK: "int8", _WIDE_MARK: WIDE}
#: Operators that widen an operand.
_WIDENS: Final = ("quantized_decomposed.dequantize_", "torchao.dequantize_")
#: Operators that widen a weight if they read one of single bytes.
_CASTS: Final = ("aten.to", "aten._to_copy")
#: Products whose operands may be narrow.
_PRODUCTS: Final = frozenset((*f.CONVOLUTIONS, f.LINEAR, f.MATMUL))

#: Of an access: tensor, role, elements.
_Access = tuple[int, int, int]


def stated(operators: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return what each kernel multiplies in if it says so, by the operators it executes.

    A number format, or :data:`WIDE`; None where the precision decides.
    """
    return tuple(map(_stated, operators))


@functools.cache
def _stated(operator: str) -> str | None:
    operator = operator.partition("+")[0]
    for mark, fmt in _MARKS.items():
        if operator.endswith(mark):
            return fmt
    return _STATED.get(operator)


def narrowed(workload: Workload) -> Workload:
    """Return ``workload`` with products that read narrow operands where it widened them before.

    The same object where there is nothing of the kind. An operator that widens is gone if products
    alone read what it wrote. FLOPs are unchanged.
    """
    if not any(map(_may_widen, workload.kernels.operator)):
        return workload
    rows = _by_kernel(workload)
    sources = {
        kernel: found
        for kernel, operator in enumerate(workload.kernels.operator)
        if (found := _widened(workload, operator, rows[kernel])) is not None
    }
    if not sources:
        return workload
    writer: dict[int, int] = {}
    for kernel in sources:
        (written,) = (tensor for tensor, role, _ in rows[kernel] if role == OUTPUT)
        writer[written] = kernel
    columns = workload.kernels
    operators, family = list(columns.operator), columns.family.copy()
    names = workload.family_names()
    for kernel, name in enumerate(names):
        if name not in _PRODUCTS or not columns.gemm[kernel].any():
            continue
        operands = [writer[t] for t, role, _ in rows[kernel] if role == INPUT and t in writer]
        weights = [k for k in operands if sources[k]]
        # A narrow activation alone is widened and multiplied as it is.
        if len(operands) < 2 and not weights:
            continue
        operators[kernel] += _INT8_MARK if len(operands) > 1 else _WIDE_MARK
        if weights and name == f.MATMUL:
            family[kernel] = f.CODE[f.LINEAR]
        rows[kernel] = [
            new
            for row in rows[kernel]
            for new in (
                _read(rows[writer[row[0]]]) if row[1] == INPUT and row[0] in writer else [row]
            )
        ]
    read = {tensor for own in rows for tensor, role, _ in own if role != OUTPUT}
    keep = np.array([k not in sources or _written(rows[k]) in read for k in range(len(workload))])
    changed = replace(columns, operator=tuple(operators), family=family)
    return _kept(replace(workload, kernels=changed), rows, keep)


def _widened(workload: Workload, operator: str, rows: list[_Access]) -> bool | None:
    """Whether the kernel widens a weight (True) or an activation (False); None for neither."""
    if not _may_widen(operator):
        return None
    tensors = workload.tensors
    narrow = [
        role
        for tensor, role, elements in rows
        if role != OUTPUT and tensors.itemsize[tensor] == 1 and not tensors.floating[tensor]
    ]
    wide = [t for t, role, _ in rows if role == OUTPUT and tensors.floating[t]]
    if not narrow or len(wide) != 1 or sum(role == OUTPUT for _, role, _ in rows) != 1:
        return None
    if operator in _CASTS and narrow != [WEIGHT]:
        return None
    return WEIGHT in narrow


def _may_widen(operator: str) -> bool:
    return operator in _CASTS or operator.startswith(_WIDENS)


def _read(rows: list[_Access]) -> list[_Access]:
    return [row for row in rows if row[1] != OUTPUT]


def _written(rows: list[_Access]) -> int:
    return next(tensor for tensor, role, _ in rows if role == OUTPUT)


def _by_kernel(workload: Workload) -> list[list[_Access]]:
    rows: list[list[_Access]] = [[] for _ in range(len(workload))]
    a = workload.accesses
    for kernel, tensor, role, elements in zip(
        a.kernel.tolist(), a.tensor.tolist(), a.role.tolist(), a.elements.tolist(), strict=True
    ):
        rows[kernel].append((tensor, role, elements))
    return rows


def _kept(workload: Workload, rows: list[list[_Access]], keep: np.ndarray) -> Workload:
    """``workload`` with the kernels to ``keep`` and their accesses ``rows``."""
    columns = workload.kernels
    chosen = np.flatnonzero(keep).tolist()
    table = np.array(
        [(number, *row) for number, kernel in enumerate(chosen) for row in rows[kernel]],
        dtype=np.int64,
    ).reshape(-1, 4)
    return replace(
        workload,
        kernels=Kernels(
            name=tuple(columns.name[kernel] for kernel in chosen),
            operator=tuple(columns.operator[kernel] for kernel in chosen),
            family=columns.family[keep],
            flops=columns.flops[keep],
            vector_ops=columns.vector_ops[keep],
            gemm=columns.gemm[keep],
        ),
        accesses=Accesses(*(table[:, column] for column in range(4))),
    )
