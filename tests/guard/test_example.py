"""examples/guarded-model as its README has it: install, record, pass, change a layer, accept."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.guard.installed import ROOT, environment, pytest_in

EXAMPLE = ROOT / "examples" / "guarded-model"


def test_the_example_passes_fails_with_the_layer_named_and_is_accepted(tmp_path: Path) -> None:
    project, env = tmp_path / "project", environment(tmp_path / "site")
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "perfmodel_*"))

    first = pytest_in(project, env, "--perfmodel-update")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "plugins: " in first.stdout
    assert "perfmodel" in first.stdout.partition("plugins: ")[2].splitlines()[0]
    assert (project / "perfmodel_snapshots" / "encoder.json").is_file()

    second = pytest_in(project, env)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "moved" not in second.stdout

    source = project / "encoder.py"
    source.write_text(source.read_text().replace("HIDDEN = 1024", "HIDDEN = 1536"))
    changed = pytest_in(project, env)
    assert changed.returncode == 1, changed.stdout + changed.stderr
    assert "3 of 3 estimates moved: +" in changed.stdout
    causes = changed.stdout.partition("Causes\n")[2].partition("\n\n")[0].splitlines()
    assert (
        causes
        == [
            "  model: encoder: layers.*.fc1 outputs 1024 -> 1536",
            "  model: encoder: layers.*.fc2 inputs 1024 -> 1536",
            "  model: encoder: layers.*/gelu vector operations +50 %",
        ][: len(causes)]
    )
    assert len(causes) >= 2
    assert len(changed.stdout.splitlines()) < 60

    accepted = pytest_in(project, env, "--perfmodel-update")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "Accepted." in accepted.stdout
