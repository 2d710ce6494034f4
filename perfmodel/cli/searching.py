"""The search over partitions and batches that ``serve`` and ``tco`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from perfmodel.cli import run_options
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
    run: run_options.Run,
) -> tuple[list[Search], Callable[[int], Workload]]:
    """What each machine serves within ``limit_s``, and the model by batch, each traced once."""
    from perfmodel.running import at_batch, batches_to_try
    from perfmodel.serving import search
    from perfmodel.serving.partition import divisions

    batches = batches_to_try(source, run.batches)
    for machine in machines:  # Before the model is traced.
        divisions(machine, run.scenario.instances, run.scenario.cores_per_instance)
    with progress() as loading:
        loading(source.name)
        workload = at_batch(source, batches, note)
        found = [
            search(workload, machine, run.scenario, max_latency_s=limit_s, batches=batches)
            for machine in machines
        ]
    return found, workload
