"""What a shell sees: the module, help, completion, pipes and an early Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

import perfmodel
from perfmodel.cli.app import application
from perfmodel.cli.examples import EXAMPLES
from tests.cli.conftest import Run

COMMANDS = sorted(typer.main.get_command(application()).commands)  # type: ignore[attr-defined]


def module(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "perfmodel", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_python_runs_the_module() -> None:
    result = module("--version")
    assert (result.returncode, result.stdout) == (0, f"perfmodel {perfmodel.__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_two_examples_that_parse(run: Run, command: str) -> None:
    shown = [" ".join(line.split()) for line in run(command, "--help").stdout.splitlines()]
    examples = EXAMPLES[command]
    assert len(examples) == 2
    group = typer.main.get_command(application())
    for example in examples:
        assert example in shown
        program, name, *arguments = shlex.split(example.partition(" | ")[0])
        assert (program, name) == ("perfmodel", command)
        group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("perfmodel compare resnet5", "resnet50"),
        ("perfmodel compare resnet50 --cpu xeon_849", "xeon_8490h"),
        ("perfmodel compare resnet50 --precision bf", "bf16"),
        ("perfmodel rank resnet50 --software eag", "eager"),
        ("perfmodel serve resnet50 --state st", "steady"),
        ("perfmodel compare nets", "nets.py"),
        ("perfmodel compare resnet50 --cpu my", "my_cpu.toml"),
    ],
)
def test_a_shell_completes_names_and_files(
    words: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").touch()
    (tmp_path / "my_cpu.toml").touch()
    monkeypatch.chdir(tmp_path)
    result = module(
        _PERFMODEL_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
        PYTHONPATH=str(Path(perfmodel.__file__).parents[1]),
    )
    assert expected in result.stdout.split()


def test_trace_writes_to_standard_output(run: Run, saved: Path, tmp_path: Path) -> None:
    result = run("trace", saved, "-o", "-")
    assert result.stdout == saved.read_text()
    assert "standard output" in result.stderr
    assert not Path("-").exists()


def test_a_factory_of_one_batch_says_how_to_get_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import torch\n"
        "def encoder():\n    return torch.nn.Linear(8, 8), torch.zeros(1, 8)\n"
        "def any_batch(batch=1):\n    return torch.nn.Linear(8, 8), torch.zeros(batch, 8)\n"
    )
    (tmp_path / "nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    result = run("trace", "nets.py:encoder", "--batch", 8, "-o", "-")
    assert result.exit_code == 2
    assert "def encoder(batch=1)" in result.stderr
    assert json.loads(run("trace", "nets.py:any_batch", "-b", 8, "-o", "-").stdout)["batch"] == 8


def test_a_software_of_ones_own_works_wherever_a_name_does(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'base = "eager"\nid = "mine"\nname = "Eager, slower to launch"\n'
        '[sources]\nme = "stop watch"\n'
        '[launch]\nlinear = { value = "500 us", confidence = "M", source = "me" }\n'
    )
    cpu = ("-c", "epyc_9654", "-f", "json")
    (mine,) = json.loads(run("compare", saved, "--software", file, *cpu).stdout)
    (eager,) = json.loads(run("compare", saved, "--software", "eager", *cpu).stdout)
    assert mine["software"] == "mine"
    assert mine["latency_ms"] > eager["latency_ms"] + 4 * 0.05
    for command in ("explain", "serve"):
        result = run(command, saved, "--software", file, *cpu)
        assert result.exit_code == 0
        assert "mine" in result.stdout
    assert run("tco", saved, "--software", file, *cpu).exit_code == 0
    ranked = run("rank", saved, "--software", file, "-c", "xeon_8490h", "--samples", 16, *cpu)
    assert json.loads(ranked.stdout)[0]["software"] == "mine"


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_an_early_interrupt_is_one_clean_exit(delay: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, "compare", "resnet50"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert err == ""
    # Python gives signals back to the system while it ends: then all is printed already.
    ended = ((130, False), (0, True), (-signal.SIGINT, True))
    assert (process.returncode, bool(out)) in ended


def test_an_interrupt_that_python_would_swallow_ends_the_command() -> None:
    result = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


#: A command that is interrupted within the callback of a weak reference, as imports run them.
SWALLOWED = """
import signal, sys, types, weakref
from perfmodel.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background job ignores it.

def program(prog_name):
    watched = set()
    reference = weakref.ref(watched, lambda _: signal.raise_signal(signal.SIGINT))
    del watched
    print("went on")

app = types.ModuleType("perfmodel.cli.app")
app.NAME, app.asked = "perfmodel", lambda: program
sys.modules["perfmodel.cli.app"] = app
main()
"""


#: Tells when the command begins, before the command line is imported; what comes before or after
#: the command itself is not its own.
STARTED = """
import sys
from perfmodel.__main__ import main
try:
    print("ready", flush=True)
    main()
except KeyboardInterrupt:
    sys.exit(130)
"""
