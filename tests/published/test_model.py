from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel import published
from perfmodel.published.chains import UNDEFINED, tabulate
from perfmodel.published.model import BATCH, PRECISION, active_cores
from perfmodel.published.nodes import Convolution
from tests.published.builders import graph

KERNELS = {
    "dense 3x3": Convolution(16, 32, (3, 3), 1),
    "pointwise": Convolution(16, 32, (1, 1), 1),
}


# --- the rule for the number of cores -----------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "cores_of_96", "cores_of_192"),
    [
        (1, 1, 1),
        (3, 1, 1),
        (4, 2, 2),
        (63, 16, 16),
        (64, 17, 17),
        (379, 95, 95),
        (380, 96, 96),
        (384, 96, 97),
        (1000, 96, 192),
        (UNDEFINED, 96, 192),
    ],
)
def test_active_cores(channels: int, cores_of_96: int, cores_of_192: int) -> None:
    assert active_cores(np.array([channels]), 96).tolist() == [cores_of_96]
    assert active_cores(np.array([channels]), 192).tolist() == [cores_of_192]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 4096), min_size=1, max_size=9), st.integers(1, 256))
def test_active_cores_is_the_scalar_rule_for_every_element(channels: list[int], n: int) -> None:
    expected = [max(1, min(n, 1 + min(n - 1, math.floor(c / 4)))) for c in channels]
    assert active_cores(np.array(channels), n).tolist() == expected


# --- one chain by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("cpu", published.CPUS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_convolution_by_hand(cpu: str, kernel: str) -> None:
    attributes = KERNELS[kernel]
    one = graph(
        ("x", "in", "", {"shape": (1, 16, 56, 56)}),
        (
            "c",
            "Conv2d",
            "x",
            {"shape": (1, 32, 56, 56), "convolution": attributes, "parameters": 4608},
        ),
    )
    figures = published.CPUS[cpu]
    got = published.estimate(one, cpu)

    n = 9  # 1 + 32 / 4, below the core count of every CPU
    ops = 2 * 32 * 56 * 56 * 16 * math.prod(attributes.kernel)
    divisor = figures.matrix_divisor if kernel == "dense 3x3" else 0.7 * figures.vector_lanes
    compute = ops / divisor / (figures.peak_ops_per_s * (n / figures.cores) ** 2) * (1 + 0.02 * 8)
    memory = 4 * (16 * 56 * 56 + 32 * 56 * 56 + 4608) / (figures.bandwidth_gb_s * 1e9)

    (row,) = got.chain_rows()
    assert (row.cores, row.ops, row.channels) == (n, ops, 32)
    assert row.compute_us == pytest.approx(compute * 1e6, rel=1e-14)
    assert row.memory_us == pytest.approx(memory * 1e6, rel=1e-14)
    assert row.time_us == max(row.compute_us, row.memory_us)
    assert got.latency_ms == pytest.approx(max(compute, memory) * 1e3, rel=1e-14)
    assert got.throughput_fps == pytest.approx(1 / max(compute, memory), rel=1e-14)
    assert got.fps_per_watt == pytest.approx(got.throughput_fps / figures.tdp_w, rel=1e-14)
    assert got.utilization == pytest.approx(n / figures.cores, rel=1e-14)
    assert got.bottleneck == row.bound == ("compute" if compute > memory else "memory")


# --- the worked check: ResNet-50's first 3x3 convolution of 64 channels ---------------------------


@pytest.mark.parametrize(
    ("cpu", "cores", "compute_us", "printed_decimals"),
    [("epyc_9654", 17, 660.0, 1), ("xeon_8490h", 17, 14.22, 2), ("ampereone_192", 17, 586.7, 1)],
)
def test_worked_check(
    graphs: dict[str, published.Graph],
    cpu: str,
    cores: int,
    compute_us: float,
    printed_decimals: int,
) -> None:
    rows = published.estimate(graphs["resnet50"], cpu).chain_rows()
    (row,) = (row for row in rows if row.nodes[0] == "layer1_0_conv2")
    assert row.types == ("Conv2d", "BatchNorm2d", "ReLU")
    assert row.matrix
    assert row.ops == 231_211_008
    assert (row.input_bytes, row.output_bytes, row.weight_bytes) == (802_816, 802_816, 147_968)
    assert row.channels == 64
    assert row.cores == cores
    assert round(row.compute_us, printed_decimals) == compute_us
    assert row.bound == "compute"
    assert row.time_us == row.compute_us
    if cpu == "epyc_9654":
        assert round(row.memory_us, 1) == 3.8


# --- totals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["resnet50", "vit_b_16"])
@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654", "ampereone_192"])
def test_totals_follow_from_the_chains(
    graphs: dict[str, published.Graph], model: str, cpu: str
) -> None:
    got = published.estimate(graphs[model], cpu)
    rows = got.chain_rows()
    cores = published.CPUS[cpu].cores
    assert got.latency_ms * 1e3 == pytest.approx(math.fsum(r.time_us for r in rows), rel=1e-12)
    assert got.ops == sum(r.ops for r in rows)
    # Unweighted by time: a chain of a microsecond counts as much as one of a millisecond.
    mean = math.fsum(r.cores / cores for r in rows) / len(rows)
    assert got.utilization == pytest.approx(mean, rel=1e-12)
    in_compute = math.fsum(r.time_us for r in rows if r.bound == "compute")
    assert got.compute_share == pytest.approx(in_compute / (got.latency_ms * 1e3), rel=1e-12)
    assert got.memory_share == pytest.approx(1 - got.compute_share)
    assert got.bottleneck == ("compute" if got.compute_share > 0.5 else "memory")


def test_a_transformer_row_is_fp32_bytes_over_peak_bandwidth(
    graphs: dict[str, published.Graph],
) -> None:
    chains = tabulate(graphs["vit_l_16"])
    for cpu in ("xeon_8490h", "epyc_9654"):
        got = published.estimate(graphs["vit_l_16"], cpu)
        bound = chains.bytes.sum() / (published.CPUS[cpu].bandwidth_gb_s * 1e9)
        assert got.memory_share > 0.95
        assert bound * 1e3 <= got.latency_ms <= bound * 1e3 * 1.02


# --- what the method does not define --------------------------------------------------------------


@pytest.mark.parametrize("asked", [{"precision": "bf16"}, {"batch": 8}], ids=str)
def test_other_precisions_and_batches_are_refused(asked: dict[str, object]) -> None:
    one = graph(("x", "in", ""), ("r", "ReLU", "x"))
    assert published.estimate(one, "epyc_9654", precision=PRECISION, batch=BATCH).latency_ms > 0
    with pytest.raises(published.NotPublished, match="int8 at batch 1 only"):
        published.estimate(one, "epyc_9654", **asked)  # type: ignore[arg-type]


def test_a_model_without_work_is_refused() -> None:
    for rows in ([("x", "in", "")], [("x", "in", "", {"shape": None}), ("g", "getattr", "x")]):
        if rows[-1][0] == "g":
            rows[-1] = (*rows[-1], {"shape": None})
        with pytest.raises(published.NotPublished, match="hand-built"):
            published.estimate(graph(*rows), "epyc_9654")
