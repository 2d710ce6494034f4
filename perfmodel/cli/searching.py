"""The search over partitions and batches that ``serve`` and ``tco`` share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from perfmodel.cli import options
from perfmodel.cli.rendering import note, progress

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.resolve import ModelSource
    from perfmodel.serving import Search
    from perfmodel.workload.workload import Workload


def search_all(
    source: ModelSource,
    machines: Sequence[Machine],
    limit_s: float | None,
    run: tuple[str, str, str],
    *,
    batch: Sequence[str] | None,
    instances: str | None,
    cores_per_instance: str | None,
    weights: options.Weights,
) -> tuple[list[Search], Callable[[int], Workload]]:
    """What each machine serves within ``limit_s``, and the model by batch, each traced once.

    ``run`` is precision, state and runtime; the others are what the options of that name hold.
    """
    from perfmodel.serving.partition import divisions
    from perfmodel.serving.search import BATCHES, search

    asked = options.batches(batch) or (BATCHES if source.fixed_batch is None else None)
    batches = sorted(source.batches(asked))
    count = options.count("--instances", instances)
    cores = options.count("--cores-per-instance", cores_per_instance)
    tried = [divisions(machine, count, cores) for machine in machines]
    with progress() as loading:
        loading(source.name)
        if (reason := source.prepare(batches)) is not None:
            note(f"{source.name}: {reason}")
        at_batch = functools.cache(source.workload)
        found = [
            search(at_batch, machine, limit_s, *run, weights, batches=batches, divisions=some)
            for machine, some in zip(machines, tried, strict=True)
        ]
    return found, at_batch
