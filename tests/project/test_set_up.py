"""The noxfile, the CI workflow and .ci/run agree, and CI may do no more than it must."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
ACTION = ROOT / "action.yml"
#: The one workflow that may write, and so runs no code of a pull request.
COMMENT = ROOT / ".github" / "workflows" / "latency-comment.yml"
#: The one that nobody's change starts.
WEEKLY = ROOT / ".github" / "workflows" / "compatibility.yml"
LATENCY = ROOT / ".github" / "workflows" / "latency.yml"
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
    yield from load(ACTION)["runs"]["steps"]


def nox_sessions() -> set[str]:
    """Names of the functions that noxfile.py registers."""
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    return set(re.findall(r"^@nox\.session\n(?:[@ )].*\n)*def (\w+)\(", source, flags=re.MULTILINE))


def checks() -> set[str]:
    """The sessions that judge every change, here too.

    ``docs`` writes, and the benchmarks judge what it wrote; ``mutants`` judges the tests, in CI;
    ``browser`` needs Chromium; ``host_software`` installs what other people run models with;
    ``compat`` judges what others release, once a week.
    """
    return nox_sessions() - {"docs", "mutants", "browser", "host_software", "compat"}


def called_sessions(command: str, matrix: dict[str, list[str]]) -> set[str]:
    """Session names that a shell text passes to ``nox -s``, the matrix's put in."""
    found: set[str] = set()
    for name in re.findall(r"nox -s \"?([$\w]+)\"?", command):
        called = matrix["session"] if name == "$SESSION" else [name]
        found |= {session.partition("(")[0] for session in called}
    return found


def test_the_noxfile_has_the_sessions_each_documented() -> None:
    assert nox_sessions() >= SESSIONS
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for name in nox_sessions():
        assert re.search(rf'def {name}\(session: nox.Session[^)]*\) -> None:\n    """\w', source), (
            name
        )


def test_ci_runs_every_session_and_none_that_does_not_exist() -> None:
    called: set[str] = set()
    for job in jobs():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job["steps"]:
            called |= called_sessions(step.get("run", ""), matrix)
            if "$SESSION" in step.get("run", ""):
                assert step["env"]["SESSION"] == "${{ matrix.session }}"
    assert called == checks() | {"compat", "mutants"}


@pytest.mark.parametrize(
    "path", [path for path in WORKFLOWS if path != COMMENT], ids=lambda path: path.name
)
def test_ci_can_only_read(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in workflow["on"]
    often = {"schedule", "workflow_dispatch"} if path == WEEKLY else {"push", "pull_request"}
    assert often <= set(workflow["on"])
    assert "secrets." not in path.read_text(encoding="utf-8")


def test_every_action_is_pinned_to_a_commit_with_its_version_beside() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*WORKFLOWS, ACTION))
    used = [step["uses"] for step in steps() if step.get("uses", "./") != "./"]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.search(rf"uses: {re.escape(action)} # v\d+\.\d+\.\d+\n", text), action
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def test_no_expression_is_put_into_a_shell_command() -> None:
    assert all("${{" not in step.get("run", "") for step in steps())


def test_every_shell_command_is_bash_that_parses() -> None:
    for step in steps():
        if "run" in step:
            checked = subprocess.run(["bash", "-n"], input=step["run"], text=True, check=False)
            assert checked.returncode == 0, step["run"]


def test_what_may_comment_runs_no_code_of_a_pull_request() -> None:
    workflow = load(COMMENT)
    assert set(workflow["on"]) == {"workflow_run"}
    assert workflow["on"]["workflow_run"]["workflows"] == [load(LATENCY)["name"]]
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert job["if"] == "github.event.workflow_run.event == 'pull_request'"
    assert not any("uses" in step for step in job["steps"]), "nothing is checked out"
    text = COMMENT.read_text(encoding="utf-8")
    assert "secrets." not in text
    # The pull request is found by what GitHub says of the run, not by what the run left.
    assert "github.event.workflow_run.head_sha" in text
    assert text.count("report/") == 1


def test_the_comment_is_made_of_the_report_that_the_action_keeps() -> None:
    kept = next(s for s in load(ACTION)["runs"]["steps"] if "upload-artifact" in s.get("uses", ""))
    assert f"--name {kept['with']['name']} " in COMMENT.read_text(encoding="utf-8")
    assert any(step.get("uses") == "./" for step in load(LATENCY)["jobs"]["compare"]["steps"])


def test_the_action_passes_its_inputs_by_the_environment() -> None:
    action = load(ACTION)
    assert action["runs"]["using"] == "composite"
    assert all(given["description"] for given in action["inputs"].values())
    run = action["runs"]["steps"][0]
    for name in action["inputs"]:
        place = run if name == "working-directory" else run["env"]
        assert f"${{{{ inputs.{name} }}}}" in place.values(), name
    options = set(re.findall(r"--[a-z-]+(?= \"\$)", run["run"]))
    parsed = pull_request_options()
    assert {"--base", "--output", "--fail-above"} <= options
    assert options - {"--quiet", "--depth"} <= parsed


def pull_request_options() -> set[str]:
    source = (ROOT / "perfmodel" / "guard" / "pull_request.py").read_text(encoding="utf-8")
    return set(re.findall(r'add_argument\("(--[a-z-]+)"', source))


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
