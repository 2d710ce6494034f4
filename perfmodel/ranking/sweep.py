"""Regimes: who leads at which batch or length, and from where on.

A sweep evaluates a parametric workload at some sizes of one dimension. Where the leader differs
between two of them, bisection finds the size from which on it does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Unpack

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.estimation import estimate
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.workload.parametric import ParametricWorkload

#: Each point of a range is this many times the one before it.
_STEP: Final = 2
_RANGE: Final = re.compile(
    r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<first>\d{1,12})\s*:\s*(?P<last>\d{1,12})\s*", re.ASCII
)


def sweep_points(text: str) -> tuple[str, tuple[int, ...]]:
    """The dimension and the sizes that ``text`` asks for: ``batch=1:256`` is 1, 2, 4 ... 256.

    The sizes double, and both ends are among them. Raises
    :class:`~perfmodel.errors.PerfmodelError` for a text of another form, an end below 1, or a
    range that ends before it begins.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise PerfmodelError(
            f"sweep {text!r}: expected a dimension and a range, such as batch=1:256"
        )
    first, last = int(found["first"]), int(found["last"])
    if not 1 <= first <= last:
        raise PerfmodelError(
            f"sweep {text!r}: expected a range that begins at 1 or more and does not end before it "
            "begins"
        )
    points = [first]
    while points[-1] * _STEP < last:
        points.append(points[-1] * _STEP)
    return found["name"], tuple(points if points[-1] == last else [*points, last])


@dataclass(frozen=True)
class Crossover:
    """A size from which on another CPU leads.

    Attributes:
        size: the first at which ``after`` leads; at one less ``before`` does.
        before, after: CPU ids.
    """

    size: int
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Sweep:
    """Latencies of CPUs over sizes of one dimension.

    Attributes:
        dimension: its name.
        points: its sizes, ascending, P of them.
        fixed: sizes of the other dimensions.
        cpus: ids, C of them, in the order given.
        latency_ms: of one run at typical figures, shape (P, C).
        throughput_fps: samples per second of one instance, shape (P, C).
        crossovers: where the leader changes, ascending.
    """

    model: str
    dimension: str
    points: tuple[int, ...]
    fixed: Mapping[str, int]
    precision: str
    state: str
    software: str
    cpus: tuple[str, ...]
    latency_ms: FloatArray
    throughput_fps: FloatArray
    crossovers: tuple[Crossover, ...]

    @cached_property
    def leaders(self) -> tuple[str, ...]:
        """The fastest CPU at each point; of equally fast ones the first by id."""
        return tuple(_leader(self.cpus, row) for row in self.latency_ms)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python objects, units in the keys."""
        return {
            "model": self.model,
            "dimension": self.dimension,
            "fixed": dict(self.fixed),
            "precision": self.precision,
            "state": self.state,
            "software": self.software,
            "points": [
                {
                    self.dimension: size,
                    "leader": leader,
                    "latency_ms": dict(zip(self.cpus, latency.tolist(), strict=True)),
                    "throughput_fps": dict(zip(self.cpus, throughput.tolist(), strict=True)),
                }
                for size, leader, latency, throughput in zip(
                    self.points, self.leaders, self.latency_ms, self.throughput_fps, strict=True
                )
            ],
            "crossovers": [
                {self.dimension: found.size, "before": found.before, "after": found.after}
                for found in self.crossovers
            ],
        }


def sweep(
    workload: ParametricWorkload,
    cpus: Sequence[str | os.PathLike[str] | Machine],
    dimension: str,
    points: Sequence[int],
    scenario: ScenarioLike = None,
    *,
    fixed: Mapping[str, int] | None = None,
    **options: Unpack[RunOptions],
) -> Sweep:
    """Latency of ``cpus`` at each of ``points`` along ``dimension``, and where the leader changes.

    A change of leader that is undone before the next point is not seen.

    Args:
        workload: traced with ``dimension`` among its dimensions.
        cpus: catalogue ids, machine files or Machines, each once.
        points: sizes, ascending (see :func:`sweep_points`).
        scenario, options: as for :func:`perfmodel.estimate`.
        fixed: sizes of other dimensions; those of the example inputs by default.

    Raises:
        UnknownName: a dimension that the workload lacks, or as :func:`perfmodel.estimate`.
        UncoveredSize: a size at which the trace does not hold.
        PerfmodelError: no CPU or no point, a CPU twice, or points that do not ascend.
    """
    run = scenario_of(scenario, options)
    workload.dimension(dimension)
    others = {d.name: d.default for d in workload.dimensions if d.name != dimension}
    for name, size in (fixed or {}).items():
        workload.dimension(name)
        if name == dimension:
            raise PerfmodelError(f"{name} is swept and cannot be fixed to {size}, too")
        others[name] = size
    machines = [load_machine(cpu) for cpu in cpus]
    ids = tuple(machine.id for machine in machines)
    if not ids or len(set(ids)) < len(ids):
        raise PerfmodelError(f"a sweep needs different CPUs, found {', '.join(ids) or 'none'}")
    if not points or any(second <= first for first, second in pairwise(points)):
        found = ", ".join(map(str, points)) or "none"
        raise PerfmodelError(f"a sweep needs points that ascend, found {found}")

    known: dict[int, tuple[FloatArray, FloatArray]] = {}

    def at(size: int) -> tuple[FloatArray, FloatArray]:
        if size not in known:
            at_size = workload.at(**{**others, dimension: size})
            results = [estimate(at_size, m, run) for m in machines]
            known[size] = (
                np.array([result.latency_ms for result in results]),
                np.array([result.throughput_fps for result in results]),
            )
        return known[size]

    def leader(size: int) -> str:
        return _leader(ids, at(size)[0])

    for end in (points[0], points[-1]):  # A size that is not covered is found before the work.
        workload.at(**{**others, dimension: end})
    rows = [at(size) for size in points]
    return Sweep(
        model=workload.name,
        dimension=dimension,
        points=tuple(points),
        fixed=others,
        precision=run.policy.name,
        state=run.state,
        software=run.loaded.id,
        cpus=ids,
        latency_ms=np.stack([latency for latency, _ in rows]),
        throughput_fps=np.stack([throughput for _, throughput in rows]),
        crossovers=tuple(
            found
            for first, second in pairwise(points)
            for found in _crossovers(leader, first, second)
        ),
    )


def _crossovers(leader: Callable[[int], str], first: int, last: int) -> list[Crossover]:
    """Changes of leader after ``first`` and up to ``last``; several where a third CPU leads."""
    found = []
    while leader(first) != leader(last):
        before, low, high = leader(first), first, last
        while high - low > 1:
            middle = (low + high) // 2
            if leader(middle) == before:
                low = middle
            else:
                high = middle
        found.append(Crossover(high, before, leader(high)))
        first = high
    return found


def _leader(cpus: Sequence[str], latencies: FloatArray) -> str:
    return min(zip(latencies.tolist(), cpus, strict=True))[1]
