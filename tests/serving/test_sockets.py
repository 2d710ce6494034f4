"""Several sockets and memory domains: what spanning them costs, and where instances run."""

from __future__ import annotations

import functools
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError
from perfmodel.figures.figure import Figure
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate, remote
from perfmodel.mapping.remote import losses, remote_share
from perfmodel.mapping.variants import latency_variants
from perfmodel.serving import Partition, instance, partition_of, partitions, search, serve
from perfmodel.serving.settings import places
from perfmodel.software import Software
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.examples import anywhere
from tests.strategies import workloads

CPUS = st.sampled_from(["xeon_8490h", "epyc_9654", "xeon_6980p", "ampereone_192", "epyc_9r14"])
SOFTWARE = st.sampled_from(["openvino", "eager", "llama_cpp", "onednn"]).map(anywhere)
SLACK = 1 + 1e-9


@functools.cache
def streaming(width: int = 32768) -> Workload:
    """One product of a row that reads more weights than any cache holds."""
    b = Builder("streaming")
    b.linear(b.input(width), 1, width, width)
    return b.workload()


@given(workloads(max_kernels=4), CPUS, SOFTWARE, st.integers(2, 4))
def test_several_sockets_never_serve_less_than_one(
    workload: Workload, cpu: str, software: Software, sockets: int
) -> None:
    one, many = (
        search(
            lambda _: workload,
            load_machine(cpu, sockets=count),
            "fp32",
            software=software,
            batches=(workload.batch,),
        )
        for count in (1, sockets)
    )
    assert one.best is not None
    assert many.best is not None
    assert many.best.throughput_fps * SLACK >= sockets * one.best.throughput_fps
    # Whatever one socket does, all of them do beside each other, each as fast.
    by_division = {served.partition: served for served in many.tried}
    for served in one.tried:
        twin = by_division[Partition(sockets * served.partition.instances, served.partition.cores)]
        assert twin.latency_ms == pytest.approx(served.latency_ms)


@given(workloads(max_kernels=4), CPUS, SOFTWARE, st.integers(1, 4), st.data())
def test_remote_memory_is_never_faster(
    workload: Workload, cpu: str, software: Software, sockets: int, data: st.DataObject
) -> None:
    machine = load_machine(cpu, sockets=sockets)
    cores = data.draw(st.integers(1, int(machine.cores.count.typical)), label="cores")
    partition = partition_of(machine, None, cores)
    run = {"precision": "fp32", "software": software}
    spread = serve(workload, machine, partition, **run)
    with mock.patch("perfmodel.serving.sharing.remote_share", return_value=1.0):
        local = serve(workload, machine, partition, **run)
    assert spread.latency_ms * SLACK >= local.latency_ms


def test_what_a_model_loses_that_streams_from_the_memory_of_others() -> None:
    """By hand: of two sockets half is remote, at 1 - loss of the bandwidth."""
    loss = losses()["other_socket"].typical
    assert remote_share(2, 2) == pytest.approx(1 / (0.5 + 0.5 / (1 - loss)))
    die = losses()["other_die"].typical
    assert remote_share(3, 1) == pytest.approx(1 / (1 / 3 + 2 / 3 / (1 - die)))
    assert remote_share(6, 2) == pytest.approx(1 / (1 / 6 + 2 / 6 / (1 - die) + 3 / 6 / (1 - loss)))
    machine = load_machine("graviton4", sockets=2)
    spanning = serve(streaming(), machine, Partition(1, 192), "fp32", software="onednn")
    assert spanning.dram_gb_s * 1e9 <= machine.sustained_bandwidth * remote_share(2, 2) * SLACK
    own = instance(machine, Partition(1, 150))
    assert own.sustained_bandwidth == pytest.approx(
        machine.sustained_bandwidth * remote_share(2, 2)
    )


def test_an_odd_number_of_instances_crowds_one_socket() -> None:
    """Each has what those on the fuller socket have."""
    machine = load_machine("xeon_8490h", sockets=2)
    own = instance(machine, Partition(3, 8))
    assert own.sustained_bandwidth == pytest.approx(machine.sustained_bandwidth / 4)
    assert own.cache.l3.typical == pytest.approx(machine.cache.l3.typical / 4)
    assert own.l3_per_domain == pytest.approx(own.cache.l3.typical)


@given(
    st.integers(1, 12), st.integers(1, 4), st.floats(0.01, 0.9), st.floats(0.01, 0.9), st.booleans()
)
def test_the_share_falls_with_every_loss_and_is_one_at_home(
    domains: int, sockets: int, low: float, high: float, die: bool
) -> None:
    low, high = sorted((low, high))
    domains *= sockets

    def share(loss: float) -> float:
        figure = Figure(loss, loss, loss, "")
        others = {"other_die": figure, "other_socket": figure}
        if not die:
            others["other_die"] = losses()["other_die"]
        with mock.patch.object(remote, "losses", return_value=others):
            return remote_share(domains, sockets)

    assert remote_share(1, 1) == 1.0
    assert 0 < share(high) <= share(low) * SLACK <= SLACK


