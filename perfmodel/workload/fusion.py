"""Which operators one runtime kernel executes together.

A compiled runtime (oneDNN post-ops, an inductor epilogue) runs a convolution with the batch norm,
activation and residual sum behind it as one kernel, a linear layer or matrix product with its
activation and elementwise epilogue likewise, and chains of elementwise operators as one loop.
Values between members of a group stay in registers: they are neither written nor read again.

The rule is local. An operator joins the group that produced one of its inputs if it is that value's
only reader and writes as many elements as the value has. Where several groups qualify (a sum of two
branches) it joins the one finished last, so a group can always run where its last member stood.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from perfmodel.errors import UnknownName
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.fusion_rules import POINTWISE, RULES
from perfmodel.workload.workload import INPUT, KINDS, OUTPUT, WEIGHT, Accesses, Kernels, Workload

#: One value that a tensor held: (tensor, how many times it had been written).
_Version = tuple[int, int]


@dataclass
class _Kernel:
    """Reads and writes of one operator, by version, so that in-place operators are seen right."""

    reads: dict[_Version, int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)
    writes: dict[_Version, int] = field(default_factory=dict)


def fuse(workload: Workload, rules: Iterable[str] = tuple(RULES)) -> Workload:
    """Return the same work as ``workload`` in the kernels that software with these rules launches.

    Args:
        rules: names out of :data:`RULES`, by default all of them.

    Raises:
        UnknownName: a rule that does not exist.

    FLOPs are unchanged; a batch norm behind a convolution is folded into its weights and costs no
    arithmetic. A fused kernel is named and classed after its first member; its operator lists all.
    """
    allowed: set[tuple[str, str]] = set()
    for rule in rules:
        if rule not in RULES:
            raise UnknownName("fusion rule", rule, RULES)
        heads, followers = RULES[rule]
        allowed |= {(head, follower) for head in heads for follower in followers}
    kernels, readers = _versions(workload)
    groups = _group(workload, kernels, readers, allowed)
    return _merge(workload, kernels, readers, groups)


def without_constants(workload: Workload) -> Workload:
    """Return ``workload`` without operators that read no activation: they are calculated once.

    Such are reshaped or converted weights, masks and positions. One whose inputs are all written by
    such operators is one itself. What they write is kept as if it were there from the start.
    """
    accesses = workload.accesses
    kind = workload.tensors.kind
    constant = (kind == KINDS.index("weight")).tolist()
    reads: list[list[int]] = [[] for _ in range(len(workload))]
    writes: list[list[int]] = [[] for _ in range(len(workload))]
    for kernel, tensor, role in zip(
        accesses.kernel.tolist(), accesses.tensor.tolist(), accesses.role.tolist(), strict=True
    ):
        (writes if role == OUTPUT else reads)[kernel].append(tensor)
    keep = np.ones(len(workload), dtype=np.bool_)
    for kernel in range(len(workload)):
        if not workload.kernels.flops[kernel] and all(constant[t] for t in reads[kernel]):
            keep[kernel] = False
            for tensor in writes[kernel]:
                constant[tensor] = True
    if keep.all() or not keep.any():
        return workload
    columns = workload.kernels
    number = np.cumsum(keep) - 1
    rows = keep[accesses.kernel]
    return replace(
        workload,
        kernels=Kernels(
            name=tuple(n for n, k in zip(columns.name, keep.tolist(), strict=True) if k),
            operator=tuple(n for n, k in zip(columns.operator, keep.tolist(), strict=True) if k),
            family=columns.family[keep],
            flops=columns.flops[keep],
            vector_ops=columns.vector_ops[keep],
            gemm=columns.gemm[keep],
        ),
        accesses=Accesses(
            number[accesses.kernel[rows]],
            accesses.tensor[rows],
            accesses.role[rows],
            accesses.elements[rows],
        ),
    )


def _versions(workload: Workload) -> tuple[list[_Kernel], dict[_Version, set[int]]]:
    """Each kernel's reads and writes by version, and which kernels read each version."""
    kernels = [_Kernel() for _ in range(len(workload))]
    readers: dict[_Version, set[int]] = {}
    version: dict[int, int] = {}
    a = workload.accesses
    # Within one kernel every read comes before any write.
    order = np.lexsort((a.role == OUTPUT, a.kernel))
    columns = (column[order].tolist() for column in (a.kernel, a.tensor, a.role, a.elements))
    for kernel, tensor, role, elements in zip(*columns, strict=True):
        if role == WEIGHT:
            weights = kernels[kernel].weights
            weights[tensor] = max(weights.get(tensor, 0), elements)
            continue
        if role == OUTPUT:
            version[tensor] = version.get(tensor, 0) + 1
            kernels[kernel].writes[(tensor, version[tensor])] = elements
            continue
        key = (tensor, version.get(tensor, 0))
        reads = kernels[kernel].reads
        reads[key] = reads.get(key, 0) + elements
        readers.setdefault(key, set()).add(kernel)
    return kernels, readers


