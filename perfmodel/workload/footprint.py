"""How much memory the activations of a run take."""

from __future__ import annotations

import numpy as np

from perfmodel.vocabulary.precision import Precision, get_precision
from perfmodel.workload.workload import KINDS, ROLES, Workload

#: Kinds of tensors that live for a part of the run.
_PASSING = (KINDS.index("input"), KINDS.index("activation"))


def activation_bytes(workload: Workload, precision: str | Precision) -> float:
    """Return the most bytes of inputs and activations that are alive at once.

    A tensor lives from the first kernel that touches it to the last, kernels running in order. An
    allocator that reuses memory needs as much and little more; one that does not needs more.
    """
    policy = get_precision(precision)
    accesses, tensors = workload.accesses, workload.tensors
    chosen = np.isin(tensors.kind[accesses.tensor], _PASSING)
    tensor, kernel = accesses.tensor[chosen], accesses.kernel[chosen]
    count = len(tensors.name)
    first, last = np.full(count, len(workload)), np.full(count, -1)
    np.minimum.at(first, tensor, kernel)
    np.maximum.at(last, tensor, kernel)
    by_role = np.stack([policy.bits(role) for role in ROLES])
    bits = np.where(
        tensors.floating[tensor],
        by_role[accesses.role[chosen], workload.kernels.family[kernel]],
        tensors.itemsize[tensor] * 8,
    )
    widest = np.zeros(count)
    np.maximum.at(widest, tensor, bits)
    size = tensors.elements * widest / 8
    alive = np.zeros(len(workload) + 1)
    used = last >= 0
    np.add.at(alive, first[used], size[used])
    np.subtract.at(alive, last[used] + 1, size[used])
    return float(np.cumsum(alive).max(initial=0.0))
