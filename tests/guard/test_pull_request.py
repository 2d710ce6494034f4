"""Base and head of a pull request in one job: what blocks, and what is drift."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perfmodel.guard.changes import compare
from perfmodel.guard.pull_request import BLOCKED, PASSED, UNKNOWN, judge
from tests.guard.conftest import ONE, TWO, net
from tests.guard.installed import environment
from tests.guard.test_changes import run, scaled
from tests.guard.test_diff import git

STILL = compare(run(), run())
SLOWER = compare(run(), scaled(run(), 1.1))
FASTER = compare(run(), scaled(run(), 0.9))


BROKEN = compare(run(), run(), problems=["worked and now fails: test_m1: no formula for x"])


@pytest.mark.parametrize(
    ("base", "head", "report", "limit", "code", "said"),
    [
        (1, 1, BROKEN, None, BLOCKED, "traced at the base is no longer"),
        (0, 0, BROKEN, 0.5, BLOCKED, "traced at the base is no longer"),
        (0, 0, STILL, None, PASSED, ""),
        (0, 0, SLOWER, None, PASSED, ""),
        (0, 0, SLOWER, 0.05, BLOCKED, "Slower than its base by more than 5 %"),
        (0, 0, SLOWER, 0.2, PASSED, ""),
        (0, 0, FASTER, 0.05, PASSED, ""),
        (0, 1, SLOWER, None, BLOCKED, "Passed at the base, and fails now"),
        (1, 1, STILL, None, PASSED, "do not hold at the base either"),
        (1, 1, SLOWER, 0.05, BLOCKED, "Slower"),
        (1, 0, STILL, None, PASSED, ""),
        (2, 1, None, None, BLOCKED, "nothing at the base"),
        (2, 0, None, None, PASSED, ""),
        (0, 2, None, None, UNKNOWN, "could not run the suite"),
    ],
)
def test_what_blocks(
    base: int, head: int, report: object, limit: float | None, code: int, said: str
) -> None:
    found, why = judge(base, head, report, limit)  # type: ignore[arg-type]
    assert found == code
    assert (said in why) if said else why == ""


SUITE = """
def test_net(perfmodel_guard):
    perfmodel_guard("net.json", cpus=["one.toml", "two.toml"], precision="bf16")
"""


def test_both_sides_run_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, env = tmp_path / "project", environment(tmp_path / "site")
    project.mkdir()
    monkeypatch.chdir(project)
    git("init", "--quiet", "--initial-branch", "main")
    Path("test_net.py").write_text(SUITE)
    Path("one.toml").write_text(ONE.format(0.7))
    Path("two.toml").write_text(TWO)
    net().save("net.json")
    python = [sys.executable, "-m"]
    accept = [*python, "pytest", "-q", "--perfmodel-update"]
    subprocess.run(accept, env=env, check=True, capture_output=True)
    git("add", ".")
    git("commit", "--quiet", "--message", "base")
    net(4096).save("net.json")

    command = [*python, "perfmodel.guard.pull_request", "--base", "HEAD", "--output", "out"]
    summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = subprocess.run(command, env=env | summary, check=False, capture_output=True, text=True)
    assert done.returncode == BLOCKED, done.stderr
    assert not (tmp_path / "summary.md").exists(), "it is the job's, and each side would add to it"
    text = Path("out/report.md").read_text()
    assert "layers.\\*.fc1 outputs 3072 -> 4096" in text
    assert "Passed at the base, and fails now" in text
    assert Path("out/report.html").read_text().startswith("<!doctype html>")

    subprocess.run(accept, env=env, check=True, capture_output=True)
    limited = [*command, "--fail-above", "50%"]
    done = subprocess.run(limited, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == PASSED, done.stderr
    assert "2 of 2 estimates moved" in Path("out/report.md").read_text()


def test_drift_is_reported_and_what_worked_and_now_fails_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base whose snapshot of one model does not hold, and three heads on top of it."""
    project, env = tmp_path / "project", environment(tmp_path / "site")
    project.mkdir()
    monkeypatch.chdir(project)
    git("init", "--quiet", "--initial-branch", "main")
    Path("one.toml").write_text(ONE.format(0.7))
    for name in ("drifts", "holds"):
        net().save(f"{name}.json")
        Path(f"test_{name}.py").write_text(
            f"def test_{name}(perfmodel_guard):\n"
            f'    perfmodel_guard("{name}.json", cpus="one.toml", name="{name}")\n'
        )
    python = [sys.executable, "-m"]
    accept = [*python, "pytest", "-q", "--perfmodel-update"]
    subprocess.run(accept, env=env, check=True, capture_output=True)
    snapshot = Path("perfmodel_snapshots/drifts.json")
    document = json.loads(snapshot.read_text())
    document["estimates"]["one int8"]["latency_ms"] *= 1.1
    snapshot.write_text(json.dumps(document))
    git("add", ".")
    git("commit", "--quiet", "--message", "base")
    git("tag", "base")
    command = [*python, "perfmodel.guard.pull_request", "--base", "base", "--output", "out"]

    def judged(message: str) -> tuple[int, str]:
        git("add", ".", ":!out")
        git("commit", "--quiet", "--allow-empty", "--message", message)
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        return done.returncode, Path("out/report.md").read_text()

    code, text = judged("nothing")
    assert code == PASSED
    assert "do not hold at the base either" in text

    net(4096).save("holds.json")
    code, text = judged("slower")
    assert code == BLOCKED
    assert "Passed at the base, and fails now (test\\_holds.py::test\\_holds)" in text
    assert "layers.\\*.fc1 outputs 3072 -> 4096" in text

    Path("holds.json").unlink()
    code, text = judged("gone")
    assert code == BLOCKED
    assert "A model that was traced at the base is no longer." in text
    assert "worked and now fails: test\\_holds.py::test\\_holds: " in text
