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
from collections.abc import Mapping
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
    start, end = _commit(first or "HEAD"), _commit(second or "HEAD")
    if dots == "...":
        start = _git("merge-base", start, end)
    inside = _git("rev-parse", "--show-prefix")
    return _side(start, first or "HEAD", inside, asked), _side(end, second or "HEAD", inside, asked)


def _side(commit: str, shown: str, inside: str, asked: Mapping[str, Any]) -> Document:
    folder = Path(tempfile.mkdtemp(prefix="perfmodel-diff-"))
    tree = folder / "tree"
    try:
        _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        asked_file, target = folder / "asked.json", folder / "results.json"
        asked_file.write_text(json.dumps(dict(asked)), encoding="utf-8")
        place = tree / inside
        if not place.is_dir():
            raise GitError(f"{shown}: has no folder {inside}")
        path = [str(place), str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
        command = [sys.executable, "-m", "perfmodel.guard.collect", str(asked_file), str(target)]
        done = subprocess.run(
            command, cwd=place, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not target.is_file():
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise GitError(f"{shown} ({commit[:12]}): cannot be estimated: {lines[-1]}")
        return results.load(target)
    finally:
        subprocess.run(
            ["git", "worktree", "remove", "--force", str(tree)], capture_output=True, check=False
        )
        shutil.rmtree(folder, ignore_errors=True)


def _commit(name: str) -> str:
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
