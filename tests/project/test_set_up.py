"""The noxfile, the CI workflow and .ci/run agree, and CI may do no more than it must."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
SESSIONS = {"lint", "tests", "benchmarks", "conformance"}


def load(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key "on" as true; as text it is what GitHub reads.
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(document, dict)
    return document


def jobs() -> Iterator[dict[str, Any]]:
    for path in WORKFLOWS:
        yield from load(path)["jobs"].values()


def steps() -> Iterator[dict[str, Any]]:
    for job in jobs():
        yield from job["steps"]


def nox_sessions() -> set[str]:
    """Names of the functions that noxfile.py registers."""
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    return set(re.findall(r"^@nox\.session[^\n]*\ndef (\w+)\(", source, flags=re.MULTILINE))


def checks() -> set[str]:
    """The sessions that judge; ``docs`` writes, and the benchmarks judge what it wrote."""
    return nox_sessions() - {"docs"}


def called_sessions(command: str, matrix: dict[str, list[str]]) -> set[str]:
    """Session names that a shell text passes to ``nox -s``, the matrix's put in."""
    found: set[str] = set()
    for name in re.findall(r"nox -s \"?([$\w]+)\"?", command):
        found |= set(matrix["session"]) if name == "$SESSION" else {name}
    return found


def test_the_noxfile_has_the_sessions_each_documented() -> None:
    assert nox_sessions() >= SESSIONS
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for name in nox_sessions():
        assert re.search(rf'def {name}\(session: nox.Session\) -> None:\n    """\w', source), name


def test_ci_runs_every_session_and_none_that_does_not_exist() -> None:
    called: set[str] = set()
    for job in jobs():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job["steps"]:
            called |= called_sessions(step.get("run", ""), matrix)
            if "$SESSION" in step.get("run", ""):
                assert step["env"]["SESSION"] == "${{ matrix.session }}"
    assert called == checks()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_ci_can_only_read(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in workflow["on"]
    assert {"push", "pull_request"} <= set(workflow["on"])
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_every_action_is_pinned_to_a_commit_with_its_version_beside() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.search(rf"uses: {re.escape(action)} # v\d+\.\d+\.\d+\n", text), action
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def test_no_expression_is_put_into_a_shell_command() -> None:
    assert all("${{" not in step.get("run", "") for step in steps())


def test_every_job_ends_in_time() -> None:
    for job in jobs():
        assert 1 <= int(job["timeout-minutes"]) <= 30


def test_the_local_run_covers_every_session() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    assert "export CI=true" in text
    assert called_sessions(text, {}) == checks()


def test_every_direct_dependency_is_constrained_to_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for group in project["dependency-groups"].values():
        wanted += [entry for entry in group if isinstance(entry, str)]
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {line.split("==")[0].lower() for line in lines}
    names = {re.split(r"[<>=!~\[ ;]", requirement)[0].lower() for requirement in wanted}
    assert names - pinned == set()
