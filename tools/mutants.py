"""Break the package in one place at a time, and see whether the unit and property tests notice.

``python -m tools.mutants`` breaks a seeded sample of places, as CI does; ``--all`` breaks every one
(hours). cosmic-ray knows how to break code: another operator, another number, ``not`` before a
condition, a decorator gone, a loop that never runs. Each mutant is made in a copy of the project
and meets the tests of its room alone, those that most likely see it first
(tools/telling_first.py), which stop at the first failure. cosmic-ray's own runner would start
Python anew for each and run the tests in their order.

A mutant that all tests pass is printed as a diff: it shows a term that no law holds, or is one of
the kinds that tools/survivors.md explains.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import multiprocessing
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[1]
#: Rooms of the package, and the tests that should see what is wrong in them.
ROOMS: Final = {
    "mapping": ("tests/mapping", "tests/serving"),
    "software": ("tests/software", "tests/mapping", "tests/workload/test_fusion.py"),
    "ranking": ("tests/ranking",),
    "serving": ("tests/serving",),
    "cost": ("tests/cost",),
    "tracing": ("tests/tracing",),
}
#: What is exchanged, of all that cosmic-ray knows: near misses, as people make them. A quotient
#: that becomes a bitwise or fails in any test and tells nothing.
OPERATORS: Final = (
    "core/AddNot",
    "core/NumberReplacer",
    "core/RemoveDecorator",
    "core/ReplaceAndWithOr",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_BitAnd_BitOr",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Div",
    "core/ReplaceBinaryOperator_Mod_FloorDiv",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Pow_Mul",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceContinueWithBreak",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceUnaryOperator_Delete_Invert",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ZeroIterationForLoop",
)
#: Larger numbers are sizes and tolerances, and one more of them is the same.
LARGEST: Final = 2
#: Places in a sample: under three minutes on two cores.
SAMPLE: Final = 24
SEED: Final = 1
#: CPU seconds after which the tests of a mutant are stopped: one that never ends is seen. The tests
#: of a room take 40 at most; a busy machine stops none.
LIMIT_S: Final = 240
#: Share of the mutants that the tests have to see, of all.
WANTED: Final = 0.9
#: New processes come from one that has imported what is slow to import and is never broken.
_SERVER: Final = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Place:
    """One place to break: the occurrence of what a cosmic-ray operator changes in a file."""

    room: str
    path: Path
    operator: str
    occurrence: int
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator.removeprefix('core/')}"


def places(rooms: Sequence[str]) -> list[Place]:
    """Return every place of these rooms that is worth breaking, in a fixed order."""
    return [
        place
        for room in rooms
        for file in sorted((PROJECT / "perfmodel" / room).rglob("*.py"))
        for place in _in_file(room, file.relative_to(PROJECT))
    ]


def _in_file(room: str, path: Path) -> Iterator[Place]:
    from cosmic_ray.ast import ast_nodes, get_ast_from_path, is_number
    from cosmic_ray.plugins import get_operator

    nodes = list(ast_nodes(get_ast_from_path(PROJECT / path)))
    for name in OPERATORS:
        operator = get_operator(name)()
        found = ((node, at) for node in nodes for at in operator.mutation_positions(node))
        for occurrence, (node, ((line, _), _)) in enumerate(found):
            if not is_number(node) or abs(float(ast.literal_eval(node.value))) <= LARGEST:
                yield Place(room, path, name, occurrence, line)


def drawn(found: Sequence[Place], count: int, seed: int) -> list[Place]:
    """Return ``count`` of these places; a file with twice the places is drawn from twice as often.

    Of the places of one line one is drawn.
    """
    order = random.Random(seed).sample(list(found), len(found))
    by_line: dict[tuple[Path, int], Place] = {}
    for place in order:
        by_line.setdefault((place.path, place.line), place)
    return list(by_line.values())[:count]


def copied(folder: Path) -> None:
    """Copy what git tracks, and what is new beside it, into ``folder``."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)


