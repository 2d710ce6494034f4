"""The scan over core counts against the whole grid, and the core counts that are tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.machine import load_machine
from perfmodel.mapping import assumptions, fastest, roofline
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.pilots import PILOTS, chosen, worth_trying
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.scenario import Scenario
from tests.examples import anywhere
from tests.mapping.test_roofline import CORES, NO_VECTOR, engine, traffic, work
from tests.mapping.test_variants import everything

SOFTWARE = ["ideal", "inductor", "eager", "llama_cpp"]


def sampled(cpu: str, *, caches: bool, samples: int = 7) -> Mapper:
    """All rates of a machine drawn; the matrix engine has a start-up, which is drawn as well."""
    machine = load_machine(cpu)
    engine = sorted(machine.core.engines)[0]
    machine = machine.with_values({f"core.engines.{engine}.saturation": 5e4})
    rng = np.random.default_rng(11)
    known = machine.settable()
    figures = {**machine.figures(), **assumptions.figures()}
    values = {
        path: figure.typical * rng.uniform(0.5, 1.0, samples)
        for path, figure in figures.items()
        if (path not in known or known[path].kind != "count")
        and not path.startswith("software.")
        and (caches or not path.startswith(("cache.", "assumptions.")))
    }
    return mapper_for(machine, values)


@pytest.mark.parametrize("software", SOFTWARE)
@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654", "graviton3"])
@pytest.mark.parametrize("caches", [False, True])
@pytest.mark.parametrize("buffer", [1, 2000, 10**6])
def test_the_least_is_that_of_the_whole_grid(
    software: str, cpu: str, caches: bool, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core counts one by one, some at a time, and all at once."""
    monkeypatch.setattr(fastest, "BUFFER", buffer)
    run = Scenario("bf16", software=anywhere(software))
    mapper = sampled(cpu, caches=caches)
    _, table = prepare(everything(), run, mapper.machine)
    for state in ("steady", "cold"):
        found = mapper.latency(table, run.loaded, state)
        expected = mapper.times(table, run.loaded, state).latency
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("caches", [False, True])
@pytest.mark.parametrize("buffer", [1, 2000])
def test_kernels_have_core_counts_of_their_own(
    caches: bool, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest, "BUFFER", buffer)
    run = Scenario("int8", software="ideal")
    mapper = sampled("xeon_8490h", caches=caches)
    _, table = prepare(everything(), run, mapper.machine)
    kernels = len(table.family)
    cores = np.random.default_rng(2).integers(1, 61, (5, kernels)).astype(np.float64)
    cores[3:, kernels // 2 :] = cores[0, kernels // 2 :]  # nothing new for the last
    cores[4] = cores[0]  # nothing new at all
    found = mapper.latency(table, run.loaded, cores=cores)
    expected = mapper.times(table, run.loaded, cores=cores).latency
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_columns_in_another_order_are_the_same_kernels() -> None:
    run = Scenario("int8", software="eager")
    mapper = sampled("epyc_9654", caches=True)
    _, table = prepare(everything(), run, mapper.machine)
    order = np.random.default_rng(3).permutation(len(table.family))
    before = mapper.latency(table, run.loaded)
    moved = table.take(order)
    after = mapper.latency(moved, run.loaded)
    np.testing.assert_allclose(after[:, moved.inverse], before[:, table.inverse], rtol=1e-13)
    assert after @ moved.count == pytest.approx(before @ table.count)


def test_pilots_are_variants_and_among_them_the_ends_of_a_ratio() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.uniform(1, 2, (2, 10_000))
    found = chosen([one, other])
    assert len(found) == len(set(found.tolist())) <= PILOTS
    assert found.min() >= 0
    assert found.max() < 10_000
    scaled = one / one.mean() - other / other.mean()
    assert {int(scaled.argmin()), int(scaled.argmax())} <= set(found.tolist())


def test_a_core_count_that_brings_nothing_is_not_tried() -> None:
    """One kernel is best at all counts on one core, another on two or four, by pilot."""
    seconds = np.array(
        [  # (counts, kernels, pilots)
            [[1.0, 1.0], [4.0, 8.0]],
            [[2.0, 2.0], [3.0, 5.0]],
            [[2.0, 2.0], [3.0 + 1e-9, 4.0 + 1e-9]],
            [[2.0, 2.0], [5.0, 4.0]],
        ]
    )
    order, tried = worth_trying(seconds, np.ones(2))
    assert order.tolist() == [1, 0]
    assert tried.tolist() in ([[1, 0], [3, 0]], [[3, 0], [1, 0]])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rate", [0.2e9, 2e9, 20e9])
def test_each_core_count_has_its_fastest_engine(turned: bool, rate: float) -> None:
    """One large tile on a fast engine wins on one core, four on a slower one win on four."""
    product = work(m=32, n=16, k=64)
    rates = rate * np.array([0.5, 1.0, 1.5])[:, None, None]
    engines = (
        engine(1e9, tile=(8, 16, 64)),
        replace(engine(2e9, tile=(32, 16, 64)), rate=rates),
    )
    grid = roofline.grid(product, engines[::-1] if turned else engines, NO_VECTOR, traffic(), CORES)
    # Every count by itself, for the least of all hides what one engine does elsewhere.
    found = fastest.every_latency(grid)
    np.testing.assert_allclose(np.moveaxis(found, -1, 0), grid.latency, rtol=1e-13)
    np.testing.assert_allclose(fastest.best_latency(grid), grid.latency.min(axis=-2), rtol=1e-13)
