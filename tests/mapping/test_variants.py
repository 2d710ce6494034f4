from __future__ import annotations

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.variants import latency_variants
from tests.mapping.test_mappers import linear


def test_each_variant_is_the_estimate_of_that_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # A chunk of a few variants, so that the seams between chunks are crossed.
    monkeypatch.setattr("perfmodel.mapping.variants._CHUNK_ELEMENTS", 300)
    machine = load_machine("epyc_9654")
    workload = linear(32, layers=3)
    rng = np.random.default_rng(7)
    values = {
        "clock.sustained": rng.uniform(2e9, 3.7e9, 7),
        "memory.sustained": rng.uniform(0.5, 0.9, 7),
        "core.engines.avx512.efficiency.linear": rng.uniform(0.3, 0.9, 7),
    }
    found = latency_variants(workload, machine, values, "bf16")
    for index in range(7):
        one = machine.with_values({path: float(array[index]) for path, array in values.items()})
        assert found[index] == pytest.approx(estimate(workload, one, "bf16").latency_ms, rel=1e-12)


def test_what_cannot_be_evaluated_is_said() -> None:
    with pytest.raises(UnknownName, match=r"clock\.sustained"):
        latency_variants(linear(8), "epyc_9654", {"clock.sustaind": np.ones(3)})
    with pytest.raises(PerfmodelError, match="one common shape"):
        latency_variants(
            linear(8), "epyc_9654", {"clock.base": np.ones(3), "clock.max": np.ones(4)}
        )
    with pytest.raises(PerfmodelError, match="found none"):
        latency_variants(linear(8), "epyc_9654", {})


def test_a_choice_of_core_counts_is_close_and_never_below() -> None:
    rng = np.random.default_rng(3)
    values = {
        "clock.sustained": rng.uniform(2e9, 4e9, 500),
        "parallel_region.per_doubling": rng.uniform(0.5e-6, 3e-6, 500),
        "software.ideal.launch.default": rng.uniform(1e-6, 2e-6, 500),
        "assumptions.cache.usable": rng.uniform(0.5, 1, 500),
    }
    workload = linear(64, 512, 512, layers=4)
    exact = latency_variants(workload, "epyc_9654", values, software="ideal")
    quick = latency_variants(
        workload, "epyc_9654", values, software="ideal", every_core_count=False
    )
    assert np.all(quick >= exact * (1 - 1e-12))
    np.testing.assert_allclose(quick, exact, rtol=0.01)


def test_assumptions_vary_like_figures() -> None:
    seconds = np.array([1e-6, 3e-6])
    path = "software.ideal.launch.default"
    slow, slower = latency_variants(
        linear(8, layers=5), "epyc_9654", {path: seconds}, software="ideal"
    )
    assert slower - slow == pytest.approx(5 * 2e-3)
    with pytest.raises(UnknownName, match="launch"):
        latency_variants(linear(8), "epyc_9654", {"software.ideal.x": seconds}, software="ideal")
