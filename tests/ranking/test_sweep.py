from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName
from perfmodel.mapping import estimate
from perfmodel.ranking.sweep import Crossover, Sweep, _crossovers, sweep, sweep_points
from perfmodel.workload.parametric import ParametricWorkload

CPUS = ("xeon_8490h", "epyc_9654", "ampereone_192")


def layer(maximum: int | None = None, minimum: int = 1) -> ParametricWorkload:
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
    dimension = {"name": "rows", "default": minimum, "minimum": minimum, "maximum": maximum}
    return ParametricWorkload.from_dict(
        {
            "format": "perfmodel.parametric_workload",
            "version": 1,
            "name": "layer",
            "dimensions": [dimension],
            "cases": [{"where": [f"rows >= {minimum}"], "workload": workload}],
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
        (CPUS, (2, 2), "points that ascend, found 2, 2"),
    ):
        with pytest.raises(PerfmodelError, match=message):
            sweep(workload, cpus, "rows", points)
    with pytest.raises(PerfmodelError, match="cannot be fixed"):
        sweep(workload, CPUS, "rows", (1, 2), fixed={"rows": 3})


@pytest.mark.parametrize("points", [(4, 8, 128), (4, 128), (128, 256), (2, 4, 8)])
def test_a_size_that_is_not_covered_is_found_before_the_work(
    points: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("perfmodel.ranking.sweep.estimate", never)
    with pytest.raises(UncoveredSize):
        sweep(layer(maximum=100, minimum=4), CPUS, "rows", points)


def test_crossovers_of_a_leader_that_is_known_at_every_size() -> None:
    sizes = dict.fromkeys(range(1, 37), "a") | dict.fromkeys(range(37, 64), "b")
    sizes |= dict.fromkeys(range(64, 101), "c")
    found = [Crossover(37, "a", "b"), Crossover(64, "b", "c")]
    assert _crossovers(sizes.__getitem__, 1, 100) == found
    assert _crossovers(sizes.__getitem__, 36, 37) == found[:1]
    assert _crossovers(sizes.__getitem__, 37, 63) == []


def test_a_sweep_as_plain_objects() -> None:
    found = Sweep(
        model="m",
        dimension="rows",
        points=(1, 8),
        fixed={"width": 3},
        precision="bf16",
        state="cold",
        software="eager",
        cpus=("b", "a"),
        latency_ms=np.array([[2.0, 1.0], [4.0, 4.0]]),
        throughput_fps=np.array([[500.0, 1000.0], [250.0, 250.0]]),
        crossovers=(Crossover(5, "a", "b"),),
    )
    assert found.leaders == ("a", "a")
    assert found.to_dict() == {
        "model": "m",
        "dimension": "rows",
        "fixed": {"width": 3},
        "precision": "bf16",
        "state": "cold",
        "software": "eager",
        "points": [
            {
                "rows": 1,
                "leader": "a",
                "latency_ms": {"b": 2.0, "a": 1.0},
                "throughput_fps": {"b": 500.0, "a": 1000.0},
            },
            {
                "rows": 8,
                "leader": "a",
                "latency_ms": {"b": 4.0, "a": 4.0},
                "throughput_fps": {"b": 250.0, "a": 250.0},
            },
        ],
        "crossovers": [{"rows": 5, "before": "a", "after": "b"}],
    }
    # Arrays have no one truth.
    assert found != replace(found)


def two_dimensions() -> ParametricWorkload:
    """The layer with ``count`` of them, one after the other on the same rows."""
    document = layer().to_dict()
    document["dimensions"].append({"name": "count", "default": 2, "minimum": 1, "maximum": None})
    (case,) = document["cases"]
    case["workload"]["kernels"]["gemm_batch"] = ["count"]
    case["workload"]["kernels"]["flops"] = [f"{2 * 4096**2}*rows*count"]
    return ParametricWorkload.from_dict(document)


def test_other_dimensions_are_fixed_at_their_defaults_or_as_asked() -> None:
    workload = two_dimensions()
    for fixed, count in ((None, 2), ({"count": 5}, 5)):
        found = sweep(workload, CPUS[:1], "rows", (64,), fixed=fixed)
        assert found.fixed == {"count": count}
        expected = estimate(workload.at(rows=64, count=count), CPUS[0])
        assert found.latency_ms.tolist() == [[expected.latency_ms]]
    with pytest.raises(UnknownName, match="'cuont'"):
        sweep(workload, CPUS, "rows", (1,), fixed={"cuont": 2})
