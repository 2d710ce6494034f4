from __future__ import annotations

import json

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName
from perfmodel.mapping import estimate
from perfmodel.ranking.sweep import sweep, sweep_points
from perfmodel.workload.parametric import ParametricWorkload

CPUS = ("xeon_8490h", "epyc_9654", "ampereone_192")


def layer(maximum: int | None = None) -> ParametricWorkload:
    """A linear layer from 4096 to 4096 features on ``rows`` rows."""
    n = 4096
    workload = {
        "format": "perfmodel.workload",
        "version": 1,
        "name": "layer",
        "batch": "rows",
        "parameters": n * n,
        "flops_per_mac": 2,
        "inputs": [{"name": "x", "shape": ["rows", n], "dtype": "float32"}],
        "provenance": {},
        "unmodelled": [],
        "phase": None,
        "tokens": 0,
        "context": 0,
        "tensors": {
            "name": ["x", "weight", "y"],
            "kind": ["input", "weight", "activation"],
            "elements": [f"{n}*rows", n * n, f"{n}*rows"],
            "itemsize": [4, 4, 4],
            "floating": [True, True, True],
        },
        "kernels": {
            "name": ["linear"],
            "operator": ["aten.linear"],
            "family": ["linear"],
            "flops": [f"{2 * n * n}*rows"],
            "vector_ops": [0],
            "gemm_batch": [1],
            "gemm_m": ["rows"],
            "gemm_n": [n],
            "gemm_k": [n],
        },
        "accesses": {
            "kernel": [0, 0, 0],
            "tensor": [1, 0, 2],
            "role": ["weight", "input", "output"],
            "elements": [n * n, f"{n}*rows", f"{n}*rows"],
        },
    }
    dimension = {"name": "rows", "default": 1, "minimum": 1, "maximum": maximum}
    return ParametricWorkload.from_dict(
        {
            "format": "perfmodel.parametric_workload",
            "version": 1,
            "name": "layer",
            "dimensions": [dimension],
            "cases": [{"where": ["rows >= 1"], "workload": workload}],
        }
    )


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("batch=1:256", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        ("batch=3:20", (3, 6, 12, 20)),
        (" batch = 5 : 5 ", (5,)),
        ("batch=1:3", (1, 2, 3)),
    ],
)
def test_points_double_and_include_both_ends(text: str, points: tuple[int, ...]) -> None:
    assert sweep_points(text) == ("batch", points)


@pytest.mark.parametrize(
    "text", ["", "batch", "batch=1", "batch=1:", "1:4", "batch=0:4", "batch=8:4", "batch=-1:4"]
)
def test_a_bad_range_is_one_line(text: str) -> None:
    with pytest.raises(PerfmodelError, match=r"sweep .*: expected a") as caught:
        sweep_points(text)
    assert "\n" not in str(caught.value)


def test_each_latency_is_the_estimate_at_that_size() -> None:
    found = sweep(layer(), CPUS, *sweep_points("rows=1:64"), "bf16")
    assert found.latency_ms.shape == (7, 3)
    for row, size in enumerate(found.points):
        for column, cpu in enumerate(CPUS):
            expected = estimate(layer().at(rows=size), cpu, "bf16")
            assert found.latency_ms[row, column] == expected.latency_ms
            assert found.throughput_fps[row, column] == expected.throughput_fps
    assert found.leaders == tuple(CPUS[i] for i in found.latency_ms.argmin(axis=1))
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
def test_crossovers_are_the_first_sizes_of_another_leader(precision: str) -> None:
    coarse = sweep(layer(), CPUS, "rows", (1, 512), precision)
    fine = sweep(layer(), CPUS, "rows", sweep_points("rows=1:512")[1], precision)
    for found in (coarse, fine):
        leader = found.leaders[0]
        for change in found.crossovers:
            assert change.before == leader != change.after
            for size, expected in ((change.size - 1, change.before), (change.size, change.after)):
                latencies = [estimate(layer().at(rows=size), c, precision).latency_ms for c in CPUS]
                assert CPUS[int(np.argmin(latencies))] == expected
            leader = change.after
        assert leader == found.leaders[-1]


def test_some_precision_has_a_crossover() -> None:
    """What the test above asserts of crossovers is not asserted of none."""
    found = [sweep(layer(), CPUS, "rows", (1, 512), p).crossovers for p in ("int8", "bf16", "fp32")]
    assert any(found)


def test_what_is_swept_is_not_fixed_and_all_else_is() -> None:
    found = sweep(layer(), CPUS, "rows", (1, 2))
    assert "rows" not in found.fixed
    assert found.to_dict()["fixed"] == {}


def test_bad_input_is_named() -> None:
    workload = layer(maximum=100)
    with pytest.raises(UnknownName, match="dimension of layer 'tokens': choose one of rows"):
        sweep(workload, CPUS, "tokens", (1, 2))
    with pytest.raises(UncoveredSize, match="rows 1 to 100, not 128"):
        sweep(workload, CPUS, "rows", (1, 128))
    for cpus, points, message in (
        ((), (1,), "different CPUs, found none"),
        (("epyc_9654", "epyc_9654"), (1,), "different CPUs"),
        (CPUS, (), "points that ascend, found none"),
        (CPUS, (4, 2), "points that ascend, found 4, 2"),
    ):
        with pytest.raises(PerfmodelError, match=message):
            sweep(workload, cpus, "rows", points)
    with pytest.raises(PerfmodelError, match="cannot be fixed"):
        sweep(workload, CPUS, "rows", (1, 2), fixed={"rows": 3})
