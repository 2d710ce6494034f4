"""A result by modules, and what it attains of the machine: sums, closed forms, what is alike."""

from __future__ import annotations

import pytest
from hypothesis import given

from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.drawn import module_rows
from perfmodel.mapping.modules import Module, attained, modules
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.strategies import workloads

CPU = "xeon_8490h"


def encoder(layers: int = 4, wide: int = 2) -> Workload:
    """Layers of two products each, of which layer ``wide`` is wider."""
    build = Builder("encoder")
    x = build.input(128 * 512)
    for layer in range(layers):
        n = 4096 if layer == wide else 2048
        for name, out, k in (("fc1", n, 512), ("fc2", 512, n)):
            x = build.kernel(
                "linear",
                "linear",
                [x],
                weights=(build.weight(out * k),),
                gemm=(1, 128, out, k),
                name=f"layers.{layer}.mlp.{name}/linear",
            )
    return build.workload()


def walk(module: Module) -> list[Module]:
    return [module, *(below for child in module.children for below in walk(child))]


def test_layers_that_are_alike_are_one_and_the_others_stand_apart() -> None:
    root = modules(estimate(encoder(), CPU, "fp32"))
    (layers,) = root.children
    assert [(child.name, child.count, child.kernels) for child in layers.children] == [
        ("*", 3, 6),
        ("2", 1, 2),
    ]
    (mlp,) = layers.children[0].children
    assert [(child.name, child.count, child.flops) for child in mlp.children] == [
        ("fc1", 3, 3 * 2 * 128 * 2048 * 512),
        ("fc2", 3, 3 * 2 * 128 * 2048 * 512),
    ]


def test_rows_are_the_modules_that_take_most_with_how_many_are_alike() -> None:
    rows = module_rows([estimate(encoder(), CPU, "fp32")])
    products = {"layers.2": 4, "layers.*.mlp.fc1 (3)": 3, "layers.*.mlp.fc2 (3)": 3}
    gflop = 2 * 128 * 2048 * 512 / 1e9
    assert {row["module"]: row["gflop"] for row in rows} == pytest.approx(
        {name: count * gflop for name, count in products.items()}
    )
    assert sum(row["share"] for row in rows) == pytest.approx(100)
    latencies = [row["latency_ms"] for row in rows]
    assert latencies == sorted(latencies, reverse=True)


@given(workloads())
def test_a_module_holds_all_that_its_kernels_are(workload: Workload) -> None:
    result = estimate(workload, CPU, "bf16")
    root = modules(result)
    assert root.kernels == len(result.kernels)
    assert root.flops == workload.flops
    assert root.share == pytest.approx(1)
    assert root.latency_ms == pytest.approx(result.latency_ms)
    for module in walk(root):
        for of in ("kernels", "flops", "moved_bytes", "latency_ms"):
            below = sum(getattr(child, of) for child in module.children)
            assert below <= getattr(module, of) * (1 + 1e-9)


def test_what_is_attained_is_the_closed_form() -> None:
    build = Builder()
    build.linear(build.input(256 * 4096), 256, 16384, 4096)
    # Software that nothing holds back, and weights that come from memory.
    result = estimate(build.workload(), CPU, "bf16", software="ideal", state="cold")
    machine, found = load_machine(CPU), attained(result)
    flops, seconds = 2 * 256 * 16384 * 4096, result.latency_ms / 1e3
    moved = result.moved_bytes()["DRAM"]
    assert found.format == "bf16"
    assert found.mfu == pytest.approx(flops / seconds / machine.peak_ops("amx", "bf16"))
    assert found.mbu == pytest.approx(moved / seconds / machine.peak_bandwidth)
    assert found.intensity == pytest.approx(flops / moved)
    assert found.ridge_point == pytest.approx(
        machine.peak_ops("amx", "bf16") / machine.peak_bandwidth
    )
    assert 0 < found.mfu <= 1
    assert 0 < found.mbu <= 1


def test_what_multiplies_nothing_has_no_ridge_point() -> None:
    build = Builder()
    build.kernel("add", "elementwise", [build.input(512)], elements=512, vector_ops=512)
    found = attained(estimate(build.workload(), CPU, "fp32"))
    assert (found.format, found.mfu, found.flops) == (None, 0.0, 0)
    assert found.peak_flops == found.ridge_point == 0.0
    assert found.intensity == float("inf")
