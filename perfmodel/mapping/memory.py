"""What a run keeps in memory, against what the machine holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from perfmodel._text import significant
from perfmodel.errors import NotEnoughMemory
from perfmodel.machine import Machine
from perfmodel.mapping.policies import effective
from perfmodel.scenario import Scenario
from perfmodel.vocabulary.partition import Partition
from perfmodel.vocabulary.precision import PRECISIONS, Precision
from perfmodel.workload.footprint import activation_bytes
from perfmodel.workload.workload import Workload

#: Precisions to advise, widest weights first.
_NARROWER: Final = ("bf16", "int8", "w8", "w4")


_BINARY: Final = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"))


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that all instances of a model keep.

    Attributes:
        weights: of one copy.
        copies: of the weights: one for each instance, or one for all that share it.
        state: KV caches of one instance.
        activations: the most that one instance has at once.
        instances: that run at once.
        capacity: of the machine; None where its file states none.
    """

    weights: float
    copies: int
    state: float
    activations: float
    instances: int
    capacity: float | None

    @property
    def total(self) -> float:
        """Of all instances together."""
        return self.weights * self.copies + (self.state + self.activations) * self.instances

    @property
    def fits(self) -> bool:
        """Whether the machine holds it; it does where its capacity is not known."""
        return self.capacity is None or self.total <= self.capacity

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON, units in the keys."""
        sizes = ("weights", "state", "activations", "capacity")
        found = {f"{n}_bytes" if n in sizes else n: v for n, v in asdict(self).items()}
        return found | {"total_bytes": self.total}

    def __str__(self) -> str:
        parts = {"weights": (self.weights, self.copies)}
        parts |= {"KV cache": (self.state, self.instances)} if self.state else {}
        parts["activations"] = (self.activations, self.instances)
        return ", ".join(
            f"{name} {size_text(size)}" + (f" x {times}" if times > 1 else "")
            for name, (size, times) in parts.items()
        )


def size_text(size: float) -> str:
    """Return a size for people, such as "131.2 GiB"."""
    scale, prefix = next((pair for pair in _BINARY if size >= pair[0]), _BINARY[-1])
    return f"{significant(size / scale, 4)} {prefix}B"


def memory_need(
    workload: Workload, machine: Machine, run: Scenario, partition: Partition | None = None
) -> MemoryNeed:
    """Return what ``run`` keeps in the memory of ``machine``.

    Args:
        partition: how the machine is divided; one instance unless given.
    """
    instances = 1 if partition is None else partition.instances
    policy = effective(run.policy, run.loaded, machine)
    return _need(workload, policy, machine, run, instances)


def _need(
    workload: Workload, policy: Precision, machine: Machine, run: Scenario, instances: int
) -> MemoryNeed:
    capacity = machine.memory.capacity
    # Asked again for every division and CPU.
    kept: dict[Precision, tuple[float, float, float]] = workload.memo.setdefault("memory", {})
    if policy not in kept:
        state = workload.state_bytes(policy)
        kept[policy] = workload.weight_bytes(policy), state, activation_bytes(workload, policy)
    weights, state, activations = kept[policy]
    return MemoryNeed(
        weights=weights,
        copies=instances if run.weights == "separate" else 1,
        state=state,
        activations=activations,
        instances=instances,
        capacity=None if capacity is None else capacity.typical,
    )


def require_memory(
    workload: Workload, machine: Machine, run: Scenario, partition: Partition | None = None
) -> MemoryNeed:
    """Return what ``run`` keeps in memory, as :func:`memory_need`.

    Raises:
        NotEnoughMemory: more than the machine holds; says what would fit.
    """
    need = memory_need(workload, machine, run, partition)
    if need.fits:
        return need
    who = "" if partition is None or partition.instances == 1 else f"{partition} "
    verb = "need" if who else "needs"
    advice = list(_advice(workload, machine, run, need))[:2]
    raise NotEnoughMemory(
        f"{workload.name}: {who}{verb} {size_text(need.total)} ({need}); {machine.id} has at most "
        f"{machine.memory.capacity}: " + (", or ".join(advice) or "take a machine with more")
    )


def _advice(workload: Workload, machine: Machine, run: Scenario, need: MemoryNeed) -> Iterator[str]:
    """What would fit, least change first."""
    shared = replace(need, copies=1)
    if need.copies > 1 and shared.fits:
        yield f"share the weights (--weights shared: {size_text(shared.total)})"
    fewer = next((n for n in range(need.instances - 1, 0, -1) if _of(need, n).fits), None)
    if fewer is not None:
        yield f"run at most {fewer} instance{'s' if fewer > 1 else ''}"
    for name in _NARROWER:
        policy = effective(PRECISIONS[name], run.loaded, machine)
        narrower = _need(workload, policy, machine, run, need.instances)
        if narrower.weights < need.weights and narrower.fits:
            yield f"{name} needs {size_text(narrower.total)}"
            break
    assert need.capacity is not None
    if machine.rental is None and machine.sockets == 1 and need.total <= 2 * need.capacity:
        yield "two such sockets hold it (--sockets 2)"
    if need.activations * need.instances > need.capacity / 2:
        yield "take a smaller batch"


def _of(need: MemoryNeed, instances: int) -> MemoryNeed:
    return replace(need, instances=instances, copies=min(need.copies, instances))
