"""Which tests run through a line, and what they take: recorded once, a test file at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from tools.mutants import running
from tools.mutants.places import PROJECT, Place, statement

#: What is kept between runs: records, results and traces. Git ignores it.
KEPT: Final = PROJECT / ".mutants"
#: Rooms of the package, and the tests that may see what is wrong in them.
ROOMS: Final = {
    "mapping": ("tests/mapping", "tests/serving", "tests/ranking"),
    "software": ("tests/software", "tests/mapping", "tests/workload/test_fusion.py"),
    "ranking": ("tests/ranking", "tests/serving"),
    "serving": ("tests/serving", "tests/cost"),
    "cost": ("tests/cost",),
    "tracing": ("tests/tracing", "tests/workload", "tests/models/test_own.py"),
}
#: Seconds of tests that a mutant meets before any others are collected.
FIRST_S: Final = 3.0
#: Seconds of tests after which a mutant has survived: what comes then is furthest from it.
MOST_S: Final = 40.0


def test_files(room: str) -> list[str]:
    """Return the test files of a room."""
    found: list[str] = []
    for name in ROOMS[room]:
        path = PROJECT / name
        files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
        found += [file.relative_to(PROJECT).as_posix() for file in files]
    return found


def kept_as(test_file: str) -> Path:
    """Where the record of a test file is kept, without ending; another for each text of code."""
    name = test_file.removesuffix(".py").replace("/", "-")
    return KEPT / f"{name}-{running.digest([test_file])}-{_around()}"


@cache
def _around() -> str:
    """Digest of what every test depends on: the package, and the helpers of the tests."""
    return running.digest(
        name
        for name in running.tracked()
        if name.startswith(("perfmodel/", "tests/", "pyproject.toml"))
        and not Path(name).name.startswith("test_")
    )


def everything() -> str:
    """Digest of all that a result depends on."""
    return running.digest(
        name for name in running.tracked() if name.startswith(("perfmodel/", "tests/"))
    )


def missing(test_files: Iterable[str]) -> list[str]:
    """Return which of these have no record."""
    return [name for name in test_files if not kept_as(name).with_suffix(".json").is_file()]


class Telling:
    """The tests that may see what is wrong at a place, by the records of its room."""

    def __init__(self, test_files: Iterable[str]) -> None:
        import coverage

        self._seconds: dict[str, float] = {}
        self._covered: list[Callable[[str], Mapping[int, list[str]]]] = []
        for name in test_files:
            path = kept_as(name)
            self._seconds |= json.loads(path.with_suffix(".json").read_text("utf-8"))
            data = coverage.CoverageData(str(path.with_suffix(".cov")))
            data.read()
            measured = {
                str(file).partition("/perfmodel/")[2]: file for file in data.measured_files()
            }
            self._covered.append(
                lambda file, data=data, measured=measured: (
                    data.contexts_by_lineno(measured[file]) if file in measured else {}
                )
            )

    def runs(self, place: Place, code: str) -> list[dict[str, float]]:
        """Return tests with their seconds, in two runs: a few that likely see it, and the rest.

        Those that run through the place come first, of them those of a file named after the broken
        one, then the quick ones; then the other tests that use the broken file, for what is made
        once and kept is run by the first test alone, and what is made on import by none.
        """
        inside = place.path.relative_to("perfmodel").as_posix()
        lines = statement(code, place.line)
        through: set[str] = set()
        near: set[str] = set()
        for covered in self._covered:
            by_line = covered(inside)
            near |= {name for names in by_line.values() for name in names}
            through |= {name for line in lines for name in by_line.get(line, ())}
        return parted(through - {""}, near - {""}, self._seconds, place.path.stem.strip("_"))


def parted(
    through: set[str], near: set[str], seconds: Mapping[str, float], stem: str
) -> list[dict[str, float]]:
    """Return the tests ``through`` and then the others of their files, in two runs."""
    files = {name.partition("::")[0] for name in near}
    rest = {name for name in seconds if name.partition("::")[0] in files}

    def turn(name: str) -> tuple[bool, bool, float, str]:
        named = stem in Path(name.partition("::")[0]).stem
        return name not in through, not named and seconds[name] > 0.1, seconds[name], name

    first: dict[str, float] = {}
    later: dict[str, float] = {}
    spent = 0.0
    for name in sorted(rest, key=turn):
        if name in through and not later and (not first or spent + seconds[name] <= FIRST_S):
            first[name] = seconds[name]
        elif spent + seconds[name] <= MOST_S:
            later[name] = seconds[name]
        else:
            continue
        spent += seconds[name]
    return [run for run in (first, later) if run]
