"""The shift report as terminal text and as Markdown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.support.shifts import Shift, ShiftReport
from benchmarks.support.tolerance import ABSENT

#: What accepts every shift, and stores what is missing.
ACCEPT_COMMAND: Final = "nox -s benchmarks -- --snapshot-update"
#: Rows shown of each section.
ROWS: Final = 30
COLUMNS: Final = ("model", "CPU", "precision", "figure", "old -> new", "change", "note")

TITLES: Final = {
    "tracer": "TRACER: what a model asks for changed",
    "follows": "ESTIMATES of models whose workload changed as well: look at the tracer first",
    "mapping": "MODEL: estimates changed, their workloads did not (mapping or machine figures)",
    "untold": "ESTIMATES changed; their workloads were not compared in this run",
}


def sections(report: ShiftReport) -> Iterator[tuple[str, tuple[Shift, ...], int]]:
    """Title, the rows to show and how many more there are, for each section that has any."""
    for name, title in TITLES.items():
        rows: tuple[Shift, ...] = getattr(report, name)
        if rows:
            yield title, rows[:ROWS], max(0, len(rows) - ROWS)


def cells(shift: Shift) -> tuple[str, ...]:
    """The row as text, one item for each of :data:`COLUMNS`."""
    old, new = pair(shift.old, shift.new)
    change = "" if shift.percent is None else f"{shift.percent:+.3g} %"
    return (
        shift.model, shift.cpu, shift.precision, shift.figure,
        f"{old} -> {new}", change, shift.note,
    )  # fmt: skip


def pair(old: object, new: object) -> tuple[str, str]:
    """Both values as text, with as many digits as it takes to tell two floats apart."""
    if isinstance(old, float) and isinstance(new, float):
        for digits in range(5, 18):
            texts = f"{old:.{digits}g}", f"{new:.{digits}g}"
            if texts[0] != texts[1]:
                return texts
    return _text(old), _text(new)


def _text(value: object) -> str:
    if value is ABSENT:
        return "(none)"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict | list):
        return f"({len(value)} entries)"
    return str(value)


def names(title: str, listed: tuple[str, ...]) -> Iterator[str]:
    """A plain list under a title, cut like the tables."""
    if listed:
        yield title
        yield from (f"  {name}" for name in listed[:ROWS])
        if len(listed) > ROWS:
            yield f"  ... and {len(listed) - ROWS} more"


def _lists(report: ShiftReport) -> Iterator[str]:
    yield from names("NOT STORED: no snapshot to compare with", report.missing)
    yield from names(
        "ORPHANED: stored, but recorded by nothing (a model or a CPU was removed?)", report.orphans
    )


def advice(updated: bool) -> str:
    """What to do next: accept, or review what was accepted."""
    if updated:
        return "Accepted. Review the change of snapshots/ like code before committing it."
    return f"To accept all of this: {ACCEPT_COMMAND} (then review the change of snapshots/)"


def terminal(report: ShiftReport, *, updated: bool, width: int = 160, color: bool = False) -> str:
    """The report as text, ``width`` columns at most."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=color, highlight=False)
    console.print(f"Verdict: {report.verdict}", markup=False)
    for title, rows, more in sections(report):
        table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for column in COLUMNS:
            table.add_column(
                column,
                justify="right" if column == "change" else "left",
                overflow="fold",
                no_wrap=column in ("precision", "change"),
            )
        for shift in rows:
            table.add_row(*(text.replace("[", r"\[") for text in cells(shift)))
        console.print(f"\n{title}", markup=False)
        console.print(table)
        if more:
            console.print(f"... and {more} more shifts", markup=False)
    for line in _lists(report):
        console.print(line, markup=False)
    console.print(f"\n{advice(updated)}", markup=False)
    return stream.getvalue()


def markdown(report: ShiftReport, *, updated: bool) -> str:
    """The same report as GitHub-flavoured Markdown."""
    lines = ["### Snapshot shifts", "", f"Verdict: {_escape(report.verdict)}"]
    for title, rows, more in sections(report):
        lines += ["", f"**{title}**", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [_row(cells(shift)) for shift in rows]
        if more:
            lines += ["", f"... and {more} more shifts"]
    listed = list(_lists(report))
    if listed:
        lines += ["", "```text", *listed, "```"]
    return "\n".join([*lines, "", advice(updated).replace(ACCEPT_COMMAND, f"`{ACCEPT_COMMAND}`")])


def _row(texts: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(map(_escape, texts)) + " |"


def _escape(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")
