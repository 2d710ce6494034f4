"""Exploring a space: chunk by chunk, here or on a Dask cluster, so that it can be resumed."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perfmodel._files import write_atomically
from perfmodel._version import __version__
from perfmodel.errors import NotInstalled, PerfmodelError
from perfmodel.exploration import chunks
from perfmodel.exploration.chunks import Work
from perfmodel.exploration.results import MANIFEST, Results, open_results
from perfmodel.exploration.space import BLOCK, RESULTS, Cell, Space, check_columns, read_space
from perfmodel.machine import load_machine
from perfmodel.resolve import resolve_model

#: Most variants of a chunk: some tenths of a second of work, some megabytes (docs/scale.md).
CHUNK: Final = 4 * BLOCK
#: How many chunks a space is divided into before they become larger: with few, some threads or
#: workers have nothing left to do while others are at their last.
_CHUNKS: Final = 64
#: Threads beyond which they wait for each other, and together need more than 500 MB.
_THREADS: Final = 8
#: Points that are evaluated without asking.
FREE: Final = 100_000_000
#: How long a scheduler may take to answer.
_PATIENCE_S: Final = 10.0
#: Variants whose time stands for all others'.
_PROBE: Final = 500


@dataclass(frozen=True)
class Progress:
    """How far an exploration is.

    Attributes:
        done, points: variants.
        seconds_left: at the pace since it began; None before the first chunk.
    """

    done: int
    points: int
    seconds_left: float | None


def explore(
    space: Space | str | os.PathLike[str] | Mapping[str, Any],
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    yes: bool = False,
    scheduler: str | Any = None,
    workers: int | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> Results:
    """Evaluate every point of a space, and keep the rows as Parquet files in a folder.

    Args:
        space: a TOML file, a mapping of the same form, or what :func:`read_space` made of one.
        output: the folder; it must be empty unless ``resume``.
        resume: keep chunks that are there already, and evaluate the others.
        yes: whether more than :data:`FREE` points are meant.
        scheduler: address of a Dask scheduler, or a client; None for threads of this process.
        workers: threads; by default as many as there are cores, at most eight.
        tell: told of every chunk.

    Raises:
        PerfmodelError: a folder that is not empty, of another space, or cannot be written; too many
            points; a scheduler that cannot be reached.
        UnknownName, MachineError, TraceError: a space that does not fit.
        NotInstalled: without pyarrow, or without Dask where there is a scheduler.
    """
    chunks.arrow()
    if not isinstance(space, Space):
        space = read_space(space)
    folder = Path(output)
    work = _works(space)
    # Faults of expressions and objectives show before anything is written.
    first = next(iter(work.values()))
    probed = time.perf_counter()
    count = min(_PROBE, space.variants(space.cells[0]))
    found = chunks.columns(first, 0, count)
    seconds = (time.perf_counter() - probed) / count
    check_columns(space, list(found))
    for each in work.values():
        chunks.columns(each, 0, 1)
    if space.points > FREE and not yes:
        raise PerfmodelError(
            f"{space.points:,} points take some {_duration(space.points * seconds)} on one core: "
            "narrow the space, or ask for it all the same (--yes)"
        )
    _prepare(folder, space, resume)
    there = {file.name for file in folder.glob("part-*.parquet")}
    wanted = (task for task in _tasks(space) if task.file not in there)
    done = sum(task.stop - task.start for task in _tasks(space) if task.file in there)
    began, before = time.perf_counter(), done
    if tell is not None:
        tell(Progress(done, space.points, None))
    run = _threads(work, wanted, workers) if scheduler is None else _dask(work, wanted, scheduler)
    for task, content in run:
        _write(folder / task.file, content)
        done += task.stop - task.start
        if tell is not None:
            pace = (time.perf_counter() - began) / max(1, done - before)
            tell(Progress(done, space.points, pace * (space.points - done)))
    return open_results(folder)


@dataclass(frozen=True)
class _Task:
    """One chunk: of which cell, from which variant to which."""

    cell: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        return f"part-{self.cell:05d}-{self.start:015d}.parquet"


def _tasks(space: Space) -> Iterator[_Task]:
    """The chunks of a space; which, depends on the space alone."""
    even = max(1, space.points // (_CHUNKS * BLOCK)) * BLOCK
    step = min(CHUNK, even)
    for number, cell in enumerate(space.cells):
        variants = space.variants(cell)
        for start in range(0, variants, step):
            yield _Task(number, start, min(start + step, variants))


def _works(space: Space) -> dict[int, Work]:
    """What each cell is evaluated with; every model is traced once for all its batches."""
    metadata = {"perfmodel": __version__, "space": space.digest, "seed": str(space.seed)}
    found: dict[int, Work] = {}
    sources: dict[tuple[str, str | None, int | None, int | None], Any] = {}
    batches = sorted({cell.scenario.batch or 1 for cell in space.cells})
    for number, cell in enumerate(space.cells):
        run = cell.scenario
        key = (cell.model, run.phase, run.tokens, run.context)
        if key not in sources:
            sources[key] = resolve_model(cell.model, run)
            sources[key].prepare(batches)
        found[number] = _work(space, cell, sources[key].workload(run.batch), metadata)
    return found


def _work(space: Space, cell: Cell, workload: Any, metadata: Mapping[str, str]) -> Work:
    return Work(
        cell={**cell.columns, "model": workload.name},
        workload=workload,
        machine=load_machine(cell.cpu),
        scenario=cell.scenario,
        grid=space.grid,
        drawn=space.drawn[cell.cpu],
        samples=space.samples,
        seed=space.seed,
        derived=space.derived,
        constraints=space.constraints,
        metadata=metadata,
    )


def _prepare(folder: Path, space: Space, resume: bool) -> None:
    """Make the folder this space's, or refuse it."""
    manifest = folder / MANIFEST
    if manifest.exists():
        try:
            stated = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stated = None
        if not isinstance(stated, dict):
            raise PerfmodelError(f"{manifest}: cannot be read; choose another folder")
        if stated.get("digest") != space.digest or stated.get("version") != __version__:
            raise PerfmodelError(
                f"{folder}: holds results of another space, catalogue or version; choose another "
                "folder"
            )
        if not resume:
            raise PerfmodelError(f"{folder}: holds results already; go on with them (--resume)")
        return
    try:
        if folder.exists() and any(folder.iterdir()):
            raise PerfmodelError(f"{folder}: not empty, and no results of an exploration")
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "version": __version__,
            "digest": space.digest,
            "seed": space.seed,
            "points": space.points,
            "cells": [dict(cell.columns) for cell in space.cells],
            "figures": [
                *space.grid,
                *dict.fromkeys(d.path for v in space.drawn.values() for d in v),
            ],
            "results": [*RESULTS, *space.derived],
            "minimise": list(space.minimise),
            "maximise": list(space.maximise),
            "space": dict(space.source),
        }
        write_atomically(manifest, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise PerfmodelError(f"{folder}: cannot be written: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PerfmodelError(
            f"{path}: cannot be written: {error.strerror}; what is there stays, go on with --resume"
        ) from None


def _threads(
    work: Mapping[int, Work], tasks: Iterable[_Task], workers: int | None
) -> Iterator[tuple[_Task, bytes]]:
    """Yield chunks as threads of this process are done with them."""
    count = workers or min(_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(count) as pool:
        try:
            yield from _in_turn(
                tasks,
                count + 2,  # beside what is under way, one to write and one to begin
                lambda task: pool.submit(chunks.parquet, work[task.cell], task.start, task.stop),
                lambda futures: wait(futures, return_when=FIRST_COMPLETED).done,
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _dask(
    work: Mapping[int, Work], tasks: Iterable[_Task], scheduler: str | Any
) -> Iterator[tuple[_Task, bytes]]:
    """Yield chunks as workers are done with them; Dask gives a lost worker's to others."""
    try:
        import distributed
    except ImportError:
        raise NotInstalled("distributed", "dask") from None
    own = isinstance(scheduler, str)
    try:
        client: Any = distributed.Client(scheduler, timeout=_PATIENCE_S) if own else scheduler
    except (OSError, ValueError) as error:
        raise PerfmodelError(
            f"{scheduler}: no Dask scheduler answers there ({type(error).__name__})"
        ) from None
    try:
        # Tasks rather than scattered data, which a lost worker takes with it for good.
        shared = {cell: client.submit(_itself, each, pure=False) for cell, each in work.items()}
        yield from _in_turn(
            tasks,
            4 * max(1, len(client.scheduler_info()["workers"])),
            lambda task: client.submit(
                chunks.parquet, shared[task.cell], task.start, task.stop, pure=False
            ),
            lambda futures: distributed.wait(futures, return_when="FIRST_COMPLETED").done,
        )
    finally:
        if own:
            client.close()


def _in_turn(
    tasks: Iterable[_Task],
    ahead: int,
    submit: Callable[[_Task], Any],
    first_of: Callable[[list[Any]], Iterable[Any]],
) -> Iterator[tuple[_Task, bytes]]:
    """Yield chunks as they are done, with no more than ``ahead`` under way."""
    waiting = iter(tasks)
    running: dict[Any, _Task] = {}
    while True:
        for task in itertools.islice(waiting, ahead - len(running)):
            running[submit(task)] = task
        if not running:
            return
        for future in first_of(list(running)):
            yield running.pop(future), future.result()


def _itself(work: Work) -> Work:
    return work


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} seconds"
