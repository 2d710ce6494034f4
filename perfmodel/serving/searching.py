"""The partition and batch with the highest throughput within a latency limit."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Unpack

from perfmodel._text import html_table, significant
from perfmodel.errors import NotEnoughMemory, PerfmodelError
from perfmodel.figures import quantity
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.result import Result
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.serving.partition import divisions_to_try
from perfmodel.serving.serving import serve
from perfmodel.vocabulary import ranges
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload

#: Samples per run that a search tries: powers of two.
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Search:
    """What a search found on one CPU.

    Attributes:
        scenario: how the model is run, divisions and batches apart.
        max_latency_ms: the limit, or None.
        tried: every combination of partition and batch that was evaluated. Batches end where even
            the fastest partition exceeds the limit.
        left_out: why partitions were not evaluated, if some were not.
    """

    cpu: str
    scenario: Scenario
    max_latency_ms: float | None
    tried: tuple[Result, ...]
    left_out: tuple[str, ...] = ()

    @property
    def fastest(self) -> Result:
        """The lowest latency that this CPU reaches, limit or not."""
        return min(self.tried, key=lambda served: (served.latency_ms, -served.throughput_fps))

    @property
    def within(self) -> tuple[Result, ...]:
        """Those within the limit."""
        limit = self.max_latency_ms
        return tuple(s for s in self.tried if limit is None or s.latency_ms <= limit)

    @property
    def best(self) -> Result | None:
        """The highest throughput within the limit; None where nothing is within it."""
        return min(
            self.within,
            key=lambda served: (-served.throughput_fps, served.latency_ms),
            default=None,
        )

    @property
    def frontier(self) -> tuple[Result, ...]:
        """Within the limit, what no other beats in both latency and throughput; by latency."""
        found: list[Result] = []
        for served in sorted(self.within, key=lambda s: (s.latency_ms, -s.throughput_fps)):
            if not found or served.throughput_fps > found[-1].throughput_fps:
                found.append(served)
        return tuple(found)

    def buckets(self, per_decade: int = 10) -> tuple[Result, ...]:
        """The frontier thinned out: its last point in each of ``per_decade`` steps of latency."""
        last: dict[int, Result] = {}
        for served in self.frontier:
            last[math.floor(math.log10(served.latency_ms) * per_decade)] = served
        return tuple(last.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know: of the estimates, and of partitions that were left out."""
        return (*self.fastest.notes, *self.left_out)

    def __repr__(self) -> str:
        limit = self.max_latency_ms
        within = "" if limit is None else f" within {significant(limit)} ms"
        return f"Search({len(self.tried)} tried on {self.cpu}{within}; best: {self.best})"

    def _repr_html_(self) -> str:
        head = ("CPU", "ms", "FPS", "instances x cores", "batch")
        rows = [
            (
                served.cpu,
                significant(served.latency_ms),
                significant(served.throughput_fps),
                str(served.partition),
                str(served.batch),
            )
            for served in self.buckets(per_decade=5)
        ]
        return html_table(head, rows)

    def to_dict(self) -> dict[str, Any]:
        """The best, the fastest and the frontier as plain Python objects."""
        need = None if self.best is None else self.best.memory
        return {
            "cpu": self.cpu,
            "max_latency_ms": self.max_latency_ms,
            "best": None if self.best is None else self.best.to_dict(),
            "memory": None if need is None else need.to_dict(),
            "fastest": self.fastest.to_dict(),
            "frontier": [served.to_dict() for served in self.frontier],
            "tried": len(self.tried),
            "left_out": list(self.left_out),
        }


def search(
    workload: Callable[[int], Workload],
    cpu: str | os.PathLike[str] | Machine,
    scenario: ScenarioLike = None,
    *,
    max_latency_s: float | None = None,
    batches: Sequence[int] = BATCHES,
    **options: Unpack[RunOptions],
) -> Search:
    """The fastest ways to serve a model on one socket.

    Args:
        workload: gives the model at a batch.
        scenario, options: as for :func:`perfmodel.estimate`; a number of instances, or of cores of
            each, leaves those partitions alone.
        max_latency_s: longest time that a batch may be computed, in seconds; None for no limit.
        batches: samples per run to try, ascending.

    Raises:
        PerfmodelError: a limit outside its plausible range.
        NotEnoughMemory: the memory holds no partition's weights, KV caches and activations.
        UnknownName, MachineError: as :func:`serve`.
    """
    if max_latency_s is not None:
        ranges.LATENCY.check("latency limit", max_latency_s)
    run = scenario_of(scenario, options)
    machine = load_machine(cpu)
    limit = None if max_latency_s is None else max_latency_s * 1e3
    chosen = divisions_to_try(machine, run)
    tried: list[Result] = []
    left_out: dict[Partition, str] = {}
    for batch in batches:
        found = list(_at_batch(workload(batch), machine, chosen, run, left_out))
        tried += found
        # A larger batch is never faster, nor smaller.
        if limit is not None and all(served.latency_ms > limit for served in found):
            break
    if not tried:
        # The first is of the fewest instances at the smallest batch.
        raise NotEnoughMemory(next(iter(left_out.values())))
    return Search(machine.id, run, limit, tuple(tried), _left_out(left_out))


def _left_out(found: Mapping[Partition, str]) -> tuple[str, ...]:
    """One line for all divisions without room: of the fewest instances, and how many more."""
    if not found:
        return ()
    first = found[min(found)]
    more = len(found) - 1
    also = f" (left out, as {more} more division{'s' if more > 1 else ''})" if more else ""
    return (f"{first}{also or ' (left out)'}",)


def require_best(found: Sequence[Search]) -> tuple[str, ...]:
    """One line for each CPU that misses its limit, with the best latency it reaches.

    Raises:
        PerfmodelError: those lines as one, where every CPU misses it.
    """
    missed = [result for result in found if result.best is None]
    if missed and len(missed) == len(found):
        reached = "; ".join(f"{result.cpu} {_reached(result)}" for result in missed)
        (limit_ms,) = {result.max_latency_ms for result in missed}
        assert limit_ms is not None
        limit = quantity.render(limit_ms / 1e3, "s")
        raise PerfmodelError(f"no CPU meets {limit}; the best each reaches: {reached}")
    return tuple(
        f"{result.cpu} cannot meet the limit; the best it reaches is {_reached(result)}"
        for result in missed
    )


def _reached(result: Search) -> str:
    fastest = result.fastest
    latency = quantity.render(fastest.latency_ms / 1e3, "s")
    number, _, unit = latency.partition(" ")
    return f"{float(number):.4g} {unit} ({fastest.partition}, batch {fastest.batch})"


def _at_batch(
    workload: Workload,
    machine: Machine,
    chosen: Sequence[Partition],
    run: Scenario,
    left_out: dict[Partition, str],
) -> Iterator[Result]:
    for partition in chosen:
        try:
            yield serve(workload, machine, partition, run)
        except NotEnoughMemory as error:
            left_out.setdefault(partition, str(error))
