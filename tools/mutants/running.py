"""Runs of pytest in copies of the project, each in a process that has imported what is slow."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tools.mutants.places import PROJECT, Place

#: New processes come from one that has imported what is slow to import and is never broken.
_SERVER: Final = multiprocessing.get_context("forkserver")
_IMPORTED: Final = ["hypothesis", "numpy", "pydantic", "pytest", "rich", "scipy.optimize", "torch"]
#: Seconds after which a run that waits for something is ended.
WAIT_S: Final = 900
#: What a run may allocate: a size gone wrong must not take the machine.
LARGEST_BYTES: Final = 6 * 2**30


def start() -> None:
    """Prepare the process that the others come from."""
    os.environ |= {"OMP_NUM_THREADS": "1", "CI": "true"}
    _SERVER.set_forkserver_preload(_IMPORTED)


def tracked() -> list[str]:
    """Return what git tracks, and what is new beside it, as paths within the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name for name in listed.stdout.splitlines() if (PROJECT / name).is_file())


def copied(folder: Path) -> None:
    """Copy the project into ``folder``."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, folder / name)


def digest(names: Iterable[str]) -> str:
    """Return a digest of these files of the project, names and contents."""
    told = hashlib.sha256()
    for name in names:
        told.update(name.encode() + b"\0" + (PROJECT / name).read_bytes() + b"\0")
    return told.hexdigest()[:16]


def recorded(folder: Path, test_file: str, into: Path) -> bool:
    """Run a test file in the copy ``folder`` and record it; whether it passes."""
    return _finished(folder, [test_file], ("Recorder", folder / "perfmodel", into)) == 0


def failing(folder: Path, seconds: Mapping[str, float]) -> str | None:
    """Run these tests in the copy ``folder``; return which fails or never ends, None if they pass.

    Args:
        folder: a copy of the project.
        seconds: by test, what it takes without a mutant.
    """
    current = folder / ".current"
    # What cannot be imported fails the first.
    current.write_text(next(iter(seconds)), "utf-8")
    # No file is given that is not there: pytest would end with an error.
    files = dict.fromkeys(name.partition("::")[0] for name in seconds)
    there = [name for name in files if (folder / name).is_file()]
    if not there:
        return None
    code = _finished(folder, there, ("Chooser", dict(seconds), current))
    # 5: none of these tests is there.
    return None if code in (0, 5) else current.read_text("utf-8")


def meets(place: Place, changed: str, folder: Path, number: int, *runs: Mapping[str, float]) -> str:
    """Put ``changed`` in a place's file in ``folder``; return the first test that fails, or ""."""
    file = folder / place.path
    code, written = file.read_text("utf-8"), int(file.stat().st_mtime)
    file.write_text(changed, "utf-8")
    # Python tells by size and time whether what it compiled before is of this text.
    os.utime(file, (written + 1 + number, written + 1 + number))
    try:
        return next((seen for run in runs if (seen := failing(folder, run))), "")
    finally:
        file.write_text(code, "utf-8")
        os.utime(file, (written, written))


def _finished(folder: Path, files: Sequence[str], plugin: tuple[Any, ...]) -> int | None:
    """Exit code of pytest on ``files``; of one that had to be ended, not 0."""
    run = _SERVER.Process(target=_pytest, args=(folder, files, plugin))
    run.start()
    run.join(WAIT_S)
    if run.exitcode is None:
        run.kill()
        run.join()
    return run.exitcode


def _pytest(folder: Path, files: Sequence[str], plugin: tuple[Any, ...]) -> None:
    """Run pytest in this new process, and end it with pytest's exit code."""
    import pytest

    from tools.mutants import plugin as plugins

    resource.setrlimit(resource.RLIMIT_DATA, (LARGEST_BYTES, LARGEST_BYTES))
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(PROJECT))]
    log = os.open(folder / ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    made = getattr(plugins, plugin[0])(*plugin[1:])
    # Fewer examples, and none made small: that one fails is all there is to know.
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = int(pytest.main([*options, *files], plugins=[made]))
    # What a mutant has left running, a thread or a pool, is not waited for.
    os._exit(code)
