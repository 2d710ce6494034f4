"""A fit finds what was put in, and leaves out what it says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from perfmodel.evidence.cases import Case
from perfmodel.evidence.fit import Points, fit
from perfmodel.evidence.parameters import Factor
from perfmodel.evidence.prediction import Setting, setting
from perfmodel.evidence.validation import networks

#: Two that move different figures of one software, and one that moves none of it.
FACTORS = (
    Factor("launch", "", ("software.inductor.launch.*",), spread=0.7),
    Factor("conv", "", ("software.inductor.efficiency.any.*conv",), spread=0.5),
    Factor("other", "", ("software.eager.join",), spread=0.3, centre=1.2),
)


@cache
def points() -> tuple[Setting, ...]:
    """A dozen single runs of saved workloads, of two models and more, on two machines."""
    found: list[Case] = []
    for machine in ("i9_10940x", "graviton3"):
        found += [
            case
            for case in networks(["timm", "graviton", "inductor"], kinds=("single",))
            if case.group.software == "inductor"
            and case.group.machine == machine
            and case.row.is_saved
        ][:6]
    return tuple(setting(case) for case in found)


def measured(settings: tuple[Setting, ...], log_values: np.ndarray) -> list[Setting]:
    """The same points as if predictions at these factors were what was measured."""
    at = Points(settings, FACTORS)
    made = []
    for number, point in enumerate(settings):
        seconds = float(np.exp(at.ratios(number, log_values[None])[0])) * point.case.measured
        value = seconds / point.case.group.factor()
        row = point.case.row.model_copy(update={"value": value})
        made.append(replace(point, case=replace(point.case, row=row)))
    return made


def test_a_fit_finds_the_factors_that_measurements_were_made_with() -> None:
    true = np.array([0.3, -0.2, 0.0])
    found = fit(measured(points(), true), FACTORS)
    # What was known before pulls a little towards 1.
    assert found.log_value[:2] == pytest.approx(true[:2], abs=0.05)
    assert np.max(np.abs(found.log_ratio)) < 0.03
    assert np.all(found.log_spread[:2] < 0.5)


def test_what_the_points_say_nothing_of_stays_where_it_was_known_to_be() -> None:
    found = fit(points(), FACTORS)
    assert np.exp(found.log_value[2]) == pytest.approx(1.2)
    assert found.log_spread[2] == pytest.approx(0.3)


def test_a_point_left_out_is_predicted_by_a_fit_of_the_others() -> None:
    """Not to first order: as a fit gives it that never had the points."""
    settings = points()
    groups = [s.case.group.machine for s in settings]
    assert len(set(groups)) == 2
    (left,) = fit(settings, FACTORS).left_out(groups)
    for machine in set(groups):
        others = [s for s, own in zip(settings, groups, strict=True) if own != machine]
        without = fit(others, FACTORS)
        at = Points(settings, FACTORS)
        rows = [row for row, own in enumerate(groups) if own == machine]
        expected = [at.ratios(row, without.log_value[None])[0] for row in rows]
        assert left[rows] == pytest.approx(expected, abs=0.03)


def test_no_factor_takes_an_efficiency_beyond_the_peak() -> None:
    """However slow the measurements say that products are not."""
    path = "software.inductor.efficiency.any.linear"
    factors = (Factor("linear", "", (path,), spread=10.0),)
    far = [
        replace(point, case=replace(point.case, row=point.case.row.model_copy(
            update={"value": point.case.row.value / 10}
        )))
        for point in points()
    ]  # fmt: skip
    found = fit(far, factors)
    figure = points()[0].run.loaded.figures()[path].typical
    assert figure * np.exp(found.log_value[0]) == pytest.approx(1.0)
    beyond = Points(far, factors).all_ratios(np.array([[0.0], [1.0]]) + found.log_value)
    assert beyond[0] == pytest.approx(beyond[1])
