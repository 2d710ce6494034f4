"""The time formula against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.mapping import roofline
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.fastest import best_latency
from perfmodel.mapping.kernel_table import KernelTable
from perfmodel.mapping.roofline import DRAM, L2, L3, Engine, Traffic, Vector, Work

CORES = np.arange(1.0, 5.0)[:, None]


def work(
    m: int = 32, n: int = 32, k: int = 64, vector_ops: float = 0, moved: float = 0, batch: int = 1
) -> Work:
    return Work(
        flops=np.array([2.0 * batch * m * n * k]),
        loops=np.array([[batch, m, n, k]], dtype=np.float64),
        vector_ops=np.array([vector_ops]),
        elements=np.array([float(m * n)]),
        moved=np.array([[moved], [0.0], [0.0]]),
    )


def engine(rate: float, tile: tuple[int, int, int] = (16, 16, 64), **changes: object) -> Engine:
    fields: dict[str, object] = {
        "rate": rate,
        "usable": np.array([True]),
        "tile": np.array([tile], dtype=np.float64),
        "rows_only": np.array([False]),
        "startup": 0.0,
    }
    return Engine(**(fields | changes))  # type: ignore[arg-type]


NO_VECTOR = Vector(rate=1e30, lanes=16)


def traffic(level: int = L2, bandwidth: float = 1e30) -> Traffic:
    """All roles in one level."""
    return placed(np.full((4, 1), bandwidth), np.full((4, 1), bandwidth), (level,) * 3)


def placed(slow: np.ndarray, fast: np.ndarray, levels: tuple[int, ...]) -> Traffic:
    """Roles in these levels; DRAM is slow, L3 faster, and L2 at ``fast`` the fastest."""
    held = [[0.0 if own <= level else np.inf for own in levels] for level in (L2, L3)]
    return Traffic(
        by_level=(fast, (slow + fast) / 2, slow),
        held=tuple(map(tuple, held)),  # type: ignore[arg-type]
        capacity=(1.0, 1.0),
    )


def evaluate(
    w: Work,
    *engines: Engine,
    vector: Vector = NO_VECTOR,
    moves: Traffic | None = None,
    overhead: np.ndarray | float = 0.0,
) -> roofline.Times:
    moves = moves or traffic()
    overheads = np.broadcast_to(np.asarray(overhead, dtype=float), (4, 1))
    grid = roofline.grid(w, engines, vector, moves, CORES).with_overhead(overheads)
    found = roofline.evaluate(grid, CORES)
    np.testing.assert_allclose(found.latency, best_latency(grid), rtol=1e-14)
    return found


def seconds(w: Work, e: Engine) -> list[float]:
    return ((roofline.gemm_work(w, e, CORES) + roofline.gemm_startup(w, e)) / e.rate)[:, 0].tolist()


def test_tiles_run_in_waves() -> None:
    # 2 x 2 tiles of 2*16*16*64 operations each; on three cores one of them still runs two.
    tile = 2 * 16 * 16 * 64 / 1e9
    assert seconds(work(), engine(1e9)) == pytest.approx([4 * tile, 2 * tile, 2 * tile, tile])


@pytest.mark.parametrize(
    ("loops", "factor"),
    [((16, 16, 64), 1), ((1, 16, 64), 16), ((16, 16, 65), 128 / 65), ((17, 16, 64), 32 / 17)],
)
def test_loops_are_padded_to_the_tile(loops: tuple[int, int, int], factor: float) -> None:
    w = work(*loops)
    assert seconds(w, engine(1e9))[0] == pytest.approx(w.flops[0] / 1e9 * factor)


def test_attention_shares_out_rows_alone() -> None:
    # Eight heads of two row blocks: 16 units of work, however many columns.
    w = work(m=32, n=320, batch=8)
    both = engine(1e9, rows_only=np.array([True]))
    assert seconds(w, both)[2] == pytest.approx(w.flops[0] / 1e9 * 6 / 16)


def test_startup_is_paid_once_per_kernel() -> None:
    plain, slow_start = seconds(work(), engine(1e9)), seconds(work(), engine(1e9, startup=1e6))
    assert np.subtract(slow_start, plain) == pytest.approx(1e6 / 1e9)


def test_startup_reaches_half_efficiency_at_its_size() -> None:
    w = work()
    half = seconds(w, engine(1e9, startup=float(w.flops[0])))[0]
    assert half == pytest.approx(2 * w.flops[0] / 1e9)


def test_an_engine_that_cannot_run_a_kernel_is_never_chosen() -> None:
    fast = engine(1e12, usable=np.array([False]))
    found = evaluate(work(), fast, engine(1e9))
    assert found.engine.tolist() == [1]
    assert found.compute[0] == pytest.approx(2 * 16 * 16 * 64 / 1e9)


def test_vector_work_goes_in_whole_vectors() -> None:
    w = work(m=5, n=8, vector_ops=40 * 3)  # 40 elements: three vectors of 16
    vector = Vector(rate=1e9, lanes=16)
    found = (roofline.vector_work(w, vector, CORES) * roofline.vector_pace(w, vector))[:, 0]
    assert found.tolist() == pytest.approx([144 / 1e9, 96 / 1e9, 48 / 1e9, 48 / 1e9])


def test_memory_adds_the_roles_each_from_its_level() -> None:
    w = Work(
        flops=np.zeros(1),
        loops=np.ones((1, 4)),
        vector_ops=np.zeros(1),
        elements=np.ones(1),
        moved=np.array([[300.0], [100.0], [10.0]]),
    )
    moves = placed(100.0 * CORES, 1000.0 * CORES, (DRAM, L3, L2))
    found = evaluate(w, engine(1.0), vector=Vector(rate=1.0, lanes=16), moves=moves)
    assert found.memory[0] == pytest.approx((3 + 100 / 550 + 0.01) / 4)
    assert found.cores[0] == 4
    assert roofline.BOUNDS[found.bound[0]] == "DRAM"
    assert found.level[:, 0].tolist() == [DRAM, L3, L2]


def test_the_core_count_is_the_one_with_the_least_latency() -> None:
    # Half of the work per doubling is worth less than the barrier from the third core on.
    overhead = np.array([[0.0], [20e-6], [30e-6], [60e-6]])
    found = evaluate(work(), engine(1e9), overhead=overhead)
    by_cores = np.array(seconds(work(), engine(1e9))) + overhead[:, 0]
    assert found.cores[0] == 1 + np.argmin(by_cores)
    assert found.latency[0] == pytest.approx(by_cores.min())


@pytest.mark.parametrize(
    ("overhead", "bandwidth", "bound"),
    [(0.0, 1e30, "compute"), (1.0, 1e30, "overhead"), (0.0, 1e6, "L3"), (0.0, 1e12, "compute")],
)
def test_the_bound_is_the_largest_part(overhead: float, bandwidth: float, bound: str) -> None:
    found = evaluate(work(moved=1e3), engine(1e9), moves=traffic(L3, bandwidth), overhead=overhead)
    assert roofline.BOUNDS[found.bound[0]] == bound


def test_of_equal_parts_a_kernel_is_bound_by_its_arithmetic_and_waits_for_nothing() -> None:
    seconds_ = seconds(work(), engine(1e9))[3]
    rates = np.full((4, 1), 1e3 / seconds_)
    moves = Traffic((rates, rates, rates), ((0.0,) * 3, (0.0,) * 3), (1.0, 1.0))
    found = evaluate(work(moved=1e3), engine(1e9), moves=moves, overhead=seconds_)
    assert found.compute[0] == found.memory[0] == found.overhead[0]
    assert roofline.BOUNDS[found.bound[0]] == "compute"


def test_what_just_fits_a_level_is_in_it() -> None:
    rates = np.ones((4, 1))
    for near, far, expected in ((7.0, 9.0, L2), (7.1, 9.0, L3), (7.1, 9.1, DRAM)):
        held = ((near,) * 3, (far,) * 3)
        moves = Traffic((3 * rates, 2 * rates, rates), held, (7.0, 9.0))
        assert [int(level[0, 0]) for level in moves.levels] == [expected] * 3
        assert [float(each[0, 0]) for each in moves.bandwidth] == [3.0 - expected] * 3


def test_a_grid_stretches_arithmetic_alone_and_adds_what_is_beside() -> None:
    w, parts = work(vector_ops=1024, moved=1e3), (engine(1e9), engine(2e9))
    vector, moves = Vector(rate=1e9, lanes=16, conversion=1e-9), traffic(L3, 1e9)
    plain = roofline.grid(w, parts, vector, moves, CORES)
    late = roofline.grid(w, parts, vector, moves, CORES, stretch=1.5, exposed=0.25)
    np.testing.assert_allclose(late.compute, 1.5 * plain.compute)
    np.testing.assert_array_equal(late.memory, plain.memory)
    assert plain.memory[0] == pytest.approx(1e3 / 1e9)
    # By hand, on one core: all tiles at the faster engine; 1,024 operations and conversions.
    assert plain.compute[0] == pytest.approx(2 * 32 * 32 * 64 / 2e9 + 1024e-9 + 1024e-9)
    np.testing.assert_allclose(plain.latency, np.maximum(plain.compute, plain.memory))
    longer, shorter = np.maximum(late.compute, late.memory), np.minimum(late.compute, late.memory)
    np.testing.assert_allclose(late.latency, longer + 0.25 * shorter)
    two = late.with_overhead(np.full((4, 1), 1e-6), np.full((1, 1), 2e-6))
    np.testing.assert_allclose(two.overhead, 3e-6)
    np.testing.assert_allclose(two.latency, late.latency + 3e-6)


def test_operations_that_no_engine_of_products_does_have_no_start_up() -> None:
    none = replace(work(), flops=np.zeros(1))
    assert roofline.gemm_startup(none, engine(1e9, startup=5.0)).tolist() == [[0.0]]
    assert roofline.gemm_startup(work(), engine(1e9, startup=5.0)).tolist() == [[5.0]]


@pytest.mark.parametrize(
    "record",
    [Work, Engine, Vector, Traffic, roofline.Times, roofline.Grid, Columns, KernelTable],
)
def test_what_holds_arrays_is_equal_to_itself_alone(record: type) -> None:
    """Arrays have no one truth, and no hash."""
    assert record.__eq__ is object.__eq__
    assert record.__hash__ is object.__hash__
