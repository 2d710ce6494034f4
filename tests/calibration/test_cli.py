from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel.calibration.parameters import DENSE, REPACKING
from perfmodel.machine import load_machine
from tests.calibration.synthetic import SHAPES, made
from tests.cli.conftest import Run


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "made.toml"
    made(path, {DENSE: 0.7, REPACKING: 1.25})
    return path


def test_a_calibrated_file_predicts_what_it_was_fitted_to(
    run: Run, measured: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.toml"
    result = run("calibrate", "--from", measured, "--cpu", "i7_12700k", "-o", output)
    assert result.exit_code == 0, result.stderr
    assert "core.engines.avx2.efficiency.matmul" in result.stdout
    assert str(output) in result.stderr
    assert load_machine(output).calibration is not None

    found = json.loads(run("validate", "-m", measured, "--cpu", output, "-f", "json").stdout)
    assert len(found["points"]) == len(SHAPES)
    assert found["scores"]["all"]["mape"] < 0.03
    vendor = json.loads(run("validate", "-m", measured, "-f", "json").stdout)
    assert vendor["scores"]["all"]["mape"] > 0.15
    for point in vendor["points"]:
        assert point["ratio"] == pytest.approx(point["predicted"] / point["measured"])


def test_validate_scores_by_regime(run: Run, measured: Path) -> None:
    scores = json.loads(run("validate", "-m", measured, "-f", "json").stdout)["scores"]
    regimes = {name: s["count"] for name, s in scores.items() if name.startswith("regime: ")}
    assert {"regime: compute", "regime: overhead"} <= set(regimes)
    assert sum(regimes.values()) == scores["all"]["count"]


def test_a_file_that_rests_on_a_file_is_found_by_its_base(
    run: Run, measured: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('base = "i7_12700k"\n')
    output = tmp_path / "sub" / "tuned.toml"
    output.parent.mkdir()
    measured.write_text(measured.read_text().replace('"i7_12700k"', '"own.toml"'))
    result = run("calibrate", "--from", measured, "--cpu", own, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert load_machine(output).calibration is not None
    found = json.loads(run("validate", "-m", measured, "--cpu", output, "-f", "json").stdout)
    assert found["scores"]["all"]["mape"] < 0.03


def test_tables_and_csv_hold_every_point(run: Run, measured: Path) -> None:
    table = run("validate", "-m", measured).stdout
    csv = run("validate", "-m", measured, "-f", "csv").stdout
    for m, n, k in SHAPES:
        assert f"matmul {m}x{n}x{k}" in table
        assert f"matmul {m}x{n}x{k}" in csv
    assert "MAPE" in table


def test_a_scatter_plot_is_written(run: Run, measured: Path, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    result = run("validate", "-m", measured, "--plot", path)
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")
    result = run("validate", "-m", measured, "--plot", tmp_path / "plot.what")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["calibrate", "-o", "x.toml"], "either --from FILE with --cpu, or --host"),
        (["calibrate", "--host", "--from", "desktops", "-o", "x.toml"], "either --from"),
        (["calibrate", "--from", "desktops", "-o", "x.toml"], "--from needs --cpu"),
        (["calibrate", "--host", "--cpu", "i7_12700k", "-o", "x.toml"], "--cpu goes with --from"),
        (["calibrate", "--from", "absent.toml", "-c", "i7_12700k", "-o", "x.toml"], "absent.toml"),
        (["calibrate", "--from", "desktops", "-c", "i7", "-o", "x.toml"], "unknown CPU 'i7'"),
        (["calibrate", "--from", "desktops", "-c", "epyc_9654", "-o", "x.toml"], "no points"),
        (["calibrate", "--from", "desktops", "-c", "i7_12700k"], "--output"),
        (["validate", "resnet50"], "models go with --host"),
        (["validate", "--host"], "--host needs models"),
        (["validate", "--host", "resnet5"], "did you mean 'resnet50'"),
        (["validate", "--host", "resnet50", "-m", "desktops"], "either --measurements or --host"),
        (["validate", "--host", "resnet50", "-p", "fp31"], "did you mean 'fp32'"),
        (["validate", "--host", "resnet50", "--runtime", "llama_cpp"], "inductor_frozen"),
        (["validate", "--keep", "x.toml"], "--keep writes what --host measures"),
        (
            ["calibrate", "--from", "desktops", "-c", "i7_12700k", "-o", "x", "--software", "ipex"],
            "--software goes with --host",
        ),
        (["calibrate", "--host", "--software", "ipex", "-o", "x.toml"], "that --host can run"),
        (["validate", "-m", "absent.toml"], "absent.toml"),
        (["validate", "--kind", "decoding"], "did you mean 'decode'"),
        (["validate", "--software", "openvno"], "did you mean 'openvino'"),
        (["validate", "--kind", "single", "-m", "desktops"], "without --measurements"),
        (["validate", "-m", "desktops", "--software", "ipex"], "there are points of eager"),
        (["validate", "--plot", "x.png"], "--plot is of points"),
        (["validate", "-m", "desktops", "-c", "epyc_9654"], "no points of it"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run, arguments: list[str], expected: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("perfmodel: error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_compare_says_once_how_far_off_to_expect_estimates(run: Run, saved: Path) -> None:
    result = run("compare", saved)
    assert result.stdout.count("times either way") >= 1
    (record, *_) = json.loads(run("compare", saved, "-f", "json").stdout)
    assert record["calibration"] == "uncalibrated"
    assert record["latency_low_ms"] < record["latency_ms"] < record["latency_high_ms"]
    assert record["interval_coverage"] == 0.8
    assert "times either way" in run("explain", saved, "--cpu", "epyc_9654").stdout
