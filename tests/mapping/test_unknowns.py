from __future__ import annotations

import numpy as np
import pytest

from perfmodel.machine import Figure, Machine, load_machine
from perfmodel.mapping.unknowns import Unknown, sample, unknowns
from perfmodel.software import load_software


def test_two_cpus_of_one_core_share_its_unknowns() -> None:
    machines = [load_machine("epyc_9654"), load_machine("epyc_9754"), load_machine("xeon_8490h")]
    owners = {(u.path, u.machines) for u in unknowns(machines, "ideal")}
    path = "core.engines.avx512.efficiency.linear"
    assert (path, ("epyc_9654", "epyc_9754")) in owners
    assert (path, ("xeon_8490h",)) in owners


def test_one_estimate_that_is_stated_for_two_families_is_one_unknown() -> None:
    machines = [load_machine("epyc_9654"), load_machine("xeon_8490h")]
    found = unknowns(machines, "eager")
    prefix = "core.engines.avx512.efficiency."
    for owner in ("epyc_9654", "xeon_8490h"):
        (both,) = (u for u in found if f"{prefix}conv" in u.paths and u.machines == (owner,))
        assert both.paths == (f"{prefix}conv", f"{prefix}pointwise_conv")
        assert both.path == f"{prefix}conv/pointwise_conv"
    # The same seed draws the same for both, and every path once.
    drawn = sample(found, 16, 1).of("epyc_9654")
    assert np.array_equal(drawn[f"{prefix}conv"], drawn[f"{prefix}pointwise_conv"])
    ranged = {p for p, figure in machines[0].figures().items() if figure.is_range}
    assert {p for p in ranged if p.startswith("core.")} <= set(drawn)


def test_only_figures_with_a_range_that_move_latency_are_unknown() -> None:
    found = unknowns([load_machine("ampereone_192")], "ideal")
    assert all(unknown.figure.is_range for unknown in found)
    assert not [u.path for u in found if u.path.startswith(("power.", "price."))]
    runtime = [u.path for u in found if not u.machines]
    assert runtime == ["assumptions.cache.usable", "software.ideal.launch.default"]


def unknown(low: float, typical: float, high: float) -> Unknown:
    return Unknown(("x",), Figure(low, typical, high, ""), ("m",))


def test_samples_follow_the_triangle_between_low_and_high() -> None:
    low, mode, high = 1.0, 2.0, 5.0
    values = sample([unknown(low, mode, high)], 4096, 1).values[:, 0]
    assert low <= values.min()
    assert values.max() <= high
    assert values.mean() == pytest.approx((low + mode + high) / 3, rel=1e-3)
    assert np.mean(values < mode) == pytest.approx((mode - low) / (high - low), abs=1e-3)


def test_samples_of_a_count_are_whole_numbers_and_of_nothing_else() -> None:
    machine = load_machine("epyc_9654").with_values(
        {"memory.channels": Figure(8, 12, 12, ""), "memory.sustained": Figure(0.5, 0.7, 0.9, "")}
    )
    drawn = sample(unknowns([machine], "ideal"), 256, 1).of(machine.id)
    assert set(drawn["memory.channels"]) == {8.0, 9.0, 10.0, 11.0, 12.0}
    assert len(set(drawn["memory.sustained"])) == 256


def test_a_mode_at_an_end_is_a_one_sided_triangle() -> None:
    values = sample([unknown(1.0, 3.0, 3.0)], 4096, 1).values[:, 0]
    assert values.mean() == pytest.approx((1 + 3 + 3) / 3, rel=1e-3)


def test_every_unknown_is_stratified_and_none_pairs_up_with_another() -> None:
    drawn = sample([unknown(0.0, 0.5, 1.0)] * 40, 1024, 3)
    strata = np.sort((drawn.unit * 1024).astype(int), axis=0)
    assert np.array_equal(strata, np.tile(np.arange(1024)[:, None], 40))
    correlation = np.corrcoef(drawn.unit.T) - np.eye(40)
    assert np.abs(correlation).max() < 0.15


def test_the_same_seed_gives_the_same_samples() -> None:
    first, again, other = (sample([unknown(0, 1, 2)], 64, seed).values for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_samples_are_equal_to_themselves_alone_for_arrays_have_no_one_truth() -> None:
    one, other = (sample([unknown(0, 1, 2)], 4, 5) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2


def test_nothing_unknown_has_samples_without_columns() -> None:
    found = sample([], 16, 1)
    assert (found.unit.shape, found.values.shape, found.unknowns) == ((16, 0), (16, 0), ())
    assert found.columns(["m"]) == []


def test_what_all_machines_share_is_a_column_of_each() -> None:
    figure = Figure(0.0, 1.0, 2.0, "")
    owners = [(), ("a",), ("b",), ("a", "b")]
    found = sample([Unknown((f"t.{i}",), figure, of) for i, of in enumerate(owners)], 8, 1)
    assert found.columns(["a"]) == [0, 1, 3]
    assert found.columns(["b"]) == [0, 2, 3]
    assert found.columns(["a", "b"]) == [0, 1, 2, 3]
    assert found.columns(["c"]) == [0]
    assert list(found.of("a")) == ["t.0", "t.1", "t.3"]
    assert np.array_equal(found.of("a")["t.3"], found.values[:, 3])


@pytest.mark.parametrize(
    ("paths", "machines", "label"),
    [
        (("x",), (), "x"),
        (("x",), ("m",), "m: x"),
        (("a.b.x",), ("m", "n"), "m, n: a.b.x"),
        (("a.b.x", "a.b.y"), (), "a.b.x/y"),
        (("x", "y"), ("m",), "m: x/y"),
    ],
)
def test_an_unknown_is_labelled_by_whose_it_is_and_which(
    paths: tuple[str, ...], machines: tuple[str, ...], label: str
) -> None:
    assert Unknown(paths, Figure(0.0, 1.0, 2.0, ""), machines).label == label


def test_a_figure_of_software_that_some_machine_states_is_shared_by_the_others() -> None:
    path, known = next((p, g) for p, g in load_software("eager").figures().items() if g.is_range)
    usual, other = load_machine("epyc_9654"), load_machine("xeon_8490h")
    own = Figure(known.low / 2, known.typical, known.high, known.unit, "R", "test")
    stating = usual.with_values({path: own})

    def owners(*machines: Machine) -> set[tuple[str, ...]]:
        return {u.machines for u in unknowns(machines, "eager") if path in u.paths}

    assert owners(usual, other) == {()}
    assert owners(stating, other) == {("epyc_9654",), ("xeon_8490h",)}
    assert owners(stating) == {("epyc_9654",)}
    certain = usual.with_values({path: Figure(*[known.typical] * 3, known.unit)})
    assert owners(certain) == set()
    assert owners(certain, other) == {("xeon_8490h",)}
    # It moves no time under other software.
    assert not [u for u in unknowns([stating], "ideal") if path in u.paths]
