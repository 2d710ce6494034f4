"""Values that are taken as given are what Typer would make of them, and so are all errors."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.core import TyperCommand
from typer.testing import CliRunner

from perfmodel.cli.command import Command


class Colour(Enum):
    RED = "red"


def command(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    text: str = "a",
    absent: str | None = None,
    many: Annotated[list[str] | None, typer.Option()] = None,
    numbers: Annotated[list[int] | None, typer.Option()] = None,
    count: Annotated[int, typer.Option(min=1, max=9)] = 3,
    share: float = 0.5,
    word: Literal["one", "two"] = "one",
    colour: Colour = Colour.RED,
    path: Path | None = None,
    flag: bool = False,
    parsed: Annotated[str, typer.Option(parser=str.upper)] = "given",
) -> None:
    given = names, text, absent, many, numbers, count, share, word, colour, path, flag, parsed
    print(*(f"{type(value).__name__} {value!r}" for value in given))


def printed(made_by: type[TyperCommand], *arguments: str) -> tuple[int, str]:
    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=made_by)(command)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "x y --text b --absent c --many d --many e",
        "--numbers 1 --numbers 2 --count 9 --share 1 --word two --colour red --path p --flag",
        "--parsed lower --no-flag",
        "--text=",
        "--count 0",
        "--count 10",
        "--count x",
        "--count 3.0",
        "--share x",
        "--numbers x",
        "--word three",
        "--word TWO",
        "--colour blue",
        "--unknown",
        "--text",
        "--help",
    ],
)
def test_a_value_is_what_typer_makes_of_it(arguments: str) -> None:
    assert printed(Command, *arguments.split()) == printed(TyperCommand, *arguments.split())


def test_what_is_required_is_asked_for() -> None:
    def needs(name: str, many: Annotated[list[str], typer.Option()]) -> None:
        raise AssertionError

    for arguments in ([], ["x"], ["--many", "y"]):
        said = []
        for made_by in (Command, TyperCommand):
            app = typer.Typer(rich_markup_mode=None)
            app.command(cls=made_by)(needs)
            result = CliRunner().invoke(app, arguments)
            said.append((result.exit_code, result.output))
        assert said[0] == said[1]
        assert said[0][0] == 2


def test_a_converter_is_made_for_what_has_to_be_converted_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    core = sys.modules["typer.core"]
    build = core.build_runtime_param  # type: ignore[attr-defined]

    def recorded(described: object) -> object:
        made.append(described.annotation)  # type: ignore[attr-defined]
        return build(described)

    monkeypatch.setattr(core, "build_runtime_param", recorded)
    assert printed(Command, "x", "--text", "b", "--word", "two", "--colour", "red")[0] == 0
    assert set(made) == {Colour, str}, "an enumeration, and what has a parser of its own"
