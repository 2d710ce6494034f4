"""Documents that quote figures are generated from the model, and must be current."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.generators import DOCUMENTS, FOLDER, claims, gallery
from docs.generators.readme import shares
from perfmodel.cli import application

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_document_is_current(name: str) -> None:
    stored = (FOLDER / name).read_text(encoding="utf-8")
    assert DOCUMENTS[name]() == stored, f"docs/{name} is not current: nox -s docs"


@pytest.mark.parametrize("name", ["ranking", "roofline", "modules", "serving", "front"])
def test_a_picture_shows_what_the_model_says(name: str) -> None:
    """By the rows it was drawn from, within the tolerance of snapshots; pixels are no one's law."""
    stale = gallery.stale(name)
    assert not stale, f"docs/gallery/{name}.svg is not current: nox -s docs\n" + "\n".join(stale)


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.25, "Intel leads 1.25x on net"), (0.8, "AMD leads 1.25x on net")]
)
def test_who_is_said_to_lead_is_faster(
    factor: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "lead", lambda *_: factor)
    assert claims.leader("net", "fp32") == expected


def test_every_picture_is_shown_small_and_said_in_words() -> None:
    pictures = gallery.pictures()
    files = {file.stem for file in gallery.FOLDER.glob("*.svg")}
    assert files == {*pictures} == {file.stem for file in gallery.FOLDER.glob("*.json")}
    page = (FOLDER / "gallery.md").read_text(encoding="utf-8")
    for name, picture in pictures.items():
        assert f"![{picture.about}](gallery/{name}.svg)" in page
        assert (gallery.FOLDER / f"{name}.svg").stat().st_size < 150_000
        assert any(picture.rows), name


def test_a_picture_of_other_rows_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "FOLDER", tmp_path)
    assert gallery.stale("front") == ["it was never drawn"]
    for factor, expected in ((1 + 1e-9, 0), (1.001, 1)):
        rows = [[dict(row) for row in part] for part in gallery.pictures()["front"].rows]
        rows[0][0]["latency_ms"] *= factor
        (tmp_path / "front.json").write_text(json.dumps(rows))
        (tmp_path / "front.svg").write_text("<svg/>")
        assert len(gallery.stale("front")) == expected


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
