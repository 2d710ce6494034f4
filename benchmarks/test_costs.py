"""How the compared CPUs serve a model, the energy that takes and its cost, held as snapshots."""

from __future__ import annotations

import functools
from typing import Final

import pytest

from benchmarks.support.cpus import CPUS
from perfmodel import load_machine
from perfmodel.cost import package_power
from perfmodel.cost.inputs import load_inputs
from perfmodel.cost.plan import Plan, plans
from perfmodel.cost.tco import Demand
from perfmodel.guard.fixture import Guard
from perfmodel.resolve import resolve_model
from perfmodel.serving import Search, search
from perfmodel.serving.searching import BATCHES
from perfmodel.workload.workload import Workload

MODELS: Final = ("resnet50", "vit_b_16")
#: What is served, and how fast a batch must be: all three CPUs can, with batches above one.
RATE: Final = 10_000.0
LIMIT_S: Final = 0.05


#: What is recorded of how a CPU serves a model.
SERVED: Final = (
    "model",
    "cpu",
    "precision",
    "state",
    "software",
    "instances",
    "cores_per_instance",
    "weights",
    "batch",
    "latency_ms",
    "throughput_fps",
    "fps_per_watt",
    "power_basis",
    "utilization",
    "dram_gb_s",
    "bottleneck",
    "notes",
)
#: What is recorded of that beside its cost.
PLANNED: Final = (
    "cpu",
    "instances",
    "cores_per_instance",
    "batch",
    "latency_ms",
    "throughput_fps",
    "energy_j",
)


def recorded(plan: Plan) -> dict[str, object]:
    """What is recorded of a plan: its division and its cost."""
    document = plan.to_dict()
    cost = {name: value for name, value in document.items() if name not in plan.served.to_dict()}
    cost["utilization"] = cost.pop("used_share")
    return {name: document[name] for name in PLANNED} | cost


def cost_snapshot(model: str) -> str:
    """Name of the snapshot that holds how a model is served and what that costs."""
    return f"costs/{model}"


@functools.cache
def at_batch(model: str, batch: int) -> Workload:
    """The model at a batch, traced once for all of them."""
    source = resolve_model(model)
    source.prepare(BATCHES)
    return source.workload(batch)


def served(model: str, cpu: str) -> Search:
    """The best partitions and batches of a CPU within the limit."""
    return search(functools.partial(at_batch, model), cpu, max_latency_s=LIMIT_S)


@pytest.mark.parametrize("model", MODELS)
def test_serving_and_its_cost(model: str, perfmodel_guard: Guard) -> None:
    machines = [load_machine(cpu) for cpu in CPUS]
    found = [served(model, cpu) for cpu in CPUS]
    costs = plans(
        functools.partial(at_batch, model), machines, found, Demand(RATE, 3), load_inputs()
    )
    document = {}
    for machine, result in zip(machines, found, strict=True):
        assert result.best is not None
        best = result.best
        power = package_power(best, machine)
        document[machine.id] = {
            "served": {name: best.to_dict()[name] for name in SERVED},
            "fastest_ms": result.fastest.latency_ms,
            "power_w": {
                "idle": power.idle_w,
                "active": power.active_w,
                "operations": power.operations_w,
                "traffic": power.traffic_w,
                "package": power.package_w,
            },
            "energy_j": power.energy_j,
        }
    perfmodel_guard.record(
        cost_snapshot(model),
        {"cpus": document, "costs": {plan.cpu: recorded(plan) for plan in costs.plans}},
    )
