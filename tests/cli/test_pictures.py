"""``--plot`` and ``perfmodel report``: what they write, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("command", ["compare", "rank", "explain"])
def test_a_command_draws_what_it_prints(
    run: Run, saved: Path, tmp_path: Path, command: str
) -> None:
    cpus = ["-c", "epyc_9654"] if command == "explain" else ["-c", "epyc_9654", "-c", "xeon_8490h"]
    for name, begins in (("chart.svg", b"<svg"), ("chart.png", b"\x89PNG")):
        file = tmp_path / name
        result = run(command, saved, *cpus, "--plot", file)
        assert result.exit_code == 0, result.stderr
        assert file.read_bytes().startswith(begins)
        assert f"wrote {file}" in result.stderr
    result = run(command, saved, *cpus, "--plot", tmp_path / "chart.gif")
    assert (result.exit_code, result.stdout) == (2, "")
    assert ".png or .svg" in result.stderr


def test_a_picture_without_results_is_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "chart.svg"
    result = run("compare", "resnet50", "--method", "published", "--plot", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--method roofline" in result.stderr
    assert not file.exists()


def test_a_report_is_one_file_or_one_line(run: Run, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    result = run("report", saved, "-c", "epyc_9654", "-o", file)
    assert result.exit_code == 0, result.stderr
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    result = run("report", saved, "--from", tmp_path, "-o", file)
    assert result.exit_code == 2
    assert "holds no results" in result.stderr
    result = run("report", saved, "-o", tmp_path / "none" / "page.html")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
