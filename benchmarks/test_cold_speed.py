"""What a command costs in a new process, against the start of NumPy in the same run: CPU time.

Wall time says how busy the machine is; the time that the processes had on a CPU hardly depends on
it. Of each command the least of some rounds counts, NumPy's start among them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.support.ledger import Hold
from perfmodel.models import zoo

ROUNDS: Final = 3
NUMPY: Final = (sys.executable, "-c", "import numpy")
#: As an installed package runs, whatever a developer's shell says: compiled once, not each time.
ENVIRONMENT: Final = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
#: The libraries that a command which computes starts, and nothing of perfmodel.
LIBRARIES: Final = (sys.executable, "-c", "import numpy, typer")


def perfmodel(*arguments: str) -> tuple[str, ...]:
    """Return the command with ``arguments``."""
    return (sys.executable, "-m", "perfmodel", *arguments)


def cpu_seconds(command: Sequence[str]) -> float:
    """Return the CPU time, user's and system's, of a process and its threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert finished.returncode == 0, finished.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def least(commands: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the least CPU time of each command, of rounds in which they take turns."""
    rounds = [
        {name: cpu_seconds(command) for name, command in commands.items()} for _ in range(ROUNDS)
    ]
    return {name: min(times[name] for times in rounds) for name in commands}


def test_commands_in_a_new_process(benchmark: Any, hold: Hold) -> None:
    """``--help``, ``compare`` of five cached models, ``rank`` of one on three CPUs.

    Two thirds of a comparison are the start of NumPy and of Typer, which perfmodel cannot help: it
    is held against these libraries alone, too. What it can help is that nothing else is started:
    of cached models on CPUs of the catalogue, no command waits for Pydantic.
    """
    for model in zoo.DEFAULT_MODELS:
        zoo.workload(model)
    commands = {
        "numpy": NUMPY,
        "libraries": LIBRARIES,
        "help": perfmodel("--help"),
        "compare": perfmodel("compare", *zoo.DEFAULT_MODELS),
        "rank": perfmodel("rank", "vit_l_16"),
    }
    found: dict[str, float] = {}
    benchmark.pedantic(lambda: found.update(least(commands)), rounds=1)
    numpy, libraries = found["numpy"], found["libraries"]
    hold("perfmodel --help / import numpy, CPU time", found["help"] / numpy, 1.3, "x")
    hold("compare 5 cached models / import numpy", found["compare"] / numpy, 2.3, "x")
    hold("rank 1 model on 3 CPUs / import numpy", found["rank"] / numpy, 3.3, "x")
    hold("compare 5 cached models / its libraries", found["compare"] / libraries, 1.7, "x")
