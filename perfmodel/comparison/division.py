"""A socket divided into instances, as a row of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.comparison.chosen import ChosenCpu
from perfmodel.machine import Machine
from perfmodel.mapping.result import Result
from perfmodel.scenario import Scenario
from perfmodel.workload.workload import Workload


def check_division(run: Scenario, cpus: Sequence[ChosenCpu]) -> None:
    """Before anything is traced or told; raises as :func:`perfmodel.serving.partition_of`."""
    if not run.divided:
        return
    from perfmodel.serving.partition import divisions

    for cpu in cpus:
        if cpu.machine is not None:
            divisions(cpu.machine, run.instances, run.cores_per_instance)


def best_division(workload: Workload, machine: Machine, run: Scenario) -> Result:
    """Return the instances with the highest throughput among those there are to choose from."""
    from perfmodel.serving import search

    found = search(lambda _batch: workload, machine, run, batches=(workload.batch,))
    assert found.best is not None, "no limit to miss"
    return found.best
