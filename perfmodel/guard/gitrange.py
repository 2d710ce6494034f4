"""Both sides of a Git range, estimated in two work trees of their own.

Nothing of the user's checkout is touched. Each side runs in a process of its own, in its tree and
with that tree first on Python's path, so that both use the sources of their commit; what is not
committed is not seen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from perfmodel.errors import PerfmodelError
from perfmodel.guard import results
from perfmodel.guard.documents import Document


class GitError(PerfmodelError):
    """A range that cannot be compared; the message says what Git or the estimate said."""


def is_range(text: str) -> bool:
    """Return whether ``text`` is written as a Git range, and is no path."""
    return ".." in text and not Path(text).exists() and not text.startswith((".", "/"))


def both_sides(text: str, asked: Mapping[str, Any]) -> tuple[Document, Document]:
    """Return the results documents of the two commits of ``text``: ``A..B``, or ``A...B``.

    Three dots begin at the merge base, as a pull request does. A side that is left out is HEAD.

    Args:
        text: the range.
        asked: what :func:`perfmodel.guard.collect.collect` takes.

    Raises:
        GitError: no repository, no such commit, or a side that cannot be estimated.
    """
    dots = "..." if "..." in text else ".."
    first, _, second = text.partition(dots)
    start, end = commit_of(first or "HEAD"), commit_of(second or "HEAD")
    if dots == "...":
        start = _git("merge-base", start, end)
    inside = prefix()
    sides = (start, first or "HEAD"), (end, second or "HEAD")
    old, new = (_side(commit, shown, inside, asked) for commit, shown in sides)
    return old, new


@contextmanager
def tree_of(commit: str) -> Iterator[tuple[Path, Path]]:
    """Give a work tree of ``commit``, and a folder beside it; both are gone afterwards.

    Raises :class:`GitError` where Git cannot make it.
    """
    folder = Path(tempfile.mkdtemp(prefix="perfmodel-diff-"))
    tree = folder / "tree"
    try:
        _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        yield tree, folder
    finally:
        subprocess.run(
            ["git", "worktree", "remove", "--force", str(tree)], capture_output=True, check=False
        )
        shutil.rmtree(folder, ignore_errors=True)


def prefix() -> str:
    """Return where the current folder is in its repository; empty for the top."""
    return _git("rev-parse", "--show-prefix")


def environment(*places: Path) -> dict[str, str]:
    """Return this process's environment with ``places`` first on Python's path."""
    path = [*map(str, places), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _side(commit: str, shown: str, inside: str, asked: Mapping[str, Any]) -> Document:
    with tree_of(commit) as (tree, folder):
        asked_file, target = folder / "asked.json", folder / "results.json"
        asked_file.write_text(json.dumps(dict(asked)), encoding="utf-8")
        place = tree / inside
        if not place.is_dir():
            raise GitError(f"{shown}: has no folder {inside}")
        done = subprocess.run(
            [sys.executable, "-m", "perfmodel.guard.collect", str(asked_file), str(target)],
            cwd=place, env=environment(place, tree), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not target.is_file():
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise GitError(f"{shown} ({commit[:12]}): cannot be estimated: {lines[-1]}")
        return results.load(target)


def commit_of(name: str) -> str:
    """Return the commit that ``name`` stands for; raises :class:`GitError` for none."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitError as error:
        raise GitError(f"{name}: {error or 'no such commit'}") from None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise GitError(said[-1] if said else "no such commit")
    return done.stdout.strip()
