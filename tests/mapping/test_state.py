"""A KV cache in the mapping: it is where the weights are, and competes with them for the cache."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.machine import load_machine
from perfmodel.mapping import mapper_for
from perfmodel.mapping.columns import columns
from perfmodel.software import load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload
from tests.builder import Builder
from tests.mapping.bound import estimate

MIB = 2**20
HEADS, HEAD_DIM = 8, 64
ROW = HEADS * HEAD_DIM


def decode_step(length: int, weight: int, *, kind: str = "state") -> Workload:
    """A linear layer of ``weight`` elements, a new row to each of two caches, and attention."""
    b = Builder()
    x = b.linear(b.input(weight // ROW), 1, ROW, weight // ROW)
    caches = [b.tensor(length * ROW, kind) for _ in ("keys", "values")]
    for cache in caches:
        b.kernel("aten.copy", f.DATA_MOVEMENT, [x], into=cache)
        kernel, tensor, role, _ = b.accesses.pop()  # one row of it
        b.accesses.append((kernel, tensor, role, ROW))
    b.kernel(
        "aten.scaled_dot_product_attention",
        f.ATTENTION,
        [x, *caches],
        gemm=(HEADS, 1, length, HEAD_DIM),
        flops=4 * HEADS * length * HEAD_DIM,
        elements=ROW,
    )
    return b.workload()


def test_bytes_of_state_by_hand() -> None:
    workload = decode_step(length=1000, weight=512 * ROW)
    reads = workload.state_traffic(INPUT, "bf16").tolist()
    writes = workload.state_traffic(OUTPUT, "bf16").tolist()
    assert reads == [0, 0, 0, 2 * 1000 * ROW * 2]
    assert writes == [0, ROW * 2, ROW * 2, 0]
    assert workload.state_bytes("bf16") == 2 * 1000 * ROW * 2
    # Quantised weights leave the cache alone.
    assert workload.state_bytes("w4") == workload.state_bytes("bf16")
    assert workload.state_bytes("fp32") == 2 * workload.state_bytes("bf16")


def test_state_counts_with_the_weights_and_no_byte_is_lost() -> None:
    workload = decode_step(length=1000, weight=512 * ROW)
    precision = get_precision("bf16")
    table = columns(workload, precision)
    moved = table.work.moved[:, table.inverse]
    assert moved[WEIGHT].tolist() == [512 * ROW * 2, ROW * 2, ROW * 2, 2 * 1000 * ROW * 2]
    assert moved[INPUT].tolist() == [512 * 2, ROW * 2, ROW * 2, ROW * 2]
    assert moved[OUTPUT].tolist() == [ROW * 2, 0, 0, ROW * 2]
    assert table.resident_bytes == workload.weight_bytes("bf16") + workload.state_bytes("bf16")
    as_input = columns(decode_step(1000, 512 * ROW, kind="input"), precision)
    np.testing.assert_array_equal(
        moved.sum(axis=0), as_input.work.moved[:, as_input.inverse].sum(axis=0)
    )


@pytest.mark.parametrize(("context", "level"), [(16_000, "L3"), (32_000, "DRAM")])
def test_a_growing_cache_drives_the_weights_out(context: int, level: str) -> None:
    """Xeon 8490H has 112.5 MiB of L3, of which 80 % = 90 MiB can be counted on.

    40 MiB of weights and a cache of 16,000 rows (31 MiB) fit; with 32,000 rows (62.5 MiB) they do
    not, and then both come from memory.
    """
    workload = decode_step(context, weight=20 * MIB)
    found = estimate(workload, "xeon_8490h", "bf16", software="eager")
    assert found.levels(0)["weight"] == level
    assert found.levels(3)["weight"] == level
    assert estimate(workload, "xeon_8490h", "bf16", state="cold").levels(0)["weight"] == "DRAM"


def test_time_of_a_long_cache_is_its_bytes_over_bandwidth() -> None:
    length = 400_000
    found = estimate(decode_step(length, weight=512 * ROW), "xeon_8490h", "bf16")
    attention = found.kernels[-1]
    expected = 2 * length * ROW * 2 / load_machine("xeon_8490h").sustained_bandwidth
    assert attention.level == attention.bound == "DRAM"
    assert attention.memory_ms / 1e3 == pytest.approx(expected, rel=0.01)


def test_a_cache_is_spread_over_the_complexes_of_an_epyc() -> None:
    """By head and position: 12 complexes hold a twelfth each."""
    machine = load_machine("epyc_9654")
    table = columns(decode_step(1000, weight=512 * ROW), get_precision("bf16"))
    mapper = mapper_for(machine)
    held = mapper.resident_weights(table)
    assert held == pytest.approx(table.resident_bytes / 12, rel=0.02)
    assert mapper.times(table, load_software("ideal")).latency.sum() > 0
