"""What must hold for any workload on any socket, however it is divided."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.machine import Machine
from perfmodel.mapping import estimate
from perfmodel.mapping.prepared import prepare
from perfmodel.scenario import Scenario
from perfmodel.serving import Partition, instance, serve
from perfmodel.serving.sharing import instance_columns, instance_values, instances_per_domain
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.vocabulary.words import WEIGHTS
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.machines import machines
from tests.strategies import workloads

PRECISION = st.sampled_from(sorted(PRECISIONS))
STATE = st.sampled_from(["steady", "cold"])
HELD = st.sampled_from(WEIGHTS)
#: Sums of many terms differ in their last bits.
SLACK = 1 + 1e-9


@st.composite
def divided(draw: st.DrawFn) -> tuple[Machine, Partition]:
    """A machine and some partition of it, not always of all its cores."""
    machine = draw(machines())
    total = int(machine.cores.count.typical)
    cores = draw(st.integers(1, total), label="cores per instance")
    return machine, Partition(draw(st.integers(1, total // cores), label="instances"), cores)


@given(workloads(), divided(), PRECISION, STATE, HELD)
def test_one_instance_alone_is_the_most_each_can_be(
    workload: Workload, division: tuple[Machine, Partition], precision: str, state: str, held: str
) -> None:
    machine, partition = division
    together = serve(workload, machine, partition, precision, state=state, weights=held)
    alone = serve(
        workload, machine, Partition(1, partition.cores), precision, state=state, weights=held
    )
    assert together.throughput_fps <= partition.instances * alone.throughput_fps * SLACK


@given(workloads(), divided(), PRECISION, STATE, HELD, st.data())
def test_latency_of_an_instance_never_falls_with_their_number(
    workload: Workload,
    division: tuple[Machine, Partition],
    precision: str,
    state: str,
    held: str,
    data: st.DataObject,
) -> None:
    machine, many = division
    fewer = Partition(data.draw(st.integers(1, many.instances)), many.cores)
    latency = [
        serve(workload, machine, partition, precision, state=state, weights=held).latency_ms
        for partition in (fewer, many)
    ]
    assert latency[0] <= latency[1] * SLACK


@given(workloads(), machines(), PRECISION, STATE, HELD)
def test_one_instance_on_all_cores_is_the_plain_estimate(
    workload: Workload, machine: Machine, precision: str, state: str, held: str
) -> None:
    whole = Partition(1, int(machine.cores.count.typical))
    served = serve(workload, machine, whole, precision, state=state, weights=held)
    plain = estimate(workload, machine, precision, state=state)
    division = {"instances", "cores_per_instance", "weights", "dram_gb_s"}
    found = {name: value for name, value in served.to_dict().items() if name not in division}
    assert found == plain.to_dict()
    assert served.kernels == plain.kernels
    assert served.partition == plain.partition == whole


@given(workloads(), divided(), PRECISION, STATE, HELD)
def test_all_traffic_fits_the_sustained_bandwidth(
    workload: Workload, division: tuple[Machine, Partition], precision: str, state: str, held: str
) -> None:
    machine, partition = division
    served = serve(workload, machine, partition, precision, state=state, weights=held)
    assert 0 <= served.dram_gb_s * 1e9 <= machine.sustained_bandwidth * SLACK
    assert 0 <= served.utilization <= 1


@given(workloads(), divided(), PRECISION)
def test_sharing_weights_never_costs_time(
    workload: Workload, division: tuple[Machine, Partition], precision: str
) -> None:
    separate, shared = (
        serve(workload, *division, precision, weights=held).latency_ms for held in WEIGHTS
    )
    assert shared <= separate * SLACK


@given(divided())
def test_the_shares_of_all_instances_are_no_more_than_the_socket_has(
    division: tuple[Machine, Partition],
) -> None:
    machine, partition = division
    own = instance(machine, partition)
    count = partition.instances
    assert own.cores.count.typical == partition.cores
    assert count * own.cores.count.typical <= machine.cores.count.typical
    assert count * own.cache.l3.typical <= machine.cache.l3.typical * SLACK
    assert count * own.sustained_bandwidth <= machine.sustained_bandwidth * SLACK
    if machine.memory.per_domain is not None:
        assert own.memory.per_domain is not None
        links = [
            m.cache.l3_domains.typical * m.memory.per_domain.typical  # type: ignore[union-attr]
            for m in (own, machine)
        ]
        assert count * links[0] <= links[1] * SLACK
    # A core reaches no more of an L3 than before, and the figures stay ranges.
    assert own.l3_per_domain <= machine.l3_per_domain * SLACK
    assert own.memory.sustained.is_range == machine.memory.sustained.is_range


@given(workloads(), divided(), PRECISION)
def test_throughput_is_what_instances_and_latency_make_it(
    workload: Workload, division: tuple[Machine, Partition], precision: str
) -> None:
    machine, partition = division
    served = serve(workload, machine, partition, precision)
    runs_per_s = partition.instances * 1e3 / served.latency_ms
    assert served.throughput_fps == pytest.approx(workload.batch * runs_per_s)
    assert served.fps_per_watt * machine.power.tdp.typical == pytest.approx(served.throughput_fps)
    count, seconds = partition.instances, served.latency_ms / 1e3
    moved = served.moved_bytes()["DRAM"]
    assert served.dram_gb_s * 1e9 * seconds == pytest.approx(count * moved)
    # Of one instance, cores and work done per second are one of so many equal parts.
    alone = serve(workload, machine, Partition(1, partition.cores), precision)
    assert served.active_cores == count * alone.active_cores
    done = served.utilization * served.latency_ms
    assert done == pytest.approx(count * alone.utilization * alone.latency_ms)
    assert 0 < served.mean_active_cores <= served.active_cores


@given(workloads(allow_unmodelled=True), divided(), PRECISION, STATE, HELD)
def test_no_figure_of_serving_is_infinite_or_undefined(
    workload: Workload, division: tuple[Machine, Partition], precision: str, state: str, held: str
) -> None:
    served = serve(workload, *division, precision, state=state, weights=held)
    json.dumps(served.to_dict(), allow_nan=False)
    assert served.throughput_fps > 0


@given(divided(), st.sampled_from(["memory.sustained", "cache.l3", "clock.sustained"]))
def test_a_sampled_figure_of_an_instance_is_that_of_the_machine_with_that_sample(
    division: tuple[Machine, Partition], path: str
) -> None:
    machine, partition = division
    samples = machine.figures()[path].typical * np.array([0.5, 1.0])
    found = instance_values({path: samples}, machine, partition)[path]
    expected = [
        instance(machine.with_values({path: value}), partition).figures()[path].typical
        for value in samples.tolist()
    ]
    assert found == pytest.approx(expected)


@given(divided(), st.integers(1, 4))
def test_all_instances_of_one_machine_keep_shared_weights_once(
    division: tuple[Machine, Partition], layers: int
) -> None:
    """Each has room in its share for its share of them, and for what is its own."""
    machine, partition = division
    b = Builder()
    for _ in range(layers):
        b.linear(b.input(512), 1, 512, 512)
    workload = b.workload()
    _, table = prepare(workload, Scenario("int8"), machine)
    assert instance_columns(workload, table, machine, partition, "separate") is table
    shared = instance_columns(workload, table, machine, partition, "shared").resident_bytes
    held = layers * 512 * 512
    beside = instances_per_domain(machine, partition)
    assert table.resident_bytes - shared == pytest.approx(held - held / beside)
