"""Documents that quote figures are generated from the model, and must be current."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.generators import DOCUMENTS, FOLDER
from docs.generators.readme import shares
from perfmodel.cli import application

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_document_is_current(name: str) -> None:
    stored = (FOLDER / name).read_text(encoding="utf-8")
    assert DOCUMENTS[name]() == stored, f"docs/{name} is not current: nox -s docs"


def test_the_readme_repeats_the_shares_by_kind() -> None:
    assert shares() in README.read_text(encoding="utf-8"), "nox -s docs"


def shown() -> list[tuple[str, list[str]]]:
    """The README's commands that are shown with output, and the lines of that output."""
    blocks = re.findall(
        r"^    \$ (.+)\n((?:    .*\n|\n)+)", README.read_text("utf-8"), re.MULTILINE
    )
    return [
        (command, [line.removeprefix("    ") for line in output.splitlines() if line.strip()])
        for command, output in blocks
    ]


@pytest.mark.parametrize(
    ("command", "lines"), shown(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_readme_shows_what_the_command_prints(
    command: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line; where a line ends in an ellipsis, what is before it."""
    monkeypatch.setenv("COLUMNS", "100")
    program, *arguments = shlex.split(command)
    assert program == "perfmodel"
    printed = (
        CliRunner().invoke(application(), arguments, catch_exceptions=False).stdout.splitlines()
    )
    for line in lines:
        beginning = line.removesuffix("...").rstrip()
        matching = line in printed or (
            line.endswith("...") and any(found.startswith(beginning) for found in printed)
        )
        assert matching, f"{command}: README shows\n{line}\nbut it prints\n" + "\n".join(printed)


def test_the_readme_shows_output() -> None:
    assert len(shown()) >= 3
