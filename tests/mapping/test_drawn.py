"""Rows that charts draw, each from the result that it is of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.machine import load_machine
from perfmodel.mapping import Result, estimate
from perfmodel.mapping.drawn import module_rows, ranking_rows, roofline_rows, serving_rows
from perfmodel.serving import Partition, serve
from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import Workload
from tests.builder import Builder

CPU = "xeon_8490h"


def two_alike_and_one() -> Workload:
    """An addition before two equal products and a smaller one."""
    b = Builder()
    b.kernel("add", f.ELEMENTWISE, [b.input(64)], elements=64, vector_ops=64)
    for n in (8192, 8192, 4096):
        b.linear(b.input(8192 * 8192), 8192, n, 8192)
    return b.workload()


def one_row() -> Workload:
    b = Builder()
    b.linear(b.input(4096), 1, 4096, 4096)
    return b.workload()


def test_a_ranking_is_by_model_as_given_then_by_batch_then_the_fastest_first() -> None:
    base = replace(estimate(one_row(), CPU), certainty=None)
    given = [("b", 1, 2.0), ("a", 4, 1.0), ("a", 1, 3.0), ("b", 1, 1.0)]
    results = [replace(base, model=m, batch=batch, latency_ms=ms) for m, batch, ms in given]
    rows = ranking_rows(results)
    assert [(row["model"], row["latency_ms"]) for row in rows] == [
        ("b", 1.0),
        ("b", 2.0),
        ("a", 3.0),
        ("a, batch 4", 1.0),
    ]
    assert {(row["software"], row["provenance"]) for row in rows} == {("openvino", "-")}
    (row,) = ranking_rows([replace(base, software=None, method="published")])
    assert row["software"] == "published"
    (row,) = ranking_rows([estimate(one_row(), CPU, software="ideal")])
    assert row["provenance"] == "bound"


@pytest.mark.parametrize(("workload", "above"), [(two_alike_and_one(), True), (one_row(), False)])
def test_kernels_and_ceilings_of_a_roofline_by_hand(workload: Workload, above: bool) -> None:
    machine = load_machine(CPU)
    result = estimate(workload, machine, "bf16", software="ideal")
    rows, ceilings = roofline_rows(result)
    products = [kernel for kernel in result.kernels if kernel.flops]
    first = max(products, key=lambda kernel: kernel.latency_ms)
    alike = [kernel for kernel in products if kernel.flops == first.flops]
    assert rows[0] == {
        "kernel": alike[0].name,
        "count": len(alike),
        "engine": first.engine,
        "bound": first.bound,
        "intensity": first.flops / first.moved_bytes,
        "tflops": first.flops / first.latency_ms / 1e9,
        "share": pytest.approx(100 * len(alike) * first.share),
    }
    assert [row["count"] for row in rows] == ([2, 1] if above else [1])
    most = machine.peak_ops("amx", "int8")
    ridge = most / machine.sustained_bandwidth
    intensities = [row["intensity"] for row in rows]
    assert (max(intensities) > ridge) is above
    ends = min(intensities) / 2, max(*intensities, ridge) * 2
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in ceilings:
        lines.setdefault(row["ceiling"], []).append((row["intensity"], row["tflops"]))
    compute = [row["tflops"] for row in ceilings if row["kind"] == "compute"]
    assert compute == sorted(compute, reverse=True)
    amx = most / 1e12
    assert lines["amx INT8"] == [(ends[0], amx), (ends[1], amx)]
    dram = machine.sustained_bandwidth / 1e12
    assert sum(lines["DRAM"], ()) == pytest.approx((ends[0], ends[0] * dram, ridge, amx))
    assert not any("FP64" in name for name in lines)
    # The nearer a level, the lower the intensity from which on it limits nothing.
    assert lines["L2"][1][0] < lines["L3"][1][0] < lines["DRAM"][1][0]


def test_what_multiplies_nothing_has_no_roofline() -> None:
    b = Builder("adds")
    b.kernel("add", f.ELEMENTWISE, [b.input(64)], elements=64, vector_ops=64)
    with pytest.raises(PerfmodelError, match=f"adds on {CPU}: no kernels that multiply"):
        roofline_rows(estimate(b.workload(), CPU))
    with pytest.raises(PerfmodelError, match="no kernels that multiply"):
        roofline_rows(replace(estimate(one_row(), CPU), machine=None))


def test_divisions_of_a_socket_as_rows() -> None:
    served = serve(one_row(), CPU, Partition(4, 15), "bf16")
    assert serving_rows([served]) == [
        {
            "cpu": CPU,
            "latency_ms": served.latency_ms,
            "throughput_fps": served.throughput_fps,
            "division": str(Partition(4, 15)),
            "batch": 1,
        }
    ]


def named(*names: tuple[str, int]) -> Result:
    """A result of products of this many columns, whose names say where in the model they are."""
    b = Builder("net")
    x = b.input(64 * 256)
    for name, n in names:
        weight = b.weight(n * 256)
        b.kernel("linear", f.LINEAR, [x], weights=(weight,), gemm=(1, 64, n, 256), name=name)
    return estimate(b.workload(), CPU, "fp32", software="ideal")


def modules_of(result: Result) -> list[str]:
    return [row["module"] for row in module_rows([result])]


def test_modules_are_divided_where_their_children_are_all_of_their_time() -> None:
    parts = [("body.a.p/linear", 2048), ("body.a.q/linear", 1024), ("head/linear", 512)]
    assert modules_of(named(*parts)) == ["body.a.p", "body.a.q", "head"]
    # What runs beside its children stays whole.
    assert modules_of(named(*parts, ("body.a/linear", 2048))) == ["body.a", "head"]


def test_no_module_is_divided_where_there_are_twelve() -> None:
    def inside(count: int) -> Result:
        parts = [(f"{letter}/linear", 256) for letter in "abcdefghijklmnop"[:count]]
        return named(*parts, ("z.x/linear", 4096), ("z.y/linear", 2048))

    assert modules_of(inside(10))[:2] == ["z.x", "z.y"]
    assert len(modules_of(inside(10))) == 12
    assert modules_of(inside(11))[0] == "z"
    assert len(modules_of(inside(14))) == 12


def test_a_row_of_a_module_has_its_figures() -> None:
    result = named(("a.1/linear", 512), ("a.2/linear", 512), ("b/linear", 4096))
    first, second = module_rows([result])
    alone = result.kernels[2]
    assert first == {
        "module": "b",
        "cpu": CPU,
        "latency_ms": alone.latency_ms,
        "share": 100 * alone.share,
        "gflop": 2 * 64 * 4096 * 256 / 1e9,
    }
    assert second["module"] == "a.* (2)"
    assert second["latency_ms"] == pytest.approx(2 * result.kernels[0].latency_ms)
