"""The scan over core counts against the whole grid, and the core counts that are tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.machine import load_machine
from perfmodel.mapping import assumptions, fastest, roofline
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.pilots import PILOTS, _filled, chosen, worth_trying
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
    cores = np.random.default_rng(2).integers(1, 61, (6, kernels)).astype(np.float64)
    cores[3:, kernels // 2 :] = cores[0, kernels // 2 :]  # nothing new for the last
    cores[4] = cores[0]  # nothing new at all, and then again
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


def test_pilots_are_half_drawn_and_half_ends() -> None:
    """Of figures that are the same for all, the drawn ones alone; the same ones each time."""
    for count in (65, 10_000):
        found = chosen([np.ones(count), np.zeros(count)])
        assert set(found[1:]) <= set(chosen([np.ones(count)]))
        assert PILOTS // 2 <= len(found) <= PILOTS // 2 + 1  # and the first, the end of all
    drawn = np.random.default_rng(0).choice(10_000, PILOTS // 2, replace=False)
    assert set(found) == {0, *drawn}


def test_a_few_core_counts_stand_as_they_are_and_many_are_filled_up() -> None:
    few = np.arange(2, 10)
    assert _filled(few, 96).tolist() == few.tolist()
    many = np.arange(2, 11)
    steps = {round(3 * 32 ** (step / 19)) - 1 for step in range(20)}
    assert set(_filled(many, 96)) == {*many.tolist(), *steps}
    assert max(_filled(many, 96)) == 95


def test_core_counts_are_tried_until_no_kernel_loses_more_than_it_may() -> None:
    """A kernel that runs once in a while may lose more of its own time than one that runs often."""
    seconds = np.ones((3, 2, 3))
    seconds[2, :, 2] -= 1e-4  # the last count is better, by little, in the last pilot
    often, seldom = np.array([1e3, 1e-3]), np.array([0.1, 1.0])
    order, tried = worth_trying(seconds, often)
    assert order.tolist() == [0, 1]
    assert tried.tolist() == [[0, 0], [2, 0]]
    order, tried = worth_trying(seconds, seldom)
    assert order.tolist() == [1, 0]
    assert tried.tolist() == [[0, 0], [2, 0]]
    # A loss that is just what may be lost is none.
    even = np.full((2, 1, 3), 1.0)
    even[1, 0, 2] = 1 - 2.0**-20
    assert worth_trying(even, np.ones(1))[1].tolist() == [[0]]


def test_one_machine_is_the_whole_grid_and_many_variants_never_are() -> None:
    """To the last bit; and without the grid's latencies, which are large, of many."""
    run = Scenario("bf16", software="ideal")
    mapper = mapper_for(load_machine("xeon_8490h"))
    _, table = prepare(everything(), run, mapper.machine)
    one = mapper._grid(table, run.loaded, "steady", CORES, True)
    np.testing.assert_array_equal(fastest.best_latency(one), one.latency.min(axis=-2))
    count = len(table.family)
    chosen_ = fastest.best_latency(one, np.array([[1] * count, [3] * count]))
    np.testing.assert_allclose(chosen_, one.latency[[1, 3]].min(axis=0), rtol=1e-13)
    several = sampled("xeon_8490h", caches=True)
    many = several._grid(table, run.loaded, "steady", CORES, True)
    fastest.best_latency(many)
    assert not {"latency", "compute", "memory"} & vars(many).keys()
    assert fastest.every_latency(one).shape == (4, count, 1)


def test_a_kernel_that_moves_nothing_waits_for_nothing() -> None:
    """Even where a share of what it moves does not overlap with its arithmetic."""
    product = work(m=32, n=16, k=64)
    sped = replace(engine(1e9), rate=np.array([1e9, 2e9])[:, None, None])
    grid = roofline.grid(product, (sped,), NO_VECTOR, traffic(), CORES, exposed=0.25)
    found = fastest.every_latency(grid)[..., 0, :]
    tiles = np.array([2, 1, 1, 1])[:, None] * 2 * 16 * 16 * 64
    np.testing.assert_allclose(found, tiles / [1e9, 2e9], rtol=1e-12)


def test_kernels_without_new_core_counts_are_left_out() -> None:
    choice = np.array([[0, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 3, 3, 0], [0, 1, 0, 0]])
    rows = [slice(at, at + 1) for at in range(5)]
    widths = [fastest._chosen(choice, row)[1] for row in rows]
    assert widths == [4, 2, 0, 3, 2]
    assert fastest._chosen(choice, slice(2, 4))[1] == 3
    some, _ = fastest._chosen(choice, rows[1])
    by_both = np.arange(16.0).reshape(4, 4, 1)
    assert some(by_both).tolist() == [[[4.0], [9.0]]]
    assert some(by_both[:1]).tolist() == [[[0.0], [1.0]]]
    assert some(by_both[:, :1]).tolist() == [[[4.0], [8.0]]]
    assert some(by_both[:1, :1]).tolist() == [[[0.0]]]


def test_an_engine_s_start_up_is_apart_where_it_varies() -> None:
    """Otherwise it is operations among the others."""
    shared = fastest._product(np.full((4, 2), 6.0), np.full((1, 2), 1.0), 2.0)
    assert not shared.sampled
    assert shared.work[..., 0].tolist() == [[7.0, 7.0]] * 4
    assert (shared.pace.tolist(), shared.startup.tolist()) == ([[[0.5], [0.5]]], [[[0.0], [0.0]]])
    assert [ends.tolist() for ends in shared.ends()] == [[[3.5, 3.5]] * 4] * 2
    rates = np.array([2.0, 4.0])[:, None, None]
    own = fastest._product(np.full((4, 2), 6.0), np.array([[[1.0] * 2], [[8.0] * 2]]), rates)
    assert own.sampled
    assert own.work[..., 0].tolist() == [[6.0, 6.0]] * 4
    assert own.startup.tolist() == [[[0.5, 2.0], [0.5, 2.0]]]
    least, most = own.ends()
    assert (least[0].tolist(), most[0].tolist()) == ([2.0, 2.0], [5.0, 5.0])


@pytest.mark.parametrize(
    ("rates", "kept", "first"),
    [
        # Seconds of two kernels on a second engine, beside 1 second on the first.
        ([[2.0, 2.0]], [], [1.0, 1.0]),
        ([[0.5, 2.0]], [], [0.5, 1.0]),
        ([[1.0, 1.0]], [], [1.0, 1.0]),
        ([[0.5, 2.0], [2.0, 2.0]], [slice(0, 1)], [1.0, 1.0]),
        ([[2.0, 0.5], [2.0, 2.0]], [slice(1, 2)], [1.0, 1.0]),
        ([[0.5, 0.5], [2.0, 2.0]], [slice(0, 2)], [1.0, 1.0]),
    ],
)
def test_an_engine_stays_where_it_is_faster_for_some_variant(
    rates: list[list[float]], kept: list[slice], first: list[float]
) -> None:
    work_, none = np.ones((1, 2)), np.zeros((1, 2))
    plain = fastest._product(work_, none, 1.0)
    other = fastest._product(work_, none, 1 / np.array(rates)[:, None, :])
    found, *others = fastest._fastest([plain, other])
    assert [each.span for each in others] == kept
    assert found.pace[0, :, 0].tolist() == first
