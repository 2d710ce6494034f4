"""Memory: what a run keeps, and that what does not fit is never a number."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import NotEnoughMemory
from perfmodel.machine import Machine, catalogue, load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.memory import MemoryNeed, memory_need, require_memory, size_text
from perfmodel.ranking import rank
from perfmodel.scenario import Scenario
from perfmodel.serving import Partition, serve
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.workload.footprint import activation_bytes
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.machines import machines
from tests.strategies import workloads

PRECISION = st.sampled_from(sorted(PRECISIONS))
HELD = st.sampled_from(["separate", "shared"])


def generating(batch: int = 1, context: int = 64, width: int = 256) -> Workload:
    """A linear layer before an attention over a KV cache of ``context`` positions."""
    b = Builder("generating", batch=batch)
    x = b.linear(b.input(batch * width), batch, width, width)
    cache = b.tensor(batch * 2 * context * width, "state")
    b.kernel("attention", f.ATTENTION, [x, cache], gemm=(batch * 4, 1, context, width // 4))
    return b.workload()


def small(capacity: str) -> Machine:
    return load_machine("epyc_9654").with_values({"memory.capacity": capacity})


def test_every_cpu_of_the_catalogue_states_its_largest_memory() -> None:
    assert all(load_machine(cpu).memory.capacity is not None for cpu in catalogue())


def test_a_chain_keeps_two_activations_and_a_branch_keeps_what_is_read_again() -> None:
    b = Builder()
    x = b.input(1000)
    y = b.linear(x, 1, 3000, 1000)
    z = b.linear(y, 1, 200, 3000)
    chain = b.workload()
    # Of input, middle and output, two neighbours are alive at once.
    assert activation_bytes(chain, "fp32") == 4 * max(1000 + 3000, 3000 + 200)
    b.kernel("add", f.ELEMENTWISE, [z, x], elements=200)
    # The input is now alive until the end.
    assert activation_bytes(b.workload(), "fp32") == 4 * (1000 + 3000 + 200)


def test_what_is_kept_by_hand() -> None:
    run = Scenario("bf16", software="onednn")
    need = memory_need(generating(2, 64, 256), load_machine("epyc_9654"), run, Partition(3, 1))
    assert need.weights == 2 * 256 * 256
    assert need.state == 2 * 2 * 2 * 64 * 256
    assert (need.copies, need.instances) == (3, 3)
    assert need.total == 3 * (need.weights + need.state + need.activations)


@given(workloads(), machines(), PRECISION, HELD, st.integers(1, 64), st.integers(0, 64))
def test_the_need_never_falls_with_instances_nor_by_copies(
    workload: Workload, machine: Machine, precision: str, held: str, few: int, more: int
) -> None:
    run = Scenario(precision, weights=held)
    less, needed = (
        memory_need(workload, machine, run, Partition(count, 1)).total
        for count in (few, few + more)
    )
    assert less <= needed
    separate = memory_need(
        workload, machine, Scenario(precision, weights="separate"), Partition(few, 1)
    )
    assert memory_need(workload, machine, run, Partition(few, 1)).total <= separate.total


@given(PRECISION, st.integers(1, 64), st.integers(0, 64), st.integers(1, 500), st.integers(0, 500))
def test_the_need_never_falls_with_batch_nor_context(
    precision: str, batch: int, more: int, context: int, longer: int
) -> None:
    machine, run = load_machine("epyc_9654"), Scenario(precision)
    base = memory_need(generating(batch, context), machine, run)
    assert base.total <= memory_need(generating(batch + more, context), machine, run).total
    assert base.total <= memory_need(generating(batch, context + longer), machine, run).total
    if more:
        assert base.state < memory_need(generating(batch + more, context), machine, run).state
    if longer:
        assert base.state < memory_need(generating(batch, context + longer), machine, run).state


@given(workloads(), PRECISION)
def test_activations_are_no_more_than_all_tensors_and_no_less_than_a_kernel_touches(
    workload: Workload, precision: str
) -> None:
    alive = activation_bytes(workload, precision)
    passing = ~(workload.tensors.kind == 0)
    assert 0 <= alive <= float(workload.tensors.elements[passing].sum()) * 8


def test_what_does_not_fit_is_an_error_with_advice_wherever_it_is_asked() -> None:
    model, machine = generating(1, 64, 4096), small("32 MiB")  # 64 MiB of weights in FP32.
    run = Scenario("fp32", software="onednn")
    for ask in (
        lambda: estimate(model, machine, run),
        lambda: serve(model, machine, Partition(1, 96), run),
        lambda: rank(model, [machine, "xeon_8490h"], run, samples=4),
    ):
        with pytest.raises(
            NotEnoughMemory,
            match=r"generating: needs 66\.03 MiB \(weights 64\.00 MiB, KV cache 2\.000 MiB, "
            r"activations 32\.00 KiB\); epyc_9654 has at most 32 MiB: int8 needs 17\.01 MiB",
        ):
            ask()
    with pytest.raises(NotEnoughMemory, match=r"share the weights .*, or run at most 1 instance"):
        serve(model, small("80 MiB"), Partition(4, 24), run)
    with pytest.raises(NotEnoughMemory, match=r"two such sockets hold it \(--sockets 2\)"):
        estimate(generating(1, 64, 16384), small("120 MiB"), Scenario("w4"))


def test_what_fits_says_what_it_keeps() -> None:
    found = estimate(generating(), "epyc_9654", "int8")
    assert found.memory is not None
    assert found.memory.fits
    assert found.memory.capacity == load_machine("epyc_9654").memory.capacity.typical  # type: ignore[union-attr]
    served = serve(generating(), "epyc_9654", Partition(12, 8), "int8")
    assert served.memory is not None
    assert served.memory.total == 12 * found.memory.total


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1.5 * 2**40, "1.500 TiB"),
        (2.0**40, "1.000 TiB"),
        (2.0**30, "1.000 GiB"),
        (2.0**20, "1.000 MiB"),
        (2.0**10, "1.000 KiB"),
        (512, "0.5000 KiB"),
        (1023 * 2**20, "1,023 MiB"),
    ],
)
def test_a_size_is_in_the_largest_unit_that_it_reaches(size: float, text: str) -> None:
    assert size_text(size) == text


def test_a_need_says_its_parts_and_of_how_many_copies_they_are() -> None:
    mib = 2.0**20
    need = MemoryNeed(3 * mib, 1, 0.0, mib, 2, 5 * mib)
    assert str(need) == "weights 3.000 MiB, activations 1.000 MiB x 2"
    assert need.total == 5 * mib
    # What just fits, and what anything does where nothing is known.
    assert need.fits
    assert not replace(need, capacity=5 * mib - 1).fits
    assert replace(need, capacity=None).fits
    cached = replace(need, copies=2, state=2 * mib, instances=1)
    assert str(cached) == "weights 3.000 MiB x 2, KV cache 2.000 MiB, activations 1.000 MiB"
    assert need.to_dict() == {
        "weights_bytes": 3 * mib,
        "copies": 1,
        "state_bytes": 0.0,
        "activations_bytes": mib,
        "instances": 2,
        "capacity_bytes": 5 * mib,
        "total_bytes": 5 * mib,
    }


def weighing(mebibytes: int) -> Workload:
    """A layer with so much weight in FP32."""
    b = Builder("layer")
    b.linear(b.input(1024), 1, mebibytes * 256, 1024)
    return b.workload()


@pytest.mark.parametrize(
    ("capacity", "count", "weights", "precision", "advice"),
    [
        # Of one layer of 1 GiB in FP32, a copy for each instance unless they share it.
        (1120, 4, "separate", "fp32", ["share the weights", "run at most 1 instance$"]),
        (2240, 4, "separate", "fp32", ["share the weights", "run at most 2 instances$"]),
        (640, 1, "separate", "fp32", ["bf16 needs 512", "two such sockets"]),
        (320, 1, "shared", "fp32", ["int8 needs 25"]),
        (320, 1, "separate", "bf16", ["int8 needs 25", "two such sockets"]),
        (150, 1, "separate", "fp32", ["w4 needs 14"]),
        (128, 1, "separate", "w4", ["two such sockets"]),
        (64, 1, "separate", "w4", ["take a machine with more"]),
    ],
)
def test_advice_is_the_least_change_that_fits(
    capacity: int, count: int, weights: str, precision: str, advice: list[str]
) -> None:
    run = Scenario(precision, software="onednn", weights=weights)
    with pytest.raises(NotEnoughMemory) as caught:
        require_memory(weighing(1024), small(f"{capacity} MiB"), run, Partition(count, 1))
    told = str(caught.value).partition("iB: ")[2].split(", or ")
    assert len(told) == len(advice), told
    for found, expected in zip(told, advice, strict=True):
        assert re.match(expected, found), told


def test_two_sockets_hold_twice_as_much_and_no_more() -> None:
    """Of one socket that is bought: who rents takes another instance."""
    workload, run = weighing(1024), Scenario("w4", software="onednn")
    total = memory_need(workload, small("1 GiB"), run).total
    for capacity, advised in ((total / 2, True), (total / 2 - 1, False)):
        with pytest.raises(NotEnoughMemory) as caught:
            require_memory(workload, small(f"{capacity} B"), run)
        assert ("--sockets 2" in str(caught.value)) is advised
    several = load_machine("epyc_9654", sockets=2).with_values({"memory.capacity": total / 2})
    with pytest.raises(NotEnoughMemory, match="take a machine with more"):
        require_memory(workload, several, run)


def test_a_batch_that_takes_more_than_half_is_advised_to_be_smaller() -> None:
    b = Builder("layer", batch=16384)
    b.linear(b.input(16384 * 1024), 16384, 1024, 1024)
    b.linear(b.input(1024), 1, 128 * 1024, 1024)
    run = Scenario("fp32", software="onednn")
    half = memory_need(b.workload(), small("1 GiB"), run).activations
    assert half >= 2 * 16384 * 1024 * 4
    for capacity, advised in ((2 * half, False), (2 * half - 2, True)):
        with pytest.raises(NotEnoughMemory, match="int8 needs") as caught:
            require_memory(b.workload(), small(f"{capacity} B"), run)
        assert ("take a smaller batch" in str(caught.value)) is advised


def test_a_division_is_named_where_there_is_one() -> None:
    run = Scenario("fp32", software="onednn")
    for partition, told in (
        (None, "layer: needs 64"),
        (Partition(1, 8), "layer: needs 64"),
        (Partition(2, 8), f"layer: {Partition(2, 8)} need 128"),
    ):
        with pytest.raises(NotEnoughMemory) as caught:
            require_memory(weighing(64), small("32 MiB"), run, partition)
        assert str(caught.value).startswith(told)
