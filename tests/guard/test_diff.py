"""``perfmodel diff``: formats and exit codes on saved runs, and both sides of a Git range."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from perfmodel.cli import application
from perfmodel.guard import results
from perfmodel.guard.documents import Document
from tests.guard.conftest import Suite, net
from tests.guard.test_changes import run, scaled

Diff = Callable[..., Result]


@pytest.fixture
def diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diff:
    """The command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(application(), ["diff", *map(str, arguments)])

    return invoke


def saved(path: str, found: Document, **how: Any) -> str:
    results.save(Path(path), found, **how)
    return path


@pytest.mark.parametrize(
    ("factor", "options", "code"),
    [
        (1.0, [], 0),
        (1 + 1e-8, [], 0),
        (1.01, [], 1),
        (0.99, [], 1),
        (1.01, ["--fail-above", "5%"], 0),
        (1.06, ["--fail-above", "5 %"], 1),
        (0.5, ["--fail-above", "0.05"], 0),
        (1.01, ["--fail-above", "0"], 1),
    ],
)
def test_exit_codes(diff: Diff, factor: float, options: list[str], code: int) -> None:
    old, new = saved("a.json", run()), saved("b.json", scaled(run(), factor, "c1"))
    assert diff(old, new, *options).exit_code == code


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a.json", "gone.json"], "gone.json: cannot be read"),
        (["a.json", "bad.json"], "bad.json: is not JSON"),
        (["a.json", "other.json"], "no estimate in common"),
        (["a.json"], "expected two saved runs, or one Git range"),
        (["a.json", "b.json", "c.json"], "expected two saved runs, or one Git range"),
        (["a.json", "a.json", "--fail-above", "5 ms"], "--fail-above: '5 ms'; expected a share"),
        (["a.json", "a.json", "--models", "x"], "belong to a Git range"),
        (["main..HEAD"], "say what to trace: --models"),
        (["a.json", "empty"], "holds no snapshots"),
        (["a.json", "a.json", "--format", "xml"], "format"),
    ],
)
def test_what_cannot_be_said_is_2(diff: Diff, arguments: list[str], reason: str) -> None:
    saved("a.json", run())
    saved("other.json", {"models": {}, "figures": {}})
    Path("bad.json").write_text("{")
    Path("empty").mkdir()
    result = diff(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stdout == ""


def test_what_worked_and_now_fails_blocks(diff: Diff) -> None:
    tests = {"m0": {"c0 bf16": "test_m0"}, "m1": {"c0 bf16": "test_m1"}}
    old = saved("a.json", run(), tests=tests)
    new = saved("b.json", run(1), tests=tests, failures={"test_m1": "no formula for x"})
    result = diff(old, new, "--fail-above", "5%")
    assert result.exit_code == 1
    assert "worked and now fails: test_m1: no formula for x" in result.stdout


def test_what_failed_before_does_not_block(diff: Diff) -> None:
    failures = {"test_m1": "no formula for x"}
    old, new = (
        saved("a.json", run(1), failures=failures),
        saved("b.json", run(1), failures=failures),
    )
    result = diff(old, new)
    assert result.exit_code == 0
    assert "test_m1: no formula for x" in result.stdout


def test_the_formats_say_the_same(diff: Diff) -> None:
    old, new = saved("a.json", run()), saved("b.json", scaled(run(), 1.1, "c1"))
    headline = "2 of 6 estimates moved"
    assert diff(old, new).stdout.startswith(headline)
    assert f"**{headline}" in diff(old, new, "--format", "markdown").stdout
    page = diff(old, new, "--format", "html").stdout
    assert page.startswith("<!doctype html>")
    assert headline in page
    assert "http" not in page, "it loads nothing"
    document = json.loads(diff(old, new, "--format", "json").stdout)
    assert document["headline"].startswith(headline)
    assert [m["ratio"] for m in document["moved"]] == [pytest.approx(1.1)] * 2
    assert document["causes"][0]["kind"] == "mapping"


def test_folders_of_snapshots_are_compared_too(
    suite: Suite, diff: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(suite.path)
    suite.accepted()
    suite.snapshots.rename(suite.path / "before")
    suite.efficiency(0.714)
    suite.accepted()
    result = diff(suite.path / "before", suite.snapshots)
    assert result.exit_code == 1
    assert "one core.engines.avx512.efficiency.linear 0.7 -> 0.714 (+2 %)" in result.stdout


# -- Git -------------------------------------------------------------------------------------------


def git(*arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(diff: Diff) -> Path:
    """Two commits on main: a workload, then a wider one; a branch where it is gone."""
    folder = Path.cwd()
    git("init", "--quiet", "--initial-branch", "main")
    for hidden, message in ((3072, "one"), (4096, "two")):
        net(hidden).save("net.json")
        git("add", "net.json")
        git("commit", "--quiet", "--message", message)
    git("checkout", "--quiet", "-b", "gone")
    git("rm", "--quiet", "net.json")
    git("commit", "--quiet", "--message", "three")
    git("checkout", "--quiet", "main")
    return folder


ASKED = ("--models", "net.json", "--cpu", "epyc_9654", "--precision", "bf16")


def test_both_sides_of_a_range_are_estimated_where_they_were(diff: Diff, repository: Path) -> None:
    (repository / "net.json").write_text("not committed")
    result = diff("main~1..main", *ASKED)
    assert result.exit_code == 1, result.stderr
    assert "model: net: layers.*.fc1 outputs 3072 -> 4096" in result.stdout
    assert (repository / "net.json").read_text() == "not committed"
    listed = subprocess.run(["git", "worktree", "list"], check=True, capture_output=True, text=True)
    assert len(listed.stdout.splitlines()) == 1, "no work tree is left behind"


def test_a_model_that_is_gone_worked_and_now_fails(diff: Diff, repository: Path) -> None:
    result = diff("main...gone", *ASKED)
    assert result.exit_code == 1, result.stderr
    assert "worked and now fails: net.json" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere..main", *ASKED], "nowhere: no such commit"),
        (["--output=x..main", *ASKED], "No such option"),
        (["main~1..main", "--models", "net.json", "--cpu", "epyc_9645"], "did you mean"),
        (["gone..gone", *ASKED], "no estimate in common: net.json"),
    ],
)
def test_a_range_that_cannot_be_compared_is_2(
    diff: Diff, repository: Path, arguments: list[str], reason: str
) -> None:
    result = diff(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_outside_of_a_repository_git_says_so(
    diff: Diff, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    result = diff("main..HEAD", *ASKED)
    assert result.exit_code == 2
    assert "not a git repository" in result.stderr
