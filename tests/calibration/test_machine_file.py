from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from perfmodel.calibration.calibrate import Calibrated, calibrate
from perfmodel.calibration.machine_file import render, write
from perfmodel.calibration.parameters import DENSE, FRESH, REPACKING
from perfmodel.errors import MeasurementError
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.unknowns import unknowns
from tests.calibration.synthetic import made

TRUTH = {DENSE: 0.7, REPACKING: 1.25, FRESH: 0.8}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    points = made(tmp_path_factory.mktemp("made") / "made.toml", TRUTH)
    return calibrate(load_machine("i7_12700k"), points, "made.toml")


def written(calibrated: Calibrated, path: Path) -> Path:
    name = 'The "tuned" one'
    write(path, render("i7_12700k", calibrated.figures, calibrated.record, name=name))
    return path


def test_the_file_is_the_machine(calibrated: Calibrated, tmp_path: Path) -> None:
    machine = load_machine(written(calibrated, tmp_path / "tuned.toml"))
    assert machine.name == 'The "tuned" one'
    found = machine.figures()
    for path, figure in calibrated.machine.figures().items():
        assert found[path].typical == pytest.approx(figure.typical, rel=1e-5), path
        assert found[path].low == pytest.approx(figure.low, rel=1e-5), path
    for case in calibrated.fit.cases:
        one, other = (
            estimate(case.workload, m, "fp32", software="eager").latency_ms
            for m in (machine, calibrated.machine)
        )
        assert one == pytest.approx(other, rel=1e-4)


def test_it_says_how_it_came_about(calibrated: Calibrated, tmp_path: Path) -> None:
    record = load_machine(written(calibrated, tmp_path / "tuned.toml")).calibration
    assert record == calibrated.record
    assert record is not None
    assert record.rows == len(record.residuals) == len(calibrated.fit.cases)
    assert (record.precisions, record.runtimes) == (("fp32",), ("eager",))
    assert date.fromisoformat(record.date)
    assert {"numpy", "scipy", "perfmodel"} <= set(record.software)


def test_estimates_say_whether_they_are_calibrated(calibrated: Calibrated) -> None:
    workload = calibrated.fit.cases[0].workload
    before = estimate(workload, "i7_12700k", "fp32", software="eager")
    after = estimate(workload, calibrated.machine, "fp32", software="eager")
    assert (before.calibration, after.calibration) == ("uncalibrated", "calibrated")
    assert (before.provenance, after.provenance) == ("transferred", "measured")
    assert before.latency_high_ms is not None
    assert after.latency_high_ms is not None
    assert after.latency_high_ms / after.latency_ms <= before.latency_high_ms / before.latency_ms
    assert before.to_dict()["calibration"] == "uncalibrated"


def test_the_fit_s_uncertainty_is_what_rankings_sample(calibrated: Calibrated) -> None:
    found = {unknown.path: unknown for unknown in unknowns([calibrated.machine], "eager")}
    path = "core.engines.avx2.efficiency.matmul"
    figure = found[path].figure
    vendor = load_machine("i7_12700k").figures()[path]
    assert figure.low < figure.typical < figure.high <= 1
    assert figure.high - figure.low < vendor.high - vendor.low
    assert "software.eager.packing" in found


def test_an_interruption_leaves_the_old_file(
    calibrated: Calibrated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sub" / "tuned.toml"
    path.parent.mkdir()
    path.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(calibrated, path)
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["tuned.toml"]


def test_a_file_that_cannot_be_written_is_named(calibrated: Calibrated, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be written"):
        written(calibrated, tmp_path / "absent" / "tuned.toml")
