"""Break places of the package, and print what no unit or property test sees.

``python -m tools.mutants`` breaks the seeded sample that CI breaks; ``serving cost --sample 60``
more of two rooms; ``perfmodel/cost/tco.py:129`` what is on a line; ``--all`` every place (hours).
An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final

from tools.mutants import record, running
from tools.mutants.places import Place, broken, drawn, places
from tools.mutants.results import (
    Result,
    Results,
    code_of,
    difference,
    explained,
    normal,
    remember,
)

#: Places in the sample of CI: under three minutes on two cores.
SAMPLE: Final = 60
SEED: Final = 1
#: Share of the mutants that the tests have to see.
WANTED: Final = 0.9


class Session:
    """Copies of the project, what was recorded in them, and what became of mutants.

    Args:
        scratch: a folder for the copies.
        workers: how many of them.
    """

    def __init__(self, scratch: Path, workers: int) -> None:
        self._folders: queue.Queue[Path] = queue.Queue()
        self.workers = workers
        for worker in range(workers):
            running.copied(scratch / str(worker))
            self._folders.put(scratch / str(worker))
        self._telling: dict[str, record.Telling] = {}
        self._lock, self._recording = Lock(), Lock()
        self._number = count()
        self.results = Results(record.KEPT / "results.jsonl", record.everything())

    def check(self, tests: Sequence[str]) -> None:
        """Raise SystemExit if one of these tests fails as things are."""
        if not tests:
            return
        folder = self._folders.get()
        failing = running.failing(folder, dict.fromkeys(tests, 10.0))
        self._folders.put(folder)
        if failing:
            raise SystemExit(f"{failing} fails without any mutant")

    def record(self, names: Sequence[str]) -> None:
        """Record these test files, where that is not done; raise SystemExit if one fails."""
        missing = record.missing(names)
        if missing:
            print(f"recording {len(missing)} test files", flush=True)
        with ThreadPoolExecutor(self.workers) as pool:
            passed = list(pool.map(self._record, missing))
        if not all(passed):
            raise SystemExit("tests fail without any mutant")

    def _record(self, name: str) -> bool:
        folder = self._folders.get()
        try:
            passed = running.recorded(folder, name, record.kept_as(name))
            if not passed:
                print(f"{name} fails\n{(folder / '.log').read_text('utf-8')[-3000:]}", flush=True)
            return passed
        finally:
            self._folders.put(folder)

    def telling(self, room: str) -> record.Telling:
        """Return the records of a room."""
        names = record.test_files(room)
        self.record(names)
        if room not in self._telling:
            self._telling[room] = record.Telling(names)
        return self._telling[room]

    def meet(self, place: Place, changed: str) -> Result:
        """Return what becomes of the mutant ``changed`` of a place."""
        if place.key in self.results.known:
            return self.results.known[place.key]
        begin = time.monotonic()
        last = self.results.seen_by.get(place.key, "")
        seen = self._run(place, changed, {last: 1.0}) if last else ""
        if not seen:
            # Not while it holds a copy: recording takes one.
            with self._recording:
                runs = self.telling(place.room).runs(place, code_of(place.path))
            seen = self._run(place, changed, *runs)
        result = Result(place.key, seen, round(time.monotonic() - begin, 1))
        with self._lock:
            self.results.add(result)
        return result

    def _run(self, place: Place, changed: str, *runs: Mapping[str, float]) -> str:
        folder = self._folders.get()
        try:
            return running.meets(place, changed, folder, next(self._number), *runs)
        finally:
            self._folders.put(folder)


def chosen(found: Sequence[Place], wanted: int) -> Iterator[tuple[Place, str]]:
    """Yield the first ``wanted`` places with their mutants, less what survivors.md explains."""
    known = explained()
    for place in found:
        code = code_of(place.path)
        changed = broken(code, place)
        before, after = difference(code, changed)
        if changed != code and (str(place.path), normal(before), normal(after)) not in known:
            yield place, changed
            wanted -= 1
        if not wanted:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Break places, print what survives; 0 if the tests saw enough of them."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument(
        "where", nargs="*", help=f"FILE:LINE, or rooms of {', '.join(record.ROOMS)}; all by default"
    )
    parser.add_argument("--sample", type=int, default=SAMPLE, help="places to break [%(default)s]")
    parser.add_argument("--all", action="store_true", help="break every place")
    parser.add_argument("--seed", type=int, default=SEED, help="of the sample [%(default)s]")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--remember", action="store_true", help="write which tests saw them, for CI to begin with"
    )
    options = parser.parse_args(arguments)
    lines = [where for where in options.where if ":" in where]
    rooms = [where for where in options.where if ":" not in where] or list(record.ROOMS)
    if unknown := set(rooms) - set(record.ROOMS):
        parser.error(f"unknown room {min(unknown)!r}: expected one of {', '.join(record.ROOMS)}")
    found = {room: places(room) for room in rooms}
    every = [place for inside in found.values() for place in inside]
    if lines:
        taken = [place for place in every if f"{place.path}:{place.line}" in lines]
    else:
        taken = every if options.all else drawn(found, options.seed)
    mutants = list(chosen(taken, len(every) if lines or options.all else options.sample))
    print(f"{len(mutants)} of {len(every)} places in {', '.join(rooms)}", flush=True)

    begin = time.monotonic()
    record.KEPT.mkdir(exist_ok=True)
    os.environ["PERFMODEL_CACHE_DIR"] = str(record.KEPT / "traces")
    running.start()
    scratch = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        session = Session(scratch, options.workers)
        results = judged(session, mutants)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.remember:
        remember(results)
    return summary(mutants, results, time.monotonic() - begin)


def judged(session: Session, mutants: Sequence[tuple[Place, str]]) -> list[Result]:
    """Return what becomes of each mutant, and print it."""
    # What is known to see a mutant has to pass without one.
    last = {session.results.seen_by.get(place.key, "") for place, _ in mutants} - {""}
    session.check(sorted(last))
    results = []
    with ThreadPoolExecutor(session.workers) as pool:
        for (place, changed), result in zip(
            mutants, pool.map(lambda mutant: session.meet(*mutant), mutants), strict=True
        ):
            results.append(result)
            told = f"{place} {result.seconds} s {result.seen_by}"
            print(f"killed   {told}" if result.seen_by else survivor(place, changed), flush=True)
    return results


def survivor(place: Place, changed: str) -> str:
    """Return what is printed of a mutant that no test saw: a row of survivors.md, but for why."""
    before, after = difference(code_of(place.path), changed)
    return f"SURVIVED {place} in {place.inside}\n| `{place.path}` | `{before}` | `{after}` |"


def summary(mutants: Sequence[tuple[Place, str]], results: Sequence[Result], seconds: float) -> int:
    """Print the shares by room and of all; return 1 if that is too little."""
    tried = Counter(place.room for place, _ in mutants)
    seen = Counter(
        place.room for (place, _), result in zip(mutants, results, strict=True) if result.seen_by
    )
    print(", ".join(f"{room} {seen[room]} of {of}" for room, of in tried.items()))
    share = seen.total() / max(1, len(mutants))
    print(f"{seen.total()} of {len(mutants)} killed ({share:.1%}) in {seconds:.0f} s")
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
