"""What starting the program costs and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import perfmodel
from perfmodel.cli.app import COMMANDS
from perfmodel.models import zoo
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.vocabulary.words import METHODS
from tests.cli.conftest import Run, process

LOADED = "print(*sys.modules, file=sys.stderr)"


def loaded(stderr: str) -> set[str]:
    return set(stderr.splitlines()[-1].split())


def test_help_imports_nothing_that_computes() -> None:
    result = process("--help", code=LOADED)
    assert result.returncode == 0
    assert "perfmodel.cli.app" in loaded(result.stderr)
    heavy = {"torch", "transformers", "numpy", "pydantic", "rich.console", "platformdirs"}
    assert not loaded(result.stderr) & heavy


@pytest.mark.parametrize("command", ["compare", "explain", "trace"])
def test_a_saved_workload_needs_no_torch(command: str, saved: Path, tmp_path: Path) -> None:
    arguments = {
        "compare": ["--format", "json"],
        "explain": ["--cpu", "epyc_9654", "--format", "json"],
        "trace": ["-o", tmp_path / "again.json"],
    }[command]
    result = process(command, saved, *arguments, code=LOADED)
    assert result.returncode == 0
    assert not loaded(result.stderr) & {"torch", "torchvision", "transformers"}
    if command == "trace":
        assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()
        assert result.stdout == ""
    else:
        assert json.loads(result.stdout)


def test_a_command_imports_neither_the_others_nor_a_method_that_is_not_asked_for(
    saved: Path,
) -> None:
    result = process("compare", saved, "--format", "json", code=LOADED)
    assert result.returncode == 0
    commands = {name for name in loaded(result.stderr) if name.startswith("perfmodel.cli.")}
    assert "perfmodel.cli.compare" in commands
    assert not commands & {f"perfmodel.cli.{other}" for other in set(COMMANDS) - {"compare"}}
    assert "perfmodel.published" not in loaded(result.stderr)


def test_cached_models_need_no_torch() -> None:
    zoo.workload("resnet50")
    both = ("-m", "roofline", "-m", "published")
    perfmodel.compare("resnet50", methods=METHODS)  # Fills the published method's cache too.
    result = process("compare", "resnet50", *both, "-f", "json", code=LOADED)
    assert {record["method"] for record in json.loads(result.stdout)} == {"roofline", "published"}
    assert not loaded(result.stderr) & {"torch", "torchvision", "transformers"}


def test_cached_models_on_kept_cpus_need_nothing_that_reads_files_of_ones_own() -> None:
    zoo.workload("resnet50")
    process("compare", "resnet50")  # Keeps the descriptions, if nothing else did.
    result = process("compare", "resnet50", "-b", "1", "--power", "tdp", "-f", "json", code=LOADED)
    assert [record["model"] for record in json.loads(result.stdout)] == ["resnet50"] * 3
    assert not loaded(result.stderr) & {"torch", "pydantic", "tomllib", "importlib.metadata"}


def test_help_says_what_is_counted_and_lists_what_there_is(run: Run) -> None:
    text = " ".join(run("--help").stdout.split())
    assert "A multiply-accumulate counts as 2 FLOPs" in text
    assert "source" in text
    for command in ("compare", "explain", "cpus", "models", "trace"):
        assert command in text
        assert run(command, "--help").exit_code == 0
    for precision in PRECISIONS:
        assert precision in run("compare", "--help").stdout


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    assert run().stdout == run("--help").stdout
    assert run().exit_code == 0


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"perfmodel {perfmodel.__version__}\n"