def broken(code: str, place: Place) -> str | None:
    """Return ``code`` with this place broken; None where the operator finds nothing to change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed: str | None = mutate_code(code, get_operator(place.operator)(), place.occurrence)
    return changed


def passes(folder: Path, tests: Sequence[str], *options: str) -> bool:
    """Whether ``tests`` pass in the copy ``folder``; a run that hangs does not."""
    run = _SERVER.Process(target=_pytest, args=(folder, [*options, *tests]))
    run.start()
    run.join()
    return run.exitcode == 0


def _pytest(folder: Path, arguments: list[str]) -> None:
    """Run pytest in this new process, and end it with pytest's exit code."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(PROJECT))]
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    # Fewer examples, and none made small: that one fails is all there is to know.
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "tools.telling_first"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(int(pytest.main([*options, "--hypothesis-profile", "mutants", *arguments])))


def survives(place: Place, folder: Path, number: int) -> str:
    """Break one place in the copy ``folder``; return the diff if all tests pass, else nothing."""
    file = folder / place.path
    code, written = file.read_text("utf-8"), int(file.stat().st_mtime)
    changed = broken(code, place)
    if changed is None or changed == code:
        return ""
    file.write_text(changed, "utf-8")
    # Python tells by size and time whether what it compiled before is of this text.
    os.utime(file, (written + 1 + number, written + 1 + number))
    try:
        if not passes(folder, ROOMS[place.room], "--broken", str(place.path)):
            return ""
    finally:
        file.write_text(code, "utf-8")
        os.utime(file, (written, written))
    lines = difflib.unified_diff(code.splitlines(), changed.splitlines(), n=1, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Break places, print what survives; 0 if the tests saw enough of them."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument(
        "rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all by default"
    )
    parser.add_argument("--sample", type=int, default=SAMPLE, help="places to break [%(default)s]")
    parser.add_argument("--all", action="store_true", help="break every place")
    parser.add_argument("--seed", type=int, default=SEED, help="of the sample [%(default)s]")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    rooms = options.rooms or list(ROOMS)
    for room in rooms:
        if room not in ROOMS:
            parser.error(f"unknown room {room!r}: expected one of {', '.join(ROOMS)}")
    found = places(rooms)
    chosen = found if options.all else drawn(found, options.sample, options.seed)
    print(f"{len(chosen)} of {len(found)} places in {', '.join(rooms)}", flush=True)

    begin = time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"
    _SERVER.set_forkserver_preload(["hypothesis", "numpy", "pydantic", "pytest", "rich", "torch"])
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        folders: queue.Queue[Path] = queue.Queue()
        for worker in range(options.workers):
            copied(Path(scratch) / str(worker))
            folders.put(Path(scratch) / str(worker))
        tests = list(dict.fromkeys(folder for room in rooms for folder in ROOMS[room]))
        if not passes(Path(scratch) / "0", tests, "--one-case-each"):
            print("tests fail without any mutant")
            return 2

        def run(place: Place, number: int) -> str:
            folder = folders.get()
            try:
                return survives(place, folder, number)
            finally:
                folders.put(folder)

        survivors = 0
        with ThreadPoolExecutor(options.workers) as pool:
            for place, diff in zip(chosen, pool.map(run, chosen, range(len(chosen))), strict=True):
                survivors += bool(diff)
                print(f"SURVIVED {place}\n{diff}" if diff else f"killed   {place}", flush=True)
    killed = len(chosen) - survivors
    share = killed / max(1, len(chosen))
    seconds = time.monotonic() - begin
    print(f"{killed} of {len(chosen)} killed ({share:.0%}) in {seconds:.0f} s")
    # Of a sample, as many as two standard errors allow.
    missing = len(chosen) < len(found)
    slack = 2 * (WANTED * (1 - WANTED) / max(1, len(chosen))) ** 0.5 if missing else 0.0
    return 0 if share >= WANTED - slack else 1


if __name__ == "__main__":
    sys.exit(main())
