"""The formula's own error: squares add up to what was measured, and bias moves the middle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perfmodel.certainty import Identity, Interval, Spread
from perfmodel.mapping.roofline import FloatArray
from perfmodel.ranking.model_error import model_errors

SPREAD = Spread(shared=0.12, core=0.16, own=0.15)
COUNT = 40_000


def stated(spread: Spread = SPREAD, bias: float = 1.0) -> Interval:
    return Interval(0.5, 2.0, 0.8, "fitted", 4, 12, bias, spread)


def machine(name: str, core: str = "Zen 4") -> Identity:
    return Identity(name, core, "AMD")


def latencies(*spreads: float) -> FloatArray:
    """Latencies whose logarithms are normal, independent, and spread so far."""
    drawn = np.random.default_rng(7).standard_normal((COUNT, len(spreads)))
    return np.exp(drawn * spreads)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_the_squares_of_figures_and_of_what_they_lack_are_that_of_what_was_measured(
    share: float,
) -> None:
    figures = latencies(share * SPREAD.total)
    errors = model_errors(figures, [(machine("a"), stated())], 1)
    assert errors.std() == pytest.approx(math.sqrt(1 - share**2) * SPREAD.total, rel=0.03)
    assert (np.log(figures) + errors).std() == pytest.approx(SPREAD.total, rel=0.03)


def test_figures_that_spread_more_than_was_measured_lack_nothing_but_the_bias() -> None:
    figures = latencies(0.1, 1.5 * SPREAD.total)
    machines = [(machine("a"), stated(Spread())), (machine("b"), stated(bias=1.25))]
    errors = model_errors(figures, machines, 1)
    # A bound has no spread, and no error.
    assert not errors[:, 0].any()
    assert errors[:, 1] == pytest.approx(np.full(COUNT, math.log(1.25)))


def test_a_seed_gives_the_errors_that_it_always_gave() -> None:
    """Of a stream of its own, beside that of the figures: what is shared, then by machine."""
    spread = Spread(shared=0.1, core=0.2, own=0.3)
    machines = [(machine(name), stated(spread)) for name in "ab"]
    drawn = np.random.default_rng([7, 1]).standard_normal((5, 9))
    shared, core, own, _, other = drawn
    errors = model_errors(np.ones((9, 2)), machines, 7)
    for column, alone in enumerate((own, other)):
        by_hand = 0.1 * shared + 0.2 * core + 0.3 * alone
        assert errors[:, column] == pytest.approx(by_hand)


def test_descriptions_of_one_chip_share_the_whole_error() -> None:
    """Their order is that of their figures; another chip of the core has an error of its own."""
    same, other = (96.0, 2.4e9), (64.0, 3.1e9)
    machines = [
        (Identity(name, "Zen 4", "AMD", chip), stated())
        for name, chip in (("bought", same), ("rented", same), ("smaller", other))
    ]
    bought, rented, smaller = model_errors(latencies(0.0, 0.0, 0.0), machines, 1).T
    assert rented == pytest.approx(bought)
    assert (smaller - bought).std() == pytest.approx(math.sqrt(2) * SPREAD.own, rel=0.03)


def test_machines_share_what_is_stated_as_shared_and_those_of_a_core_its_part_too() -> None:
    machines = [(machine("a"), stated()), (machine("b"), stated()), (machine("c", "X"), stated())]
    errors = model_errors(latencies(0.0, 0.0, 0.0), machines, 1)
    of_core, other, _ = np.corrcoef(errors.T)[np.triu_indices(3, 1)]
    whole = SPREAD.total**2
    assert of_core == pytest.approx((SPREAD.shared**2 + SPREAD.core**2) / whole, abs=0.02)
    assert other == pytest.approx(SPREAD.shared**2 / whole, abs=0.02)
