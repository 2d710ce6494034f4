"""Predicted beside measured, point by point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from perfmodel.evidence.cases import Case
from perfmodel.evidence.scores import Scores, scores
from perfmodel.machine import Machine
from perfmodel.machine.parts import with_cores
from perfmodel.mapping import estimate

K = TypeVar("K")
#: Samples per run that a throughput is the best of.
SERVED_BATCHES: Final = (1, 4, 16, 64)


@dataclass(frozen=True)
class Compared:
    """One point, or one part of a model's time, predicted and measured.

    Attributes:
        name: what ran.
        subject: what it belongs to: a model, or a kind of kernel.
        predicted, measured: in ``unit``.
        unit: "ms", "samples/s" or "tokens/s".
        regime: what most of the predicted time goes to: "compute", "L2", "L3", "DRAM", "overhead".
        detail: how the prediction was made, where there was a choice.
    """

    name: str
    subject: str
    set: str
    machine: str
    split: str
    unit: str
    predicted: float
    measured: float
    regime: str
    detail: str = ""

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects."""
        return {
            "name": self.name,
            "set": self.set,
            "machine": self.machine,
            "split": self.split,
            "unit": self.unit,
            "predicted": self.predicted,
            "measured": self.measured,
            "ratio": self.ratio,
            "regime": self.regime,
            "detail": self.detail,
        }


def predict(case: Case, machine: Machine | None = None) -> Compared:
    """``case`` as the model has it on ``machine``, by default the one its file names.

    A throughput is that of the best partition (:func:`perfmodel.serving.search`) on each of the
    system's sockets, at the batch of the row, or at the best one where it states none.
    """
    cpu = case.machine if machine is None else with_cores(machine, case.row.all_cores)
    group, detail = case.group, ""
    if group.quantity == "throughput":
        value, regime, detail = _served(case, cpu)
        unit = "samples/s"
    else:
        found = estimate(case.workload, cpu, group.scenario)
        regime = found.bottleneck
        if group.quantity == "token_rate":
            value, unit = found.throughput_fps * max(1, case.workload.tokens), "tokens/s"
        else:
            value, unit = found.latency_ms, "ms"
    return Compared(
        name=case.name,
        subject=case.row.subject,
        set=group.name,
        machine=cpu.id,
        split=case.split,
        unit=unit,
        predicted=value,
        measured=case.measured * (1e3 if unit == "ms" else 1),
        regime=regime,
        detail=detail,
    )


def _served(case: Case, machine: Machine) -> tuple[float, str, str]:
    from perfmodel.serving import search

    group = case.group
    batches = SERVED_BATCHES if case.row.stated_batch is None else (case.row.stated_batch,)
    best = search(case.at_batch, machine, group.scenario, batches=batches).best
    assert best is not None  # There is no limit that nothing could be within.
    detail = f"{best.partition} at batch {best.batch}, {group.sockets} sockets"
    return best.throughput_fps * group.sockets, best.bottleneck, detail


def score(compared: Sequence[Compared]) -> Scores:
    """The scores of these points."""
    return scores([c.predicted for c in compared], [c.measured for c in compared])


def grouped(compared: Iterable[Compared], key: Callable[[Compared], K]) -> dict[K, list[Compared]]:
    """The points by ``key``, in the order of their first ones."""
    groups: dict[K, list[Compared]] = {}
    for point in compared:
        groups.setdefault(key(point), []).append(point)
    return groups
