"""The Python examples of the README and of docs/ run as they stand, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from perfmodel.tracing import formula, operators

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCKS = [
    (name, code)
    for name in DOCUMENTS
    for code in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
]


def reader() -> dict[str, object]:
    """What the examples leave to their reader: a module and its inputs."""
    with torch.device("meta"):
        return {
            "torch": torch,
            "module": torch.nn.Linear(8, 4),
            "example_inputs": torch.empty(2, 8),
        }


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_an_example_runs(
    name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert operators.registered()  # Loaded before its table is copied, not into the copy.
    monkeypatch.setattr(formula, "_FORMULAS", dict(formula._FORMULAS))
    (tmp_path / "my_cpu.toml").write_text('base = "epyc_9654"\n')
    exec(compile(code, name, "exec"), reader())


def test_the_examples_are_found() -> None:
    assert {"README.md", "docs/serving.md", "docs/tracing.md"} <= {name for name, _ in BLOCKS}
