"""What became of mutants: kept after each, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tools.mutants.places import PROJECT

#: By place: the test that saw its mutant last. It meets it first the next time, in CI too.
SEEN_BY: Final = Path(__file__).with_name("seen_by.json")
SURVIVORS: Final = Path(__file__).with_name("survivors.md")


@dataclass(frozen=True)
class Result:
    """A mutant and the test that saw it; none where all pass."""

    key: str
    seen_by: str
    seconds: float


class Results:
    """Results of this text of the code, and of earlier ones which test saw what.

    Args:
        path: file of results, a line each.
        code: digest of all that a result depends on.
    """

    def __init__(self, path: Path, code: str) -> None:
        self._path, self._code = path, code
        self.known: dict[str, Result] = {}
        self.seen_by: dict[str, str] = json.loads(SEEN_BY.read_text("utf-8"))
        if path.is_file():
            for line in path.read_text("utf-8").splitlines():
                told = json.loads(line)
                of, result = told.pop("code"), Result(**told)
                if result.seen_by:
                    self.seen_by[result.key] = result.seen_by
                if of == code:
                    self.known[result.key] = result

    def add(self, result: Result) -> None:
        """Keep a result, in the file too."""
        self.known[result.key] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"code": self._code} | asdict(result)) + "\n")


def remember(results: list[Result]) -> None:
    """Write the tests that saw these mutants where CI finds them."""
    told = {result.key: result.seen_by for result in results if result.seen_by}
    SEEN_BY.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")


def explained() -> set[tuple[str, str, str]]:
    """Return what survivors.md gives a reason for: file, line and what becomes of it."""
    found = set()
    for row in SURVIVORS.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in row.replace("\\|", "\0").strip("|").split("|")]
        if len(cells) == 4 and cells[0].endswith(".py`"):
            path, before, after = (cell.strip("`").replace("\0", "|") for cell in cells[:3])
            found.add((path, normal(before), normal(after)))
    return found


def normal(line: str) -> str:
    """Return a line of code as a table holds it: without the blanks that cosmic-ray may leave."""
    return "".join(line.split())


def difference(code: str, changed: str) -> tuple[str, str]:
    """Return the first line that a mutant changes, and what it becomes."""
    pairs = zip(code.splitlines(), changed.splitlines(), strict=False)
    before, after = next(((a, b) for a, b in pairs if a != b), ("", ""))
    return before.strip(), after.strip()


def code_of(path: Path) -> str:
    """Return the text of a file of the project."""
    return (PROJECT / path).read_text("utf-8")
