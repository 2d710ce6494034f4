"""One model served by the instances of one partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.estimation import Estimate, estimate_columns, prepare
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.serving.partition import Partition, divided, partition_of, total_cores
from perfmodel.serving.sharing import instance, instance_columns
from perfmodel.workload.workload import Workload


class NoRoom(PerfmodelError):
    """The weights and states of all instances do not fit into the machine's memory."""


@dataclass(frozen=True)
class Served:
    """A model on all instances of a partition at once.

    Attributes:
        weights: "separate" or "shared".
        batch: samples of one run of one instance.
        latency_ms: of one run of one instance while all others run: the time a batch is being
            computed, without waiting for it to fill.
        throughput_fps: samples per second of the socket: instances x batch / latency.
        fps_per_watt: that over the power that ``power_basis`` names.
        utilization: of the socket's cores, as in :class:`~perfmodel.mapping.Estimate`.
        dram_gb_s: what all instances together move to and from memory, on average; GB/s.
        tokens_per_s: as in :class:`~perfmodel.mapping.Estimate`, over all instances.
        estimate: one instance on its share of the socket.
    """

    model: str
    cpu: str
    partition: Partition
    weights: str
    batch: int
    latency_ms: float
    throughput_fps: float
    fps_per_watt: float
    power_basis: str
    utilization: float
    dram_gb_s: float
    tokens_per_s: float | None
    estimate: Estimate = field(repr=False, compare=False)
    machine: Machine = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON, units in the keys; of the estimate only what it ran as."""
        tokens = {"tokens_per_s": self.tokens_per_s} if self.tokens_per_s is not None else {}
        return {
            "model": self.model,
            "cpu": self.cpu,
            "precision": self.estimate.precision,
            "state": self.estimate.state,
            "software": self.estimate.software,
            "instances": self.partition.instances,
            "cores_per_instance": self.partition.cores,
            "weights": self.weights,
            "batch": self.batch,
            "latency_ms": self.latency_ms,
            "throughput_fps": self.throughput_fps,
            **tokens,
            "fps_per_watt": self.fps_per_watt,
            "power_basis": self.power_basis,
            "utilization": self.utilization,
            "dram_gb_s": self.dram_gb_s,
            "bottleneck": self.estimate.bottleneck,
            "notes": list(self.estimate.notes),
        }


def serve(
    workload: Workload,
    cpu: str | Path | Machine,
    partition: Partition,
    scenario: ScenarioLike = None,
    **options: Unpack[RunOptions],
) -> Served:
    """``workload`` on every instance of ``partition`` at the same time.

    Args:
        cpu, scenario, options: see :func:`perfmodel.mapping.estimate`; ``partition`` says how the
            socket is divided.

    Raises:
        UnknownName, MachineError: as :func:`perfmodel.mapping.estimate`.
        PerfmodelError: more cores than the socket has.
        NoRoom: more copies of the weights than its memory holds, where the machine states that.
    """
    run = divided(scenario_of(scenario, options), partition)
    machine = load_machine(cpu)
    partition_of(machine, partition.instances, partition.cores)
    prepared, table = prepare(workload, run, machine)
    needed, capacity = memory_needed(workload, partition, run), machine.memory.capacity
    if capacity is not None and needed > capacity.typical:
        raise NoRoom(
            f"{workload.name}: {partition} need {needed / 2**30:,.1f} GiB for weights and state; "
            f"{machine.id} has at most {capacity}"
        )
    own = instance(machine, partition)
    table = instance_columns(workload, table, machine, partition, run.weights)
    return _served(estimate_columns(prepared, table, own, run), machine, partition, run.weights)


def memory_needed(workload: Workload, partition: Partition, run: Scenario) -> float:
    """Bytes of the weights and the state (KV caches) of all instances."""
    copies = partition.instances if run.weights == "separate" else 1
    state = workload.state_bytes(run.policy) * partition.instances
    return workload.weight_bytes(run.policy) * copies + state


def _served(estimate: Estimate, machine: Machine, partition: Partition, weights: str) -> Served:
    count = partition.instances
    throughput = estimate.throughput_fps * count
    used = count * partition.cores / total_cores(machine)
    traffic = estimate.moved_bytes()["DRAM"] * count / (estimate.latency_ms / 1e3)
    tokens = estimate.tokens_per_s
    return Served(
        model=estimate.model,
        cpu=machine.id,
        partition=partition,
        weights=weights,
        batch=estimate.batch,
        latency_ms=estimate.latency_ms,
        throughput_fps=throughput,
        fps_per_watt=estimate.fps_per_watt * count,
        power_basis=estimate.power_basis,
        utilization=estimate.utilization * used,
        dram_gb_s=traffic / 1e9,
        tokens_per_s=None if tokens is None else tokens * count,
        estimate=estimate,
        machine=machine,
    )
