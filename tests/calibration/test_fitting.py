from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.calibrate import calibrate, points_for
from perfmodel.calibration.crossvalidation import expected_error, left_out
from perfmodel.calibration.fitting import fit, predicted, share
from perfmodel.calibration.parameters import (
    CONV,
    DENSE,
    FRESH,
    PYTORCH,
    REPACKING,
    TOUCHING,
    figures,
)
from perfmodel.errors import MeasurementError
from perfmodel.evidence.scores import scores
from perfmodel.figures.figure import Figure
from perfmodel.machine import load_machine
from tests.calibration.synthetic import SHAPES, made

#: What single products tell apart: touching looks like packing where there is nothing else.
PARAMETERS = tuple(parameter for parameter in PYTORCH if parameter is not TOUCHING)
TRUTH = {DENSE: 0.7, REPACKING: 1.25, FRESH: 0.8}


def test_known_parameters_are_recovered(tmp_path: Path) -> None:
    found = fit(made(tmp_path / "made.toml", TRUTH), PARAMETERS)
    assert set(found.parameters) == set(TRUTH)
    for parameter, value in zip(found.parameters, found.value, strict=True):
        assert value == pytest.approx(TRUTH[parameter], rel=0.03), parameter.name
    np.testing.assert_allclose(found.ratio, 1, rtol=0.03)


def test_noise_moves_them_no_further_than_their_ranges_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    points = made(tmp_path / "made.toml", TRUTH, lambda t: t * np.exp(rng.normal(0, 0.1, len(t))))
    found = fit(points, PARAMETERS)
    for parameter, value, spread in zip(found.parameters, found.value, found.spread, strict=True):
        assert abs(np.log(value / TRUTH[parameter])) < 2.5 * spread, parameter.name


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_one_wrong_point_does_not_decide(tmp_path: Path, factor: float) -> None:
    def spoil(seconds: np.ndarray) -> np.ndarray:
        wrong = seconds.copy()
        wrong[5] *= factor
        return wrong

    found = fit(made(tmp_path / "made.toml", TRUTH, spoil), PARAMETERS)
    value = dict(zip(found.parameters, found.value, strict=True))
    assert value[DENSE] == pytest.approx(0.7, rel=0.06)


def test_what_no_point_depends_on_stays_where_it_was(tmp_path: Path) -> None:
    points = made(tmp_path / "made.toml", TRUTH)
    assert CONV not in fit(points, PARAMETERS).parameters
    found = calibrate(load_machine("i7_12700k"), points, "made up")
    conv = "core.engines.avx2.efficiency.conv"
    assert conv not in found.figures
    assert found.machine.figures()[conv] == load_machine("i7_12700k").figures()[conv]


def test_a_share_that_may_be_the_whole_peak_is_the_peak() -> None:
    machine, path = load_machine("i7_12700k"), "core.engines.avx2.efficiency.linear"
    near = Figure(0.9, 1.02, 1.2, "", "M", "calibration")
    found = share(machine, path, near)
    assert (found.low, found.typical, found.high) == (0.9, 1.0, 1.0)
    below = Figure(0.5, 0.6, 1.2, "", "M", "calibration")
    assert share(machine, path, below) == replace(below, high=1.0)
    with pytest.raises(MeasurementError, match=r"efficiency.linear = 1.02, more than the whole"):
        share(machine, path, replace(near, low=1.01))


def test_an_efficiency_above_one_is_rejected_not_clamped(tmp_path: Path) -> None:
    points = made(tmp_path / "made.toml", {DENSE: 1.9})
    with pytest.raises(MeasurementError, match="more than the whole peak"):
        fit(points, (DENSE,))


def test_a_point_is_predicted_at_the_values_asked_for(tmp_path: Path) -> None:
    (case, *_) = made(tmp_path / "made.toml", TRUTH)
    slow, fast = predicted(case, (DENSE,), np.array([[0.5], [1.0]]))
    assert slow > fast


def test_points_left_out_are_predicted_without_them(tmp_path: Path) -> None:
    # One product took twice as long as the model can explain: nothing else says so.
    points = made(
        tmp_path / "made.toml", TRUTH, lambda t: np.where(np.arange(len(t)) == 6, 2 * t, t)
    )
    name = points[6].row.subject
    ratio = left_out(points, (DENSE, REPACKING, FRESH), subjects=[name])
    assert list(ratio) == [6]
    assert ratio[6] == pytest.approx(0.5, rel=0.02)
    whole = left_out(points, (DENSE, REPACKING, FRESH))
    assert sorted(whole) == list(range(len(SHAPES)))


def test_the_expected_error_is_that_of_unseen_points(tmp_path: Path) -> None:
    points = made(tmp_path / "made.toml", TRUTH)
    found = fit(points, PARAMETERS)
    assert 0 < expected_error(points, found) < 0.1


def test_one_fit_takes_the_points_of_one_family(tmp_path: Path) -> None:
    points = made(tmp_path / "made.toml", TRUTH)
    with pytest.raises(MeasurementError, match="there are points of i7_12700k"):
        points_for(load_machine("epyc_9654"), points)
    with pytest.raises(MeasurementError, match="no measured points"):
        fit([], PARAMETERS)


def test_a_machine_s_own_runtime_is_what_a_parameter_starts_from(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('base = "i7_12700k"\n[software.eager.launch]\ndefault = "9 us"\n')
    found = figures(load_machine(path), "eager")
    assert found["software.eager.launch.default"].typical == pytest.approx(9e-6)
    # What the file does not state is as the software's own description has it.
    assert found["software.eager.launch.linear"].typical == pytest.approx(5.2e-6)
    assert "software.eager.packing" in found


def test_scores_are_what_their_names_say() -> None:
    found = scores([1.0, 2.2, 2.0, 10.0], [1.0, 2.0, 4.0, 8.0])
    assert found.mape == pytest.approx((0 + 0.1 + 0.5 + 0.25) / 4)
    assert found.median_ratio == pytest.approx(1.05)
    assert (found.within_10, found.within_25) == (0.25, 0.75) or found.within_10 == 0.5
    assert found.worst == pytest.approx(2.0)
    assert found.spearman == pytest.approx(0.8)
    assert found.kendall == pytest.approx(4 / 6)
    assert scores([1.0], [1.0]).spearman is None
