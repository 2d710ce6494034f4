"""Which library eager PyTorch gives a convolution to, and what it adds around other operators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import copies, estimate, mapper_for
from perfmodel.mapping.columns import columns
from perfmodel.software import load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.bound import EAGER
from tests.mapping.machines import machines
from tests.strategies import workloads

assert EAGER.packing is not None
assert EAGER.relayout is not None
assert EAGER.conversion is not None
#: One core of a CPU with all of the cache of its complex.
ALONE = load_machine("epyc_9654").with_values({"cores.count": 1, "cache.l3_domains": 1})


def convolution(family: str, pixels: int, channels: int = 64, batch: int = 1) -> Workload:
    b = Builder(batch=batch)
    m, taps = batch * pixels, 1 if family == f.POINTWISE_CONV else 9
    if family == f.DEPTHWISE_CONV:
        gemm, weights = (channels, m, 1, taps), channels * taps
    else:
        gemm, weights = (1, m, channels, channels * taps), channels * channels * taps
    b.kernel(
        "conv2d",
        family,
        [b.input(m * channels)],
        weights=(b.weight(weights),),
        gemm=gemm,
        elements=m * channels,
    )
    return b.workload()


def is_native(workload: Workload, precision: str, threads: int) -> bool:
    applied = mapper_for(ALONE).applied(EAGER)
    (found,) = copies.native(columns(workload, get_precision(precision)), applied, threads)
    return bool(found)


@pytest.mark.parametrize(
    ("family", "pixels", "batch", "precision", "threads", "expected"),
    [
        # ConvParams::use_mkldnn: pointwise, one thread, fewer than 16 samples.
        (f.POINTWISE_CONV, 3136, 1, "fp32", 1, True),
        (f.POINTWISE_CONV, 3136, 15, "fp32", 1, True),
        (f.POINTWISE_CONV, 3136, 16, "fp32", 1, False),
        (f.POINTWISE_CONV, 3136, 1, "fp32", 2, False),
        (f.POINTWISE_CONV, 3136, 1, "bf16", 1, False),
        (f.CONV, 3136, 1, "fp32", 1, False),
        # One sample of at most 20,480 elements, whatever the number of threads.
        (f.POINTWISE_CONV, 320, 1, "fp32", 2, True),
        (f.POINTWISE_CONV, 321, 1, "fp32", 2, False),
        (f.CONV, 320, 1, "fp32", 2, True),
        (f.CONV, 160, 2, "fp32", 2, False),
        (f.CONV, 320, 1, "bf16", 2, False),
        (f.DEPTHWISE_CONV, 320, 1, "fp32", 1, False),
    ],
)
def test_which_convolutions_are_plain_products(
    family: str, pixels: int, batch: int, precision: str, threads: int, expected: bool
) -> None:
    workload = convolution(family, pixels, batch=batch)
    assert is_native(workload, precision, threads) is expected


def test_a_plain_product_launches_faster_and_changes_no_layout() -> None:
    workload = convolution(f.POINTWISE_CONV, 3136)
    (native,) = estimate(workload, ALONE, "fp32", software=EAGER).kernels
    packing = EAGER.packing.typical * 64 * 64 * 4
    level = ALONE.core.cache_bandwidth.l3.typical * ALONE.clock.sustained.typical
    assert native.overhead_ms * 1e3 == pytest.approx(10.5 + packing / level * 1e6)

    (library,) = estimate(workload, ALONE, "bf16", software=EAGER).kernels
    vector = ALONE.core.engines["avx512"]
    rate = vector.ops_per_cycle["fp32"].typical * ALONE.engine_clock("avx512").typical
    rate *= vector.efficiency["elementwise"].typical
    elements = 2 * 3136 * 64
    moved = (
        EAGER.relayout.typical + EAGER.conversion.typical
    ) * elements / rate + packing / 2 / level
    assert library.overhead_ms * 1e3 == pytest.approx(60 + moved * 1e6)


@pytest.mark.parametrize(
    ("family", "pays"), [(f.ACTIVATION, True), (f.NORM, True), (f.DATA_MOVEMENT, False)]
)
def test_16_bit_elements_are_converted_where_they_are_calculated_with(
    family: str, pays: bool
) -> None:
    b = Builder()
    b.kernel("op", family, [b.input(10**6)], elements=10**6, vector_ops=10**6)
    machine = load_machine("epyc_9654")
    table = columns(b.workload(), get_precision("bf16"))
    plain = EAGER.model_copy(update={"conversion": None})
    with_it, without = (mapper_for(machine).times(table, r).compute[0] for r in (EAGER, plain))
    assert bool(with_it > 1.01 * without) is pays
    wide = columns(b.workload(), get_precision("fp32"))
    with_it, without = (mapper_for(machine).times(wide, r).compute[0] for r in (EAGER, plain))
    assert with_it == without


def test_a_16_bit_product_of_one_row_converts_its_matrix() -> None:
    def overhead(rows: int, precision: str) -> float:
        b = Builder()
        b.linear(b.input(rows * 4096), rows, 4096, 4096)
        runtime = EAGER.model_copy(update={"packing": None})
        table = columns(b.workload(), get_precision(precision))
        return float(mapper_for(ALONE).times(table, runtime).overhead[0])

    assert overhead(1, "fp32") == pytest.approx(overhead(2, "bf16"))
    assert overhead(1, "bf16") > overhead(1, "fp32") + 1e-3


def test_attention_in_16_bits_is_no_faster_than_in_32_and_only_in_eager_mode() -> None:
    b = Builder()
    shape = (16, 512, 512, 64)
    flops = 4 * 16 * 512 * 512 * 64
    b.kernel(
        "sdpa", f.ATTENTION, [b.input(3 * 512 * 1024)], gemm=shape, flops=flops, elements=2**19
    )
    for runtime, ratio in ((EAGER, 1.0), (load_software("ideal"), 2.0)):
        fp32, bf16 = (
            estimate(b.workload(), "epyc_9654", p, software=runtime).kernels[0].compute_ms
            for p in ("fp32", "bf16")
        )
        assert fp32 / bf16 == pytest.approx(ratio, rel=0.01)


def test_pooling_is_a_loop_over_single_elements_in_eager_mode_alone() -> None:
    b = Builder()
    b.kernel("max_pool", f.POOLING, [b.input(10**6)], elements=10**5, vector_ops=9 * 10**5)
    eager_ms, compiled_ms = (
        estimate(b.workload(), ALONE, "fp32", software=runtime).kernels[0].compute_ms
        for runtime in (EAGER, load_software("ideal"))
    )
    assert compiled_ms / eager_ms == pytest.approx(EAGER.efficiency["vector"][f.POOLING].typical)


@given(workloads(), machines(), st.sampled_from(["fp32", "bf16"]))
def test_a_runtime_that_plans_does_none_of_it(
    workload: Workload, machine: Machine, precision: str
) -> None:
    mapper = mapper_for(machine)
    software = mapper.applied(load_software("ideal"))
    table = columns(workload, get_precision(precision))
    assert not copies.native(table, software, 1).any()
    assert copies.conversion_seconds(table, software, np.full((1, 1), 1e9)) == 0.0
    cores = mapper.candidates(load_software("ideal"))
    traffic = mapper.traffic(table, "steady", cores)
    rate = np.full((1, 1), 1e9)
    assert np.all(copies.copies(table, software, traffic, rate, cores, 1) == 0.0)


def test_all_threads_of_llama_cpp_meet_after_every_kernel() -> None:
    b = Builder()
    b.kernel("add", f.ELEMENTWISE, [b.input(64)], elements=64, vector_ops=64)
    software = load_software("llama_cpp")
    assert software.join is not None
    (tiny,) = estimate(b.workload(), "ampereone_192", "bf16", software=software).kernels
    expected = 192 * software.join.typical + software.launch["default"].typical
    assert tiny.overhead_ms / 1e3 == pytest.approx(expected)
    # Where threads are woken for a grain of work, a tiny kernel wakes none.
    (alone,) = estimate(b.workload(), "ampereone_192", "bf16", software="openvino").kernels
    launch = load_software("openvino").launch["default"].typical
    assert alone.overhead_ms / 1e3 == pytest.approx(launch)