@pytest.mark.parametrize("cpu", ["xeon_8490h", "xeon_6980p", "epyc_9654"])
def test_software_that_stays_in_a_domain_is_as_fast_on_two_sockets(cpu: str) -> None:
    one, two = (
        estimate(streaming(4096), load_machine(cpu, sockets=n), "fp32").latency_ms for n in (1, 2)
    )
    assert two == pytest.approx(one)


def test_a_sample_of_typical_figures_on_two_sockets_is_the_estimate() -> None:
    machine = load_machine("epyc_9654", sockets=2)
    import numpy as np

    values = {"memory.sustained": np.array([machine.memory.sustained.typical])}
    for software in ("eager", "openvino"):
        found = latency_variants(streaming(4096), machine, values, "fp32", software=software)
        plain = estimate(streaming(4096), machine, "fp32", software=software).latency_ms
        assert found[0] == pytest.approx(plain)


@given(CPUS, st.integers(1, 4), st.data())
def test_every_instance_has_cores_of_its_own_on_as_few_nodes_as_hold_it(
    cpu: str, sockets: int, data: st.DataObject
) -> None:
    machine = load_machine(cpu, sockets=sockets)
    partition = data.draw(st.sampled_from(partitions(machine)))
    where = places(machine, partition)
    cores = [core for place in where for core in range(place.first, place.last + 1)]
    assert len(where) == partition.instances
    assert len(set(cores)) == len(cores) == partition.instances * partition.cores
    assert min(cores) >= 0
    assert max(cores) < machine.cores.count.typical
    for place in where:
        assert place.last - place.first + 1 == partition.cores
        on = {core // machine.cores_per_socket for core in (place.first, place.last)}
        assert len(on) <= -(-partition.cores // machine.cores_per_socket)


def test_one_instance_on_each_die_is_tried_and_pays_for_nothing() -> None:
    machine = load_machine("xeon_6980p")
    assert Partition(3, 42) in partitions(machine)
    own = instance(machine, Partition(3, 42))
    assert own.sustained_bandwidth == pytest.approx(machine.sustained_bandwidth / 3)
    spanning = instance(machine, Partition(2, 64))
    assert spanning.sustained_bandwidth == pytest.approx(
        machine.sustained_bandwidth / 2 * remote_share(2, 1)
    )


def test_instances_of_a_die_stay_on_it() -> None:
    machine = load_machine("xeon_6979p", sockets=2)
    for count, size in ((6, 40), (24, 10), (12, 20)):
        where = places(machine, Partition(count, size))
        assert all(len(place.nodes) == 1 for place in where)
        assert {node for place in where for node in place.nodes} == set(range(6))
    (whole,) = places(machine, Partition(1, 240))
    assert whole.numactl == "numactl --physcpubind=0-239 --interleave=0,1,2,3,4,5"


@pytest.mark.parametrize(
    ("instances", "cores", "expected"),
    [
        (3, 64, "3 instances of 64 cores: the 2 sockets of epyc_9654 with 96 cores each hold 2"),
        (3, 100, "3 instances of 100 cores need 300; epyc_9654 has 192"),
    ],
)
def test_instances_that_do_not_fit_on_their_sockets(
    instances: int, cores: int, expected: str
) -> None:
    machine = load_machine("epyc_9654", sockets=2)
    with pytest.raises(PerfmodelError, match=expected):
        partition_of(machine, instances, cores)
    assert partition_of(machine, 3) == Partition(3, 48)
    assert partition_of(machine, None, 80) == Partition(2, 80)
    assert partition_of(machine) == Partition(1, 192)


def test_instances_of_a_die_stay_on_it_where_just_as_many_fit() -> None:
    """Two of fifteen cores on each of three dies of forty: the third pair must not straddle."""
    where = places(load_machine("xeon_6979p", sockets=2), Partition(12, 15))
    assert [place.first for place in where] == [
        socket * 120 + die * 40 + at for socket in (0, 1) for die in (0, 1, 2) for at in (0, 15)
    ]
    assert all(len(place.nodes) == 1 for place in where)


def test_an_instance_on_a_whole_socket_is_as_that_socket_is() -> None:
    """Three dies a socket: all cores of one lose nothing, one core fewer pays for all dies."""
    machine = load_machine("xeon_6980p", sockets=2)
    assert instance(machine, Partition(1, 256)) is machine
    whole, fewer, half = (
        instance(machine, Partition(count, cores)) for count, cores in ((2, 128), (2, 127), (4, 64))
    )
    bandwidth = machine.sustained_bandwidth
    assert whole.sustained_bandwidth == pytest.approx(bandwidth / 2)
    assert fewer.sustained_bandwidth == pytest.approx(bandwidth / 2 * remote_share(3, 1))
    assert half.sustained_bandwidth == pytest.approx(bandwidth / 4 * remote_share(2, 1))
    assert [own.numa_domains for own in (whole, fewer, half)] == [3, 1, 1]
    assert [own.sockets for own in (whole, fewer, half)] == [1, 1, 1]
    assert [own.cores.count.typical for own in (whole, fewer, half)] == [128, 127, 64]
    spanning = instance(load_machine("xeon_8490h", sockets=2), Partition(1, 100))
    assert (spanning.sockets, spanning.numa_domains) == (1, 1)
