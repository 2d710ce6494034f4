from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from perfmodel.cli import application
from tests.builder import Builder

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line within this process, with nothing of the user's terminal in it."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    runner = CliRunner()

    def invoke(*arguments: object) -> Result:
        return runner.invoke(application(), [str(a) for a in arguments], catch_exceptions=False)

    return invoke


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved workload: three equal layers and a head."""
    b = Builder("small")
    x = b.input(64 * 512)
    for layer in range(3):
        x = b.kernel(
            "aten.linear",
            "linear",
            [x],
            weights=(b.weight(512 * 512),),
            gemm=(1, 64, 512, 512),
            name=f"layers.{layer}.fc/linear",
        )
    b.kernel(
        "aten.linear",
        "linear",
        [x],
        weights=(b.weight(512 * 10),),
        gemm=(1, 64, 10, 512),
        name="head/linear",
    )
    path = tmp_path / "small.json"
    b.workload().save(path)
    return path


def process(*arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own; ``code`` runs after it and sees its exit."""
    script = (
        "import sys\n"
        "from perfmodel.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    {code or 'pass'}\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
