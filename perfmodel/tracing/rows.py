"""From the rows that a recorder made to the tables of a workload."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import numpy as np

from perfmodel.errors import TraceError
from perfmodel.tracing.views import Block, least
from perfmodel.workload.tables import INT64_MAX, WEIGHT, Accesses, IntArray, Kernels, Tensors

#: Name, kind, elements, bytes of each, and whether they are floating-point numbers.
TensorRow = tuple[str, int, int, int, bool]
#: Label, operator, family, FLOPs, other operations, and loops.
KernelRow = tuple[str, str, int, int, int, tuple[int, int, int, int]]
#: Kernel, tensor, role, elements, and the part of a weight.
AccessRow = tuple[int, int, int, int, Block | None]


def recorded(
    model: str,
    tensors: list[TensorRow],
    kernels: list[KernelRow],
    accesses: list[AccessRow],
    integer: type[np.int64 | np.object_],
) -> tuple[Tensors, Kernels, Accesses]:
    """The rows of a recorder as the tables of a workload, sizes in arrays of ``integer``.

    Raises :class:`~perfmodel.errors.TraceError` if a total is beyond 64-bit integers.
    """
    tensors, touching = _parted(tensors, accesses)
    names, kinds, elements, itemsizes, floating = _columns(tensors, 5)
    labels, operator, family, flops, vector_ops, gemm = _columns(kernels, 6)
    kernel, tensor, role, touched = _columns(touching, 4)
    if integer is np.int64:
        moved = (itemsizes[row] * count for _, row, _, count in touching)
        _check_totals(model, flops, vector_ops, moved, elements)
    return (
        Tensors(
            name=names,
            kind=_integers(kinds),
            elements=_integers(elements, integer),
            itemsize=_integers(itemsizes),
            floating=np.array(floating, dtype=np.bool_),
        ),
        Kernels(
            name=labels,
            operator=operator,
            family=_integers(family),
            flops=_integers(flops, integer),
            vector_ops=_integers(vector_ops, integer),
            gemm=_integers(gemm, integer).reshape(len(gemm), 4),
        ),
        Accesses(
            kernel=_integers(kernel),
            tensor=_integers(tensor),
            role=_integers(role),
            elements=_integers(touched, integer),
        ),
    )


def _parted(
    tensors: list[TensorRow], accesses: list[AccessRow]
) -> tuple[list[TensorRow], list[tuple[int, int, int, int]]]:
    """A row for each part of a weight that is only ever read in parts which do not overlap.

    So are the experts of a mixture in one tensor, or queries, keys and values of attention. As one
    row, the parts would pass for the same elements read again.
    """
    blocks: dict[int, dict[Block | None, int]] = {}
    for _, row, role, _, block in accesses:
        if role == WEIGHT:
            blocks.setdefault(row, {})[block] = row
    tensors = list(tensors)
    for row, found in blocks.items():
        if len(found) == 1 or None in found:
            continue
        ordered = sorted(block for block in found if block is not None)
        if any(a[0] + a[1] > b[0] for a, b in itertools.pairwise(ordered)):
            continue
        name, kind, elements, itemsize, floating = tensors[row]
        # Offsets count elements of the type that is read; a view as another type has its own.
        start, count = ordered[-1]
        if start + count > elements:
            continue
        for place, block in enumerate(ordered):
            part = (f"{name}[{place}]", kind, block[1], itemsize, floating)
            if place:
                found[block] = len(tensors)
                tensors.append(part)
            else:
                tensors[row] = part
    merged: dict[tuple[int, int, int], int] = {}
    for kernel, row, role, elements, block in accesses:
        own = blocks[row][block] if role == WEIGHT else row
        key = (kernel, own, role)
        before = merged.get(key)
        total = elements if before is None else least(before + elements, tensors[own][2])
        merged[key] = total
    return tensors, [(*key, elements) for key, elements in merged.items()]


def _columns(rows: list[Any], width: int) -> list[tuple[Any, ...]]:
    # Not zip(*rows), which is slow for a million rows.
    return [tuple(map(itemgetter(column), rows)) for column in range(width)]


def _integers(values: tuple[Any, ...], integer: type[np.generic] = np.int64) -> IntArray:
    return np.array(values, dtype=integer)


def _check_totals(model: str, *columns: Iterable[int]) -> None:
    """Raise TraceError unless every total is exact as a 64-bit integer."""
    if max(map(sum, columns)) > INT64_MAX:
        raise TraceError(
            f"{model}: operations or bytes are beyond what a 64-bit integer holds; trace it at a "
            "smaller batch"
        )