def _group(
    workload: Workload,
    kernels: list[_Kernel],
    readers: dict[_Version, set[int]],
    allowed: set[tuple[str, str]],
) -> list[list[int]]:
    """Members of each group, in the order of the groups' last members.

    ``allowed`` holds pairs of families: of a group's first operator, and of one that follows.
    """
    names = workload.family_names()
    operators = workload.kernels.operator
    heads = {head for head, _ in allowed}
    groups: dict[int, list[int]] = {}  # by first member
    open_values: dict[_Version, int] = {}  # result of a group's last member -> first member
    for index, kernel in enumerate(kernels):
        head = index
        if _can_follow(names[index], operators[index]) and len(kernel.writes) == 1:
            (written,) = kernel.writes.values()
            candidates = [
                open_values[value]
                for value in kernel.reads
                if value in open_values
                and readers[value] == {index}
                and kernels[groups[open_values[value]][-1]].writes[value] == written
                and (names[open_values[value]], names[index]) in allowed
            ]
            if candidates:
                head = max(candidates, key=lambda first: groups[first][-1])
        groups.setdefault(head, []).append(index)
        if len(kernel.writes) == 1 and names[head] in heads:
            open_values[next(iter(kernel.writes))] = head
    return sorted(groups.values(), key=lambda members: members[-1])


def _can_follow(family: str, operator: str) -> bool:
    return family in POINTWISE or (family == f.NORM and "batch_norm" in operator)


def _merge(
    workload: Workload,
    kernels: list[_Kernel],
    readers: dict[_Version, set[int]],
    groups: list[list[int]],
) -> Workload:
    columns = workload.kernels
    heads = np.array([members[0] for members in groups], dtype=np.int64)
    of_member = np.empty(len(workload), dtype=np.int64)
    for group, members in enumerate(groups):
        of_member[members] = group
    # A batch norm that joined a convolution is folded: its arithmetic is done ahead of time.
    folded = (columns.family == f.CODE[f.NORM]) & (heads[of_member] != np.arange(len(workload)))
    flops = np.zeros(len(groups), dtype=np.int64)
    vector_ops = np.zeros(len(groups), dtype=np.int64)
    np.add.at(flops, of_member, columns.flops)
    np.add.at(vector_ops, of_member, np.where(folded, 0, columns.vector_ops))

    rows: list[tuple[int, int, int, int]] = []
    for group, members in enumerate(groups):
        if len(members) == 1:
            (alone,) = (kernels[index] for index in members)
            rows += [(group, tensor, WEIGHT, size) for tensor, size in alone.weights.items()]
            rows += [(group, tensor, INPUT, size) for (tensor, _), size in alone.reads.items()]
            rows += [(group, tensor, OUTPUT, size) for (tensor, _), size in alone.writes.items()]
            continue
        inside = set(members)
        written: set[_Version] = set()
        reads: dict[_Version, int] = {}
        weights: dict[int, int] = {}
        for index in members:
            kernel = kernels[index]
            for value, elements in kernel.reads.items():
                if value not in written:
                    reads[value] = max(reads.get(value, 0), elements)
            for tensor, elements in kernel.weights.items():
                weights[tensor] = max(weights.get(tensor, 0), elements)
            written.update(kernel.writes)
        rows += [(group, tensor, WEIGHT, elements) for tensor, elements in weights.items()]
        rows += [(group, value[0], INPUT, elements) for value, elements in reads.items()]
        last = members[-1]
        for index in members:
            rows += [
                (group, value[0], OUTPUT, elements)
                for value, elements in kernels[index].writes.items()
                if index == last or not readers.get(value, set()) <= inside
            ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return replace(
        workload,
        kernels=Kernels(
            name=tuple(columns.name[head] for head in heads.tolist()),
            operator=tuple("+".join(columns.operator[i] for i in members) for members in groups),
            family=columns.family[heads],
            flops=flops,
            vector_ops=vector_ops,
            gemm=columns.gemm[heads],
        ),
        accesses=Accesses(*(table[:, column] for column in range(4))),
    )
