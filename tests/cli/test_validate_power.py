"""``perfmodel validate --host --power``, with a counter made for the test and without one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from perfmodel.cli.host_power import power_table, validate_power
from perfmodel.cost.rapl import NoCounter
from tests.cli.conftest import Run


def test_without_a_counter_it_says_so_before_anything_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "perfmodel.cli.host_power.validate_power.__defaults__", (tmp_path / "no", 1.0)
    )
    result = run("validate", "resnet50", "--host", "--power")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("perfmodel: error: this machine has no energy counter")
    assert result.stderr.count("\n") == 1


def test_power_without_host_is_an_error(run: Run) -> None:
    result = run("validate", "--power")
    assert result.exit_code == 2
    assert "it goes with --host" in result.stderr


def test_a_model_runs_and_its_energy_is_held_against_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that stands at 40 W of this computer's own time."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text("0\n")
    monkeypatch.setattr(
        "perfmodel.cost.rapl.Counter.read", lambda _: round(time.perf_counter() * 40e6)
    )
    (point,) = validate_power(
        ["mobilenet_v3_large"], "epyc_9654", "fp32", 1, "eager", [1], root=tmp_path, seconds=0.3
    )
    assert point.measured_w == pytest.approx(40, rel=0.05)
    assert point.measured.seconds >= 0.3
    assert point.measured_j == pytest.approx(40 * point.measured.seconds / point.measured.runs, 0.1)
    assert 0 < point.modelled_w < 200
    assert "mobilenet_v3_large" in power_table([point]).text()


def test_a_counter_that_cannot_be_read_is_said_before_anything_runs(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    with pytest.raises(NoCounter, match="energy_uj cannot be read"):
        validate_power(["resnet50"], None, "fp32", 1, "eager", None, root=tmp_path)
