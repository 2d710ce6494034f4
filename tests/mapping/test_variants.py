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
        "clock.sustained": rng.uniform(2e9, 4e9, 7),
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
