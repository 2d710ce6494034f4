"""What is recorded of a workload and of an estimate: small documents with units in their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from perfmodel.guard.tolerance import close
from perfmodel.vocabulary import families
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.workload.workload import ROLES, Workload

#: Kinds of kernel recorded of each estimate: those that take most of its time.
TOP: Final = 5

_COMMON: Final = ("model", "cpu", "method", "batch", "state", "software")
#: The throughput's interval follows from the latency's.
_NOT_REPEATED: Final = (*_COMMON, "precision", "throughput_low_fps", "throughput_high_fps")


class Kernel(Protocol):
    """The columns of an estimate's per-kernel table that are recorded."""

    @property
    def name(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def cores(self) -> int: ...
    @property
    def level(self) -> str: ...
    @property
    def bound(self) -> str: ...
    @property
    def latency_ms(self) -> float: ...


class Result(Protocol):
    """What is recorded of an estimate."""

    @property
    def kernels(self) -> Sequence[Kernel]: ...
    def to_dict(self) -> dict[str, Any]: ...


def workload_document(workload: Workload) -> dict[str, Any]:
    """What the model asks for: operator counts, FLOPs and bytes by role, without any hardware.

    FLOPs count a multiply-accumulate as 2. ``traced_bytes`` are at the element sizes of the trace
    and are touched by kernels, so a tensor that two kernels read counts twice; ``weight_bytes``
    count each weight once, under each precision.
    """
    names = workload.family_names()
    kernels = workload.kernels
    return {
        "model": workload.name,
        "batch": workload.batch,
        "inputs": {i.name: f"{'x'.join(map(str, i.shape))} {i.dtype}" for i in workload.inputs},
        "parameters": workload.parameters,
        "kernels": len(workload),
        "flops": workload.flops,
        "vector_ops": workload.vector_ops,
        "operators": workload.operator_counts(),
        "families": {
            family: {
                "kernels": names.count(family),
                "flops": sum(kernels.flops[kernels.family == families.CODE[family]].tolist()),
                "vector_ops": sum(
                    kernels.vector_ops[kernels.family == families.CODE[family]].tolist()
                ),
            }
            for family in set(names)
        },
        "dependencies": sum(map(len, workload.dependencies)),
        "traced_bytes": {
            role: sum(workload.traced_bytes(code).tolist()) for code, role in enumerate(ROLES)
        },
        "weight_bytes": {name: workload.weight_bytes(name) for name in PRECISIONS},
        "unmodelled": list(workload.unmodelled),
    }


def estimate_document(estimates: Mapping[str, Result]) -> dict[str, Any]:
    """One model on one CPU: its estimates by precision, which share everything else."""
    documents = {precision: result.to_dict() for precision, result in estimates.items()}
    first = next(iter(documents.values()))
    return {
        **{key: first[key] for key in _COMMON},
        "precisions": {
            precision: {
                **{key: value for key, value in document.items() if key not in _NOT_REPEATED},
                "top_kernels": top_kernels(estimates[precision].kernels),
            }
            for precision, document in documents.items()
        },
    }


def top_kernels(kernels: Iterable[Kernel], count: int = TOP) -> dict[str, dict[str, Any]]:
    """The kinds of kernel that take most time, by the name of their first kernel.

    The layers of a Transformer repeat; kernels alike in everything recorded are one kind, with
    ``kernels`` of them. Times equal within the tolerance are ordered by place, so that the last
    bit of a float decides nothing.
    """
    rows = list(kernels)
    kinds: list[list[int]] = []
    for index, row in enumerate(rows):
        for kind in kinds:
            if _alike(rows[kind[0]], row):
                kind.append(index)
                break
        else:
            kinds.append([index])
    totals = {kind[0]: sum(rows[i].latency_ms for i in kind) for kind in kinds}
    kinds.sort(key=lambda kind: -totals[kind[0]])
    chosen: list[list[int]] = []
    while kinds and len(chosen) < count:
        equal = [kind for kind in kinds if close(totals[kind[0]], totals[kinds[0][0]])]
        first = min(equal, key=lambda kind: kind[0], default=kinds[0])
        kinds.remove(first)
        chosen.append(first)
    return {
        rows[kind[0]].name: {
            "operator": rows[kind[0]].operator,
            "kernels": len(kind),
            "engine": rows[kind[0]].engine,
            "cores": rows[kind[0]].cores,
            "level": rows[kind[0]].level,
            "bound": rows[kind[0]].bound,
            "latency_ms": totals[kind[0]],
        }
        for kind in chosen
    }


def _alike(a: Kernel, b: Kernel) -> bool:
    labels_a = (a.operator, a.engine, a.cores, a.level, a.bound)
    labels_b = (b.operator, b.engine, b.cores, b.level, b.bound)
    return labels_a == labels_b and close(a.latency_ms, b.latency_ms)
