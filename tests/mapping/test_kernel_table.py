"""The per-kernel table and its sums, by hand from an estimate of a few kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.mapping import Result, estimate
from perfmodel.mapping.modules import Attained, attained, modules
from perfmodel.vocabulary import families as f
from tests.builder import Builder

CPU = "xeon_8490h"


def run(precision: str = "int8") -> Result:
    """Two equal products, an attention that stays in 16 bits, and an addition."""
    b = Builder("net")
    x = b.input(64 * 512)
    for name in ("a.0/linear", "a.1/linear"):
        weight = b.weight(512 * 512)
        x = b.kernel("linear", f.LINEAR, [x], weights=(weight,), gemm=(1, 64, 512, 512), name=name)
    x = b.kernel(
        "attention", f.ATTENTION, [x], gemm=(8, 64, 64, 64), flops=4 * 8 * 64**3, elements=64 * 512
    )
    b.kernel("add", f.ELEMENTWISE, [x], elements=64 * 512, vector_ops=3 * 64 * 512, name="add")
    return estimate(b.workload(), CPU, precision, software="ideal")


PRODUCT, ATTENTION = 2 * 64 * 512 * 512, 4 * 8 * 64**3


def test_operations_by_engine_format_and_family_are_counted_once() -> None:
    found = run()
    assert found.flops_by_engine() == {
        ("amx", f.LINEAR): 2.0 * PRODUCT,
        ("amx", f.ATTENTION): float(ATTENTION),
    }
    assert found.flops_by_format() == {
        ("amx", "int8"): 2.0 * PRODUCT,
        ("amx", "bf16"): float(ATTENTION),
    }
    assert found.vector_operations() == 3 * 64 * 512


def test_a_kernel_has_its_figures_in_the_order_of_the_run() -> None:
    found = run()
    table = found.kernel_table
    assert [kernel.name for kernel in found.kernels] == ["a.0/linear", "a.1/linear", "k2", "add"]
    for index, kernel in enumerate(found.kernels):
        at = table.columns.inverse[index]
        for name in ("compute", "memory", "overhead", "latency"):
            assert getattr(kernel, f"{name}_ms") == getattr(table.times, name)[at] * 1e3
        assert kernel.share == pytest.approx(kernel.latency_ms / found.latency_ms)
        assert kernel.moved_bytes == table.columns.work.moved[:, at].sum()
        assert kernel.intensity == kernel.flops / kernel.moved_bytes
        assert kernel.cores == table.times.cores[at]
    product, _, attention, addition = found.kernels
    assert (product.flops, attention.flops, addition.flops) == (PRODUCT, ATTENTION, 0)
    assert [k.format for k in found.kernels] == ["int8", "int8", "bf16", "fp32"]
    assert [k.engine for k in found.kernels] == ["amx", "amx", "amx", "avx512"]
    assert (product.gemm, addition.gemm) == ((1, 64, 512, 512), (0, 0, 0, 0))
    assert sum(kernel.share for kernel in found.kernels) == pytest.approx(1)
    assert replace(product, moved_bytes=0.0).intensity == float("inf")


def test_bytes_by_level_are_those_of_the_roles_that_come_from_it() -> None:
    found = run()
    table = found.kernel_table
    by_level = dict.fromkeys(("L2", "L3", "DRAM"), 0.0)
    for index in range(4):
        moved = table.columns.work.moved[:, table.columns.inverse[index]]
        levels = found.levels(index)
        assert list(levels) == [
            role for role, size in zip(("weight", "input", "output"), moved, strict=True) if size
        ]
        for role, size in zip(("weight", "input", "output"), moved, strict=True):
            if size:
                by_level[levels[role]] += size
    assert found.moved_bytes() == pytest.approx(by_level)
    assert sum(by_level.values()) == sum(kernel.moved_bytes for kernel in found.kernels)


def test_what_most_operations_run_in_is_the_format_of_the_peak() -> None:
    found = run()
    machine = found.machine
    assert machine is not None
    assert attained(found).format == "int8"
    assert attained(found).peak_flops == machine.best_peak("int8")
    assert attained(found).flops == 2 * PRODUCT + ATTENTION
    assert attained(found).seconds == found.latency_ms / 1e3


def test_shares_of_the_peak_by_hand() -> None:
    found = Attained("bf16", 400.0, 20.0, flops=300.0, dram_bytes=6.0, seconds=3.0)
    assert (found.mfu, found.mbu) == pytest.approx((0.25, 0.1))
    assert (found.intensity, found.ridge_point) == pytest.approx((50.0, 20.0))
    assert replace(found, peak_flops=0.0).mfu == 0.0


def test_a_module_is_shown_without_what_is_below_it() -> None:
    root = modules(run())
    assert (root.name, root.count, root.kernels) == ("net", 1, 4)
    assert [(child.name, child.count) for child in root.children] == [
        ("a", 1),
        ("k2", 1),
        ("add", 1),
    ]
    (layers,) = root.children[0].children
    assert (layers.name, layers.count, layers.kernels, layers.flops) == ("*", 2, 2, 2 * PRODUCT)
    assert layers.share == pytest.approx(2 * run().kernels[0].share)
    assert layers.moved_bytes == pytest.approx(2 * run().kernels[0].moved_bytes)
    assert "children" not in repr(root)


def test_columns_that_are_alike_count() -> None:
    columns = run().kernel_table.columns
    assert sorted(columns.count.tolist()) == [1.0, 1.0, 2.0]
    assert columns.inverse[0] == columns.inverse[1]
    assert np.array_equal(columns.stated, [-1, -1, -1])
    assert columns.work.elements.min() >= 1
