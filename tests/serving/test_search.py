"""Finding a partition: what is tried, what is best, what is said where nothing is."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import NotEnoughMemory, PerfmodelError, UnknownName
from perfmodel.machine import catalogue, load_machine
from perfmodel.mapping.memory import memory_need
from perfmodel.mapping.result import Result
from perfmodel.scenario import Scenario
from perfmodel.serving import (
    Partition,
    instance,
    partition_of,
    partitions,
    search,
    serve,
    shares,
)
from perfmodel.serving.partition import divisions
from perfmodel.serving.searching import _left_out, require_best
from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.closed_forms import usable_l3

AMD = "epyc_9654"
INTEL = "xeon_8490h"


def layers(batch: int = 1, rows: int = 16, width: int = 1024, count: int = 4) -> Workload:
    b = Builder("layers", batch=batch)
    x = b.input(batch * rows * width)
    for _ in range(count):
        x = b.linear(x, batch * rows, width, width)
    return b.workload()


def points_of(served: Result, *pairs: tuple[float, float]) -> tuple[Result, ...]:
    """Results like ``served``, each of a latency in ms and a throughput."""
    return tuple(
        replace(served, latency_ms=latency, throughput_fps=rate) for latency, rate in pairs
    )


@pytest.mark.parametrize("cpu", catalogue())
def test_every_partition_uses_cores_the_socket_has_and_none_is_tried_twice(cpu: str) -> None:
    machine = load_machine(cpu)
    total = machine.cores.count.typical
    found = partitions(machine)
    assert found[0] == Partition(1, total)
    assert found[-1] == Partition(total, 1)
    assert len({partition.instances for partition in found}) == len(found)
    for partition in found:
        assert total - partition.cores < partition.instances * partition.cores <= total


@given(st.integers(1, 96), st.integers(1, 96))
def test_a_count_that_is_left_out_is_as_large_as_fits(instances: int, cores: int) -> None:
    machine = load_machine(AMD)
    assert partition_of(machine, instances).cores == 96 // instances
    assert partition_of(machine, cores=cores).instances == 96 // cores
    if instances * cores > 96:
        with pytest.raises(PerfmodelError, match=f"need {instances * cores}; epyc_9654 has 96"):
            partition_of(machine, instances, cores)


def test_a_core_complex_is_shared_by_the_instances_in_it_alone() -> None:
    """By hand, of twelve CCDs of eight cores each."""
    machine = load_machine(AMD)
    of_ccds = shares(machine, Partition(12, 8))
    assert of_ccds == {"memory.sustained": 1 / 12, "cache.l3": 1 / 12}
    halves = shares(machine, Partition(24, 4))
    assert halves["memory.per_domain"] == 1 / 2
    assert halves["cache.l3"] == pytest.approx(1 / 24)
    # Twelve cores on neighbouring CCDs: two of them in sight, one and a half its own.
    straddling = shares(machine, Partition(8, 12))
    assert straddling["cache.l3"] == pytest.approx(1 / 8)


def test_one_cache_for_the_socket_is_divided_by_the_instances() -> None:
    of_four = shares(load_machine(INTEL), Partition(4, 15))
    assert of_four["memory.sustained"] == of_four["cache.l3"] == 1 / 4
    assert set(of_four.values()) == {1 / 4}


def test_shared_weights_stay_in_a_cache_that_separate_ones_overflow() -> None:
    """16 MiB of INT8 weights in 112.5 MiB: once it fits, fifteen times it does not."""
    workload, division = layers(width=2048), Partition(15, 4)
    separate = serve(workload, INTEL, division)
    shared = serve(workload, INTEL, division, weights="shared")
    assert separate.dram_gb_s > 0 == shared.dram_gb_s
    assert shared.throughput_fps > separate.throughput_fps


LIMITS_S = (1e-5, 4e-5, 1e-4, 1e-3, 1e-1)


@pytest.mark.parametrize("limit_s", LIMITS_S)
def test_the_best_is_the_best_of_all_that_meet_the_limit(limit_s: float) -> None:
    found = search(layers, INTEL, max_latency_s=limit_s, batches=(1, 4, 16))
    every = [
        serve(layers(batch), INTEL, division)
        for batch in (1, 4, 16)
        for division in partitions(load_machine(INTEL))
    ]
    meeting = [served.throughput_fps for served in every if served.latency_ms <= limit_s * 1e3]
    assert (found.best.throughput_fps if found.best else None) == max(meeting, default=None)
    assert found.fastest.latency_ms == min(served.latency_ms for served in every)


def test_more_time_never_costs_throughput() -> None:
    best = [
        search(layers, AMD, max_latency_s=limit_s, batches=(1, 4), software="ideal").best
        for limit_s in LIMITS_S
    ]
    throughput = [0.0 if served is None else served.throughput_fps for served in best]
    assert throughput == sorted(throughput)
    assert throughput[0] == 0.0 < throughput[1] < throughput[-1]


def test_the_frontier_rises_in_both_and_ends_at_the_best() -> None:
    found = search(layers, AMD, batches=(1, 2, 4, 8))
    frontier = found.frontier
    assert frontier[0] is found.fastest or frontier[0].latency_ms == found.fastest.latency_ms
    assert frontier[-1] is found.best
    for low, high in pairwise(frontier):
        assert low.latency_ms < high.latency_ms
        assert low.throughput_fps < high.throughput_fps
    assert set(found.buckets(per_decade=3)) <= set(frontier)
    assert found.buckets(per_decade=3)[-1] is found.best
    points = points_of(
        found.fastest, (1.0, 2.0), (1.0, 3.0), (1.9, 3.0), (2.1, 4.0), (3.0, 3.5), (20.0, 4.0)
    )
    shown = replace(found, tried=points)
    # Of equal latency the more counts, of equal throughput the sooner.
    assert (shown.fastest, shown.best) == (points[1], points[3])
    assert shown.frontier == (points[1], points[3])
    assert shown.buckets(per_decade=1) == (points[3],)
    assert shown.buckets(per_decade=4) == (points[1], points[3])
    assert repr(shown).startswith("Search(6 tried on epyc_9654; best: Result(")
    assert repr(replace(shown, max_latency_ms=2.0)).startswith(
        "Search(6 tried on epyc_9654 within 2.00 ms; best: "
    )
    assert shown._repr_html_().count("<tr>") == 1 + 2
    plain = replace(shown, max_latency_ms=0.5).to_dict()
    assert (plain["best"], plain["memory"], plain["frontier"]) == (None, None, [])
    assert found.to_dict()["memory"]["total_bytes"] > 0
    assert found.to_dict()["best"] == found.best.to_dict()


def test_a_limit_that_only_some_meet_is_told_and_one_that_none_meets_is_an_error() -> None:
    fast, slow = (search(layers, cpu, batches=(1,)).fastest.latency_ms for cpu in (INTEL, AMD))
    assert fast < slow
    between = [
        search(layers, cpu, max_latency_s=(fast + slow) / 2e3, batches=(1,)) for cpu in (INTEL, AMD)
    ]
    (line,) = require_best(between)
    at = between[1].fastest
    reached = f"{at.latency_ms * 1e3:.4g} us ({at.partition}, batch 1)"
    assert line == f"epyc_9654 cannot meet the limit; the best it reaches is {reached}"
    below = [search(layers, cpu, max_latency_s=1e-6, batches=(1, 4)) for cpu in (INTEL, AMD)]
    # What takes too long takes no less at a larger batch, which is not tried.
    assert {served.batch for each in below for served in each.tried} == {1}
    with pytest.raises(PerfmodelError) as raised:
        require_best(below)
    text = str(raised.value)
    assert text.startswith("no CPU meets 1 us; the best each reaches: xeon_8490h ")
    assert text.endswith(f"; epyc_9654 {reached}")
    assert require_best(below[:0]) == ()


def test_every_power_of_two_is_tried_that_fits() -> None:
    """Sixty cores: seven instances of eight leave four cores idle, and may still be best."""
    found = partitions(load_machine(INTEL).with_values({"cores.count": 60}))
    assert {Partition(60 // 2**power, 2**power) for power in range(6)} <= {
        *found,
        # Sizes that serve as many instances as a larger one are not tried.
        Partition(1, 32),
        Partition(3, 16),
    }
    assert Partition(7, 8) in found
    # By hand: the divisors of sixty and powers of two, the largest of each number of instances.
    sizes = (60, 30, 20, 15, 12, 10, 8, 6, 5, 4, 3, 2, 1)
    assert found == tuple(Partition(60 // size, size) for size in sizes)
    # Seven cores in each of four L3 domains, of which two are a memory domain.
    parts = {"cores.count": 28, "cache.l3_domains": 4, "topology.numa_domains": 2}
    split = partitions(load_machine(AMD).with_values(parts))
    sizes = (28, 14, 8, 7, 4, 2, 1)
    assert split == tuple(Partition(28 // size, size) for size in sizes)
    # Two instances more: one on all four sockets, and one on each pair.
    four = load_machine(INTEL, sockets=4)
    assert partitions(four)[:4] == (
        Partition(1, 240),
        Partition(2, 120),
        Partition(4, 60),
        Partition(8, 30),
    )


@pytest.mark.parametrize(
    ("instances", "cores", "expected"),
    [
        (None, None, None),
        ("auto", None, "all"),
        (None, "auto", "all"),
        ("auto", "auto", "all"),
        (4, None, Partition(4, 15)),
        (4, "auto", Partition(4, 15)),
        (None, 8, Partition(7, 8)),
        ("auto", 8, Partition(7, 8)),
        (2, 8, Partition(2, 8)),
    ],
)
def test_what_counts_leave_to_choose_from(
    instances: int | str | None, cores: int | str | None, expected: object
) -> None:
    machine = load_machine(INTEL)
    found = divisions(machine, instances, cores)
    one = (expected,) if isinstance(expected, Partition) else expected
    assert found == (partitions(machine) if expected == "all" else one)


def test_batches_are_powers_of_two() -> None:
    found = search(layers, INTEL, instances=1)
    assert [served.batch for served in found.tried] == [1, 2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    ("instances", "cores", "expected"),
    [
        (0, None, "instances: expected at least 1, found 0"),
        (None, 0, "cores per instance: expected at least 1, found 0"),
        (97, None, "97 instances of 1 cores need 97; epyc_9654 has 96"),
        (None, 97, "1 instances of 97 cores need 97; epyc_9654 has 96"),
    ],
)
def test_counts_that_no_socket_has(instances: int | None, cores: int | None, expected: str) -> None:
    with pytest.raises(PerfmodelError, match=expected):
        partition_of(load_machine(AMD), instances, cores)


def test_a_limit_that_is_just_met_is_met() -> None:
    found = search(layers, AMD, batches=(1,))
    fastest = found.fastest
    at_limit = replace(found, max_latency_ms=fastest.latency_ms)
    assert at_limit.best is fastest
    assert at_limit.within == at_limit.frontier == (fastest,)
    below = replace(found, max_latency_ms=math.nextafter(fastest.latency_ms, 0))
    assert below.best is None
    # A larger batch that takes no longer is still tried.
    limit_s = fastest.latency_ms / 1e3
    exact = next(s for s in (limit_s, math.nextafter(limit_s, 1)) if s * 1e3 >= fastest.latency_ms)
    free = search(
        lambda batch: replace(layers(), batch=batch), AMD, max_latency_s=exact, batches=(1, 2, 4)
    )
    assert free.best is not None
    assert free.best.batch == 4


@pytest.mark.parametrize("cpu", [AMD, INTEL])
def test_tokens_per_second_of_a_socket_are_its_throughput_times_tokens(cpu: str) -> None:
    prefill = replace(layers(batch=2), phase="prefill", tokens=16)
    decode = replace(layers(batch=2), phase="decode", tokens=1, context=9)
    for division in (Partition(1, 8), Partition(3, 8)):
        for workload in (prefill, decode):
            served = serve(workload, cpu, division)
            assert served.tokens_per_s == pytest.approx(served.throughput_fps * workload.tokens)
        assert serve(layers(), cpu, division).tokens_per_s is None


def cached(batch: int = 1) -> Workload:
    """A layer, and attention to a cache that each instance has for itself."""
    b = Builder("cached", batch=batch)
    x = b.linear(b.input(batch * 1024), batch, 1024, 1024)
    state = b.tensor(batch * 2 * 512 * 1024, "state")
    b.kernel("attention", f.ATTENTION, [x, state], gemm=(batch * 16, 1, 512, 64))
    return b.workload()


@pytest.mark.parametrize("count", [1, 2, 12])
def test_instances_hold_their_weights_together_or_each_and_always_their_own_state(
    count: int,
) -> None:
    workload, division = cached(), Partition(count, 1)
    weights, state = 1024 * 1024, 2 * 512 * 1024 * 2
    separate, shared = (
        memory_need(workload, load_machine(AMD), Scenario("int8", weights=held), division)
        for held in ("separate", "shared")
    )
    own = state + separate.activations
    assert separate.total == count * (weights + own)
    assert shared.total == weights + count * own


@pytest.mark.parametrize("cpu", [AMD, INTEL])
def test_an_instance_keeps_in_its_caches_no_more_than_its_share_holds(cpu: str) -> None:
    """Weights of 0.6 of what one instance on all cores can keep: one keeps them, two do not."""
    machine = load_machine(cpu)
    half = int(machine.cores.count.typical) // 2
    width = int((0.6 * usable_l3(machine) * machine.cache.l3_domains.typical) ** 0.5)
    b = Builder()
    b.linear(b.input(width), 1, width, width)
    alone, together = (
        serve(b.workload(), machine, division, "int8").levels(0)["weight"]
        for division in (Partition(1, 2 * half), Partition(2, half))
    )
    assert (alone, together) == ("L3", "DRAM")
    one, two = (instance(machine, Partition(n, half)).cache.l3.typical for n in (1, 2))
    assert 2 * two == pytest.approx(machine.cache.l3.typical)
    assert one >= two


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf"), 1e308])
def test_a_limit_of_nothing_is_an_error(limit: float) -> None:
    with pytest.raises(PerfmodelError, match=r"latency limit: expected 1e-09 to 86,400 s, found"):
        search(layers, AMD, max_latency_s=limit)


def test_copies_that_the_memory_cannot_hold_are_left_out_and_said() -> None:
    machine = load_machine(AMD).with_values({"memory.capacity": "64 MiB"})
    with pytest.raises(
        NotEnoughMemory, match=r"96 x 1 cores need .* GiB .* epyc_9654 has at most 64 MiB"
    ):
        serve(layers(width=2048), machine, Partition(96, 1))
    found = search(lambda batch: layers(batch, width=2048), machine, batches=(1,))
    one = memory_need(layers(width=2048), machine, Scenario())
    fit = [p.instances for p in partitions(machine) if p.instances * one.total <= 64 * 2**20]
    assert max(served.partition.instances for served in found.tried) == max(fit) > 1
    (line,) = found.left_out
    count = len(partitions(machine)) - len(fit)
    assert count > 2
    first = min(p.instances for p in partitions(machine) if p.instances > max(fit))
    assert f"{first} x " in line
    assert line.endswith(f" (left out, as {count - 1} more divisions)")
    assert found.notes[-1] == line
    shared = search(
        lambda batch: layers(batch, width=2048), machine, weights="shared", batches=(1,)
    )
    assert not shared.left_out
    with pytest.raises(NotEnoughMemory, match=r"needs .* has at most 64 MiB: take a machine"):
        search(lambda batch: layers(batch, width=8192), machine, batches=(1, 2), max_latency_s=1e-6)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "a (left out)"),
        (2, "a (left out, as 1 more division)"),
        (3, "a (left out, as 2 more divisions)"),
    ],
)
def test_divisions_without_room_are_one_line(count: int, expected: str) -> None:
    found = {Partition(9 - i, 1): text for i, text in enumerate("cba"[3 - count :])}
    assert _left_out(found) == (expected,)
    assert _left_out({}) == ()


def test_a_way_to_hold_weights_that_does_not_exist() -> None:
    with pytest.raises(UnknownName, match="did you mean 'shared'"):
        serve(layers(), AMD, Partition(1, 96), weights="share")
