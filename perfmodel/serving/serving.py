"""One model served by the instances of one partition."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Unpack

from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.estimation import estimate_columns
from perfmodel.mapping.memory import require_memory
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.result import Result
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.serving.partition import divided, on_group, partition_of, total_cores
from perfmodel.serving.sharing import instance, instance_columns
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload


def serve(
    workload: Workload,
    cpu: str | os.PathLike[str] | Machine,
    partition: Partition,
    scenario: ScenarioLike = None,
    **options: Unpack[RunOptions],
) -> Result:
    """``workload`` on every instance of ``partition`` at the same time.

    Args:
        cpu, scenario, options: see :func:`perfmodel.mapping.estimate`; ``partition`` says how the
            socket is divided.

    Raises:
        UnknownName, MachineError: as :func:`perfmodel.mapping.estimate`.
        PerfmodelError: more cores than the socket has.
        NotEnoughMemory: more than its memory holds, where the machine states that.
    """
    run = divided(scenario_of(scenario, options), partition)
    machine = load_machine(cpu)
    partition_of(machine, partition.instances, partition.cores)
    prepared, table = prepare(workload, run, machine)
    need = require_memory(workload, machine, run, partition)
    here = on_group(machine, run, partition)
    own = instance(machine, partition)
    table = instance_columns(workload, table, machine, partition, run.weights)
    one = replace(estimate_columns(prepared, table, own, here), memory=need)
    return _of_socket(one, machine, partition, run.weights)


def _of_socket(one: Result, machine: Machine, partition: Partition, weights: str) -> Result:
    """The socket's result from that of one instance on its share of the socket."""
    count = partition.instances
    traffic = one.moved_bytes()["DRAM"] * count / (one.latency_ms / 1e3)
    return replace(
        one,
        cpu=machine.id,
        machine=machine,
        throughput_fps=one.throughput_fps * count,
        fps_per_watt=one.fps_per_watt * count,
        utilization=one.utilization * (count * partition.cores / total_cores(machine)),
        active_cores=one.active_cores * count,
        mean_active_cores=one.mean_active_cores * count,
        tokens_per_s=None if one.tokens_per_s is None else one.tokens_per_s * count,
        instances=count,
        cores_per_instance=partition.cores,
        weights=weights,
        dram_gb_s=traffic / 1e9,
    )
