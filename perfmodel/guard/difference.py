"""What ``perfmodel diff`` does: two results documents, however they came about, compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import PerfmodelError
from perfmodel.guard import results
from perfmodel.guard.changes import compare
from perfmodel.guard.documents import Document
from perfmodel.guard.gitrange import both_sides
from perfmodel.guard.report import Report
from perfmodel.guard.snapshots import FIGURES, Folder
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE

#: What problems of this kind begin with; they count as moved.
BROKEN: Final = "worked and now fails"


def read(path: Path) -> Document:
    """Return saved results, or a folder of snapshots as results.

    Raises:
        PerfmodelError: neither.
    """
    if not path.is_dir():
        return results.load(path)
    folder = Folder(path)
    names = folder.models()
    sources = sorted(file.stem for file in (path / FIGURES).glob("*.json"))
    if not names:
        raise PerfmodelError(f"{path}: holds no snapshots of perfmodel")
    return results.document(folder.run(names, sources))


def of_range(
    text: str,
    models: Sequence[str] | None,
    cpus: Sequence[str] | None,
    precisions: Sequence[str] | None,
    software: str | None,
) -> tuple[Document, Document]:
    """Return the results of both sides of a Git range; without CPUs, on one of each vendor.

    Raises:
        PerfmodelError: no model, or see :func:`perfmodel.guard.gitrange.both_sides`.
    """
    if not models:
        raise PerfmodelError(f"{text}: say what to trace: --models FILE.py:FUNCTION")
    from perfmodel.comparison import DEFAULT_CPUS

    asked = {
        "models": list(models),
        "cpus": list(cpus or DEFAULT_CPUS),
        "precisions": list(precisions or ("int8",)),
        "software": software,
    }
    return both_sides(text, asked)


def compare_results(
    old: Mapping[str, Any], new: Mapping[str, Any], limit: float | None = None
) -> Report:
    """Return what the new results have different from the old.

    Raises:
        PerfmodelError: there is nothing to say: no estimate that both have, and nothing that
            worked and now fails.
    """
    worked = {result["test"] for result in old["results"]} | set()
    broken = [
        f"{BROKEN}: {name}: {reason}"
        for name, reason in new["failures"].items()
        if name in worked and name not in old["failures"]
    ]
    others = [
        f"{name}: {reason}"
        for name, reason in new["failures"].items()
        if name not in worked or name in old["failures"]
    ]
    before, after = results.run_of(old, "the old results"), results.run_of(new, "the new results")
    allowance = (RELATIVE_TOLERANCE,) * 2 if limit is None else (math.inf, limit)
    allowed = {(r["model"], r["key"]): allowance for r in new["results"]}
    report = compare(before, after, allowed=allowed, problems=[*broken, *others])
    if not report.compared and not broken:
        reason = f": {others[0]}" if others else ""
        raise PerfmodelError(f"the two runs have no estimate in common{reason}")
    return report


def moved_beyond(report: Report, limit: float | None) -> bool:
    """Return whether anything moved beyond what is allowed, or worked and now fails.

    Args:
        limit: an increase up to this share is allowed, and every decrease; None allows nothing.
    """
    if any(problem.startswith(BROKEN) for problem in report.problems):
        return True
    if limit is None:
        return bool(report.moved or report.gone)
    return any(not move.ratio <= 1 + limit for move in report.moved)
