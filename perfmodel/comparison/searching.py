"""One model searched on several CPUs: what serving, its cost and reports begin with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from perfmodel.comparison.chosen import Cpu
from perfmodel.machine import Machine, load_machine
from perfmodel.resolve import ModelSource
from perfmodel.scenario import Scenario
from perfmodel.serving.partition import divisions_to_try
from perfmodel.serving.searching import BATCHES, Search, search
from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class Searched:
    """What a search found on each machine, in their order.

    Attributes:
        workload: gives the model at a batch, each traced once.
    """

    workload: Callable[[int], Workload]
    machines: tuple[Machine, ...]
    found: tuple[Search, ...]


def search_each(
    source: ModelSource,
    cpus: Iterable[Cpu],
    run: Scenario,
    *,
    max_latency_s: float | None = None,
    batches: Sequence[int] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Searched:
    """Return what :func:`perfmodel.serving.search` finds of a model on each of ``cpus``.

    Args:
        batches: samples per run to try; by default the scenario's batch, or powers of two.
        tell: told why the model is traced at each batch, where it is.

    Raises as :func:`perfmodel.serving.search`; for CPUs and divisions before the model is traced.
    """
    machines = tuple(load_machine(cpu) for cpu in cpus)
    for machine in machines:
        divisions_to_try(machine, run)
    wanted = batches_to_try(source, batches or run.batch)
    workload = at_batch(source, wanted, tell)
    found = tuple(
        search(workload, machine, run, max_latency_s=max_latency_s, batches=wanted)
        for machine in machines
    )
    return Searched(workload, machines, found)


def batches_to_try(source: ModelSource, asked: int | Sequence[int] | None) -> list[int]:
    """Return the batches a search tries, ascending: as asked, powers of two, or a file's own."""
    return sorted(source.batches(asked or (BATCHES if source.fixed_batch is None else None)))


def at_batch(
    source: ModelSource, batches: Sequence[int], tell: Callable[[str], None] | None = None
) -> Callable[[int], Workload]:
    """Return what gives the model at a batch, traced once for all of ``batches`` if it can be.

    Args:
        tell: told why it is traced at each batch, where it is.
    """
    if (reason := source.prepare(batches)) is not None and tell is not None:
        tell(f"{source.name}: {reason}")
    return functools.cache(source.workload)
