"""The pytest plugin: snapshots that report their shifts together, at the end of the run.

Use it with ``pytest_plugins = ["benchmarks.support.plugin"]`` in the top-level conftest.py or with
``-p``. It gives tests two fixtures, :func:`record_snapshot` and :func:`check_orphans`, prints the
report of shifts in pytest's summary, and appends it as Markdown to the file that
``GITHUB_STEP_SUMMARY`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from syrupy.assertion import SnapshotAssertion

from benchmarks.support import rendering
from benchmarks.support.extension import SNAPSHOT_DIRECTORY, ToleranceJSONExtension
from benchmarks.support.shifts import ESTIMATES, Findings, Record, shifts

_FINDINGS: Final = pytest.StashKey[Findings]()

RecordSnapshot: TypeAlias = Callable[[str, Mapping[str, Any]], None]
CheckOrphans: TypeAlias = Callable[[Iterable[str]], None]


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting, with the stored estimates as they are before any update."""
    root = config.rootpath / SNAPSHOT_DIRECTORY
    stored: dict[str, Mapping[str, Any]] = {}
    for path in sorted(root.glob(f"{ESTIMATES}/**/*.json")):
        document, _ = _parse(path.read_text(encoding="utf-8"))
        if document is not None:
            stored[_name(root, path)] = document
    config.stash[_FINDINGS] = Findings(stored=stored)


@pytest.fixture
def record_snapshot(request: pytest.FixtureRequest, snapshot: SnapshotAssertion) -> RecordSnapshot:
    """A function that holds a document against the stored one of that name.

    ``record_snapshot("estimates/vit_b_16/epyc_9654", document)`` fails the test where they differ
    by more than the tolerance, or none is stored; with ``--snapshot-update`` it stores the new one.
    """
    snapshot = snapshot.use_extension(ToleranceJSONExtension)
    findings = request.config.stash[_FINDINGS]

    def record(name: str, document: Mapping[str, Any]) -> None:
        accepted = snapshot(name=name) == document
        result = list(snapshot.executions.values())[-1]
        if result.asserted_data is None:
            pytest.fail(f"{name}: {result.exception}", pytrace=False)
        old, problem = _parse(result.recalled_data)
        new = json.loads(str(result.asserted_data))
        entry = Record(name, old, new, problem)
        findings.records.append(entry)
        if not accepted:
            pytest.fail(_message(entry, result.exception), pytrace=False)

    return record


@pytest.fixture
def check_orphans(request: pytest.FixtureRequest) -> CheckOrphans:
    """A function that fails the test for every stored file which is not among the expected names.

    It compares names alone, so it does not matter which tests were selected. With
    ``--snapshot-update`` the orphans are deleted.
    """
    root = request.config.rootpath / SNAPSHOT_DIRECTORY
    findings = request.config.stash[_FINDINGS]
    updating = bool(request.config.option.update_snapshots)

    def check(expected: Iterable[str]) -> None:
        known = set(expected)
        stored = {_name(root, path): path for path in root.rglob("*") if path.is_file()}
        orphans = sorted(stored.keys() - known)
        findings.orphans += orphans
        if updating:
            for name in orphans:
                _delete(stored[name], root)
        elif orphans:
            pytest.fail(
                f"{len(orphans)} stored but recorded by nothing: {', '.join(orphans)}. "
                f"If a model or CPU was removed on purpose: {rendering.ACCEPT_COMMAND}",
                pytrace=False,
            )

    return check


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the report of shifts, and append it to the step summary of GitHub Actions."""
    report = config.stash[_FINDINGS].report()
    if not report:
        return
    updated = bool(config.option.update_snapshots)
    writer = terminalreporter._tw
    terminalreporter.write_sep("=", "snapshot shifts")
    # Outside a terminal, pytest assumes 80 columns, where tables would break in every cell.
    width = writer.fullwidth if writer.hasmarkup else max(writer.fullwidth, 160)
    terminalreporter.write_line(
        rendering.terminal(report, updated=updated, width=width, color=writer.hasmarkup).rstrip()
    )
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(rendering.markdown(report, updated=updated) + "\n")


def _message(entry: Record, error: Exception | None) -> str:
    if error is not None:
        return f"{entry.name}: {error}"
    accept = f"To store it: {rendering.ACCEPT_COMMAND}"
    if entry.old is None:
        return f"{entry.name}: {entry.problem or 'no snapshot is stored'}. {accept}"
    rows = sorted(shifts(entry), key=lambda shift: shift.order)
    first = " ".join(text for text in rendering.cells(rows[0])[2:] if text)
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{entry.name} shifted: {first}{more}. See 'snapshot shifts' below. {accept}"


def _parse(text: object) -> tuple[dict[str, Any] | None, str]:
    """The stored document, or None and what is wrong with it."""
    if text is None:
        return None, ""
    try:
        document = json.loads(str(text))
    except ValueError as error:
        return None, f"the stored file is not JSON: {error}"
    if not isinstance(document, dict):
        return None, "the stored file holds no JSON object"
    return document, ""


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix().removesuffix(".json")


def _delete(path: Path, root: Path) -> None:
    path.unlink()
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            break
        folder.rmdir()
