"""Every catalogue CPU runs a small model in every precision, within its own bounds."""

from __future__ import annotations

import itertools
import math

import pytest

from perfmodel.machine import catalogue, load_machine
from perfmodel.mapping import estimate, mapper_for
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.workload.workload import Workload
from tests.builder import Builder

TOKENS, WIDTH = 128, 256


def small_model() -> Workload:
    """A kernel of every kind of product, and some without: 128 tokens of 256 features."""
    b = Builder("small")
    x = b.input(TOKENS * WIDTH)
    image = b.weight(32 * 9 * WIDTH)
    x = b.kernel("conv2d", f.CONV, [x], weights=(image,), gemm=(1, TOKENS, WIDTH, 9 * 32))
    depth = b.weight(WIDTH * 9)
    x = b.kernel("conv2d", f.DEPTHWISE_CONV, [x], weights=(depth,), gemm=(WIDTH, TOKENS, 1, 9))
    x = b.kernel("layer_norm", f.NORM, [x], elements=TOKENS * WIDTH, vector_ops=8 * TOKENS * WIDTH)
    qkv = b.linear(x, TOKENS, 3 * WIDTH, WIDTH)
    x = b.kernel(
        "attention",
        f.ATTENTION,
        [qkv],
        gemm=(4, TOKENS, TOKENS, WIDTH // 4),
        flops=4 * 4 * TOKENS * TOKENS * (WIDTH // 4),
        elements=TOKENS * WIDTH,
        vector_ops=5 * 4 * TOKENS * TOKENS,
    )
    x = b.linear(x, TOKENS, 4 * WIDTH, WIDTH)
    x = b.kernel("gelu", f.ACTIVATION, [x], elements=4 * TOKENS * WIDTH, vector_ops=TOKENS * WIDTH)
    x = b.linear(x, TOKENS, WIDTH, 4 * WIDTH)
    b.kernel("matmul", f.MATMUL, [x, x], gemm=(1, TOKENS, TOKENS, WIDTH))
    return b.workload()


MODEL = small_model()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cpu", catalogue())
def test_every_cpu_runs_every_precision(cpu: str, precision: str) -> None:
    machine = load_machine(cpu)
    found = estimate(MODEL, cpu, precision)
    seconds = found.latency_ms * 1e-3
    assert math.isfinite(seconds)
    assert seconds > 0
    assert sum(found.bottleneck_shares.values()) == pytest.approx(1.0)
    assert 0 < found.utilization <= 1
    assert 1 <= found.active_cores <= machine.cores.count.typical
    # No kernel beats the best peak of any format, nor does a first run beat a warm one.
    peak = max(
        machine.peak_ops(name, fmt)
        for name, engine in machine.core.engines.items()
        for fmt in engine.ops_per_cycle
    )
    assert MODEL.kernels.flops.sum() / seconds < peak
    assert estimate(MODEL, cpu, precision, state="cold").latency_ms >= found.latency_ms
    for kernel in found.kernels:
        assert kernel.engine in machine.core.engines
        assert math.isfinite(kernel.latency_ms)
        assert kernel.latency_ms > 0


@pytest.mark.parametrize(
    ("cpu", "asked", "engine", "fmt"),
    [
        ("xeon_8592plus", "fp16", "avx512", "fp16"),  # AMX multiplies FP16 on Granite Rapids only
        ("xeon_6980p", "fp16", "amx", "fp16"),
        ("epyc_9754", "fp16", "avx512", "fp32"),
        ("epyc_9755", "fp16", "avx512", "fp32"),
        ("epyc_9965", "bf16", "avx512", "bf16"),
        ("graviton3", "fp16", "sve", "fp16"),
        ("graviton4", "int8", "mmla", "int8"),
        ("xeon_8380", "bf16", "avx512", "fp32"),  # BF16 came with Cooper Lake
        ("xeon_8280", "int8", "avx512", "int8"),
        ("xeon_cooper_lake_1c", "bf16", "avx512", "bf16"),
        ("epyc_7763", "int8", "avx2", "int8"),  # by widening products, for want of VNNI
        ("epyc_7763", "bf16", "avx2", "fp32"),
        ("altra_80", "bf16", "neon", "fp32"),
        ("altra_80", "int8", "neon", "int8"),
        ("azure_cobalt_100", "bf16", "mmla", "bf16"),
        ("i7_12700k", "bf16", "avx2", "fp32"),
        ("i7_12700k", "int8", "avx2", "int8"),
    ],
)
def test_formats_run_as_the_core_can(cpu: str, asked: str, engine: str, fmt: str) -> None:
    run = mapper_for(load_machine(cpu)).executes(engine, f.LINEAR, asked)
    assert run is not None
    assert run.fmt == fmt


def test_what_a_desktop_lacks_is_said() -> None:
    (note,) = estimate(MODEL, "i7_12700k", "bf16").notes
    assert note == "i7_12700k under openvino has no bf16 arithmetic: products run in fp32"
    assert estimate(MODEL, "graviton4", "bf16").notes == ()


def awkward_shapes() -> Workload:
    """Linear layers that fill no tile, each on its own input."""
    b = Builder("awkward")
    for m in (1, 2, 3, 17):
        for n in (1, 4, 8, 12, 33):
            for k in (1, 3, 9, 40):
                b.linear(b.input(m * k), m, n, k)
    return b.workload()


AWKWARD = awkward_shapes()


@pytest.mark.parametrize("cpu", catalogue())
def test_narrower_formats_are_never_slower_on_awkward_shapes(cpu: str) -> None:
    """Padding to deeper and taller tiles never costs more than the higher rate brings."""
    machine = load_machine(cpu).with_values({"cores.count": 1, "cache.l3_domains": 1})
    by_precision = [
        [kernel.compute_ms for kernel in estimate(AWKWARD, machine, precision).kernels]
        for precision in ("int8", "bf16", "fp32")
    ]
    assert len(by_precision[0]) == 80
    for narrow, wide in itertools.pairwise(by_precision):
        for ours, theirs in zip(narrow, wide, strict=True):
            assert ours <= theirs * (1 + 1e-12)
