"""What the README repeats: outputs below its commands, and the table of docs/fidelity.md."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Final

from typer.testing import CliRunner

README: Final = Path(__file__).resolve().parents[2] / "README.md"
_FIDELITY: Final = README.parent / "docs" / "fidelity.md"
#: The table of the shares within 1.25 and 1.5 times, by kind.
_SHARES: Final = re.compile(r"^\| kind \| points \| bar .*\n(?:\|.*\n)+", re.MULTILINE)
#: A command that is shown with its output: ``    $ perfmodel ...`` and the indented lines below.
_BLOCK: Final = re.compile(r"^(    \$ perfmodel (.+)\n)((?:    .*\n|\n(?=    ))+)", re.MULTILINE)
#: Columns that commands may use.
_WIDTH: Final = "100"


def render() -> str:
    """Return the README with every shown output as the command prints it now.

    A block keeps its number of lines; where more is printed, its last line is an ellipsis.
    """
    text = _SHARES.sub(lambda _: shares(), README.read_text(encoding="utf-8"))
    return _BLOCK.sub(_shown, text)


def shares() -> str:
    """Return the table by kind that docs/fidelity.md begins with.

    Raises:
        ValueError: there is none.
    """
    found = _SHARES.search(_FIDELITY.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{_FIDELITY.name} has no table of shares by kind")
    return found[0]


def _shown(block: re.Match[str]) -> str:
    from perfmodel.cli import application

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        result = CliRunner().invoke(application(), shlex.split(block[2]), catch_exceptions=False)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    printed = [line.rstrip() for line in result.stdout.rstrip().splitlines()]
    room = len(block[3].rstrip("\n").split("\n"))
    lines = printed if len(printed) <= room else [*printed[: room - 1], "..."]
    return block[1] + "".join(f"    {line}".rstrip() + "\n" for line in lines)
