"""A comparison of two runs as text, as Markdown and as one self-contained HTML page.

All three say the same in the same order: what moved in one line, why, and then each shift once.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from perfmodel._text import markdown_table, significant
from perfmodel.guard.report import FIGURE, KINDS, MAPPING, MODEL, TRACER, Move, RecordShift, Report
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE
from perfmodel.guard.words import cut

#: Rows of one table, and lines of one list, before "... and N more".
ROWS: Final = 16
CAUSES: Final = 16
LINES: Final = 5
#: Records of one folder that have a line each.
_EACH: Final = 2
#: Columns of effects, and whether their cells are numbers.
COLUMNS: Final = (
    ("model", False), ("CPU", False), ("setting", False), ("was ms", True), ("is ms", True),
    ("change", True), ("most in", False), ("changed too", False),
)  # fmt: skip
_TITLES: Final = {
    FIGURE: "figures that were read",
    TRACER: "tracer",
    MAPPING: "mapping",
    MODEL: "model",
}


@dataclass(frozen=True)
class _Group:
    """Shifts alike in everything but where they are; ``first`` stands for them."""

    moves: tuple[Move, ...]

    @property
    def first(self) -> Move:
        return self.moves[0]

    def cells(self) -> tuple[str, ...]:
        def place(attribute: str) -> str:
            names = list(dict.fromkeys(getattr(move, attribute) for move in self.moves))
            return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"

        move = self.first
        part = f"{move.part} {_signed(move.part_ms)} ms" if move.part else ""
        note = "" if move.beyond else "within its tolerance"
        if move.beyond and move.allowed > RELATIVE_TOLERANCE:
            note = f"beyond the {move.allowed * 100:.3g} % allowed"
        old, new = _pair(move.old, move.new)
        return (
            place("model"), place("cpu"), place("setting"), old, new, _change(move), part,
            "; ".join(filter(None, (*move.labels, note))),
        )  # fmt: skip


def groups(moved: Sequence[Move]) -> list[_Group]:
    """Return the shifts, those of equal size and with the same reason to be looked at together."""
    alike: dict[tuple[object, ...], list[Move]] = {}
    for move in moved:
        key = (_change(move), move.part, move.labels, move.beyond, move.allowed)
        alike.setdefault(key, []).append(move)
    return [_Group(tuple(moves)) for moves in alike.values()]


def text(report: Report, *, accept: str = "", updated: bool = False, color: bool = False) -> str:
    """Return the report for a terminal: under 60 lines, whatever moved."""
    bold = (lambda line: f"\x1b[1m{line}\x1b[0m") if color else str
    lines = [bold(_headline(report, updated))]
    for title, items in _sections(report, updated):
        lines += ["", bold(title), *(f"  {item}" for item in items)]
    table = _rows(report)
    if table:
        lines += ["", bold("Effects"), *_aligned([tuple(c for c, _ in COLUMNS), *table])]
        if more := _more(report):
            lines.append(f"  {more}")
    if said := _advice(report, accept, updated):
        lines += ["", said]
    return "\n".join(lines) + "\n"


def markdown(report: Report, *, accept: str = "", updated: bool = False) -> str:
    """Return the report in GitHub's Markdown; long lists are folded away."""
    lines = ["### Latency estimates", "", f"**{escaped(_headline(report, updated))}**"]
    for title, items in _sections(report, updated):
        lines += ["", f"**{title}**", "", *(f"- {escaped(item)}" for item in items)]
    table = _rows(report)
    if table:
        body = markdown_table(
            [name for name, _ in COLUMNS], table, [not number for _, number in COLUMNS], escaped
        )
        count = f"<summary>Effects: {_rows_said(report)}</summary>"
        lines += ["", "<details open>", count, "", body, *filter(None, [_more(report)])]
        lines += ["</details>"]
    if said := _advice(report, f"`{accept}`" if accept else "", updated):
        lines += ["", said]
    return "\n".join(lines) + "\n"


def page(report: Report, *, title: str = "Latency estimates") -> str:
    """Return the report as one HTML page that loads nothing."""
    parts = [f"<p class=headline>{html.escape(_headline(report))}</p>"]
    for name, items in _sections(report):
        listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
        parts.append(f"<h2>{html.escape(name)}</h2><ul>{listed}</ul>")
    if report.moved:
        head = "".join(
            f"<th{_align(number)} scope=col>{html.escape(name)}</th>" for name, number in COLUMNS
        )
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td{_align(number)}>{html.escape(cell)}</td>"
                for cell, (_, number) in zip(group.cells(), COLUMNS, strict=True)
            )
            + "</tr>"
            for group in groups(report.moved)
        )
        parts.append(
            "<h2>Effects</h2><div class=wide><table>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
       padding: 0 1rem }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.05rem; margin-top: 1.6rem }}
.headline {{ font-weight: 600 }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: left;
          white-space: nowrap }}
.number {{ text-align: right }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


# -- what all three say ----------------------------------------------------------------------------


def _headline(report: Report, updated: bool = False) -> str:
    line = report.headline
    if updated:
        line = line.replace(" not recorded yet", " recorded for the first time")
    return line[:1].upper() + line[1:]


def _sections(report: Report, updated: bool = False) -> Iterable[tuple[str, list[str]]]:
    if report.problems:
        yield "Cannot be compared", cut(report.problems, LINES)
    causes: list[str] = []
    for kind in KINDS:
        causes += [f"{_TITLES[kind]}: {c.text}" for c in report.causes if c.kind == kind]
    if causes:
        yield "Causes", cut(causes, CAUSES)
    if report.flips:
        yield "Rankings flipped", cut(report.flips, LINES)
    if report.followed:
        yield "What follows", cut(_followed(report), LINES)
    if report.added:
        yield "Recorded" if updated else "Not recorded yet", cut(report.added, LINES)
    if report.gone:
        yield "Recorded, but no longer estimated", cut(report.gone, LINES)


def _followed(report: Report) -> list[str]:
    """Records that moved: one line each, or one for a folder of many."""
    folders: dict[str, list[RecordShift]] = {}
    for shift in report.followed:
        folders.setdefault(shift.name.partition("/")[0], []).append(shift)
    lines = []
    for folder, shifts in folders.items():
        if len(shifts) > _EACH:
            first = shifts[0]
            lines.append(f"{folder}: {len(shifts)} moved, most of all {first.name}: {first.most}")
            continue
        for shift in shifts:
            more = f", and {shift.places - 1} more" if shift.places > 1 else ""
            lines.append(f"{shift.name}: {shift.most}{more}")
    return lines


def _rows(report: Report) -> list[tuple[str, ...]]:
    return [group.cells() for group in groups(report.moved)[:ROWS]]


def _rows_said(report: Report) -> str:
    number = len(report.moved)
    return f"{number} estimate{'s' * (number != 1)} moved"


def _more(report: Report) -> str:
    hidden = groups(report.moved)[ROWS:]
    if not hidden:
        return ""
    number = sum(len(group.moves) for group in hidden)
    return f"... and {number} more, each by {_change(hidden[0].first).lstrip('+-')} or less"


def _advice(report: Report, accept: str, updated: bool) -> str:
    if updated:
        return "Accepted. Review the change of the snapshots like code before committing it."
    if not accept or not (report.moved or report.added or report.followed):
        return ""
    return f"To {'accept' if report.moved or report.followed else 'record'}: {accept}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = [number for _, number in COLUMNS]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in rows
    ]


def _change(move: Move) -> str:
    if math.isnan(move.ratio):
        return "not a number"
    change = (move.ratio - 1) * 100
    return f"{change:+.1f} %" if abs(change) >= 0.1 else f"{change:+.1g} %"


def _pair(old: float, new: float) -> tuple[str, str]:
    """Both as text, with as many digits as it takes to tell them apart."""
    for digits in range(3, 18):
        pair = significant(old, digits), significant(new, digits)
        if pair[0] != pair[1]:
            break
    return pair


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.2g}"


def _align(number: bool) -> str:
    return " class=number" if number else ""


def escaped(cell: str) -> str:
    """Return a text that GitHub's Markdown shows as it is."""
    for sign in ("\\", "|", "*", "_", "`", "<", "[", "~", "#", "@"):
        cell = cell.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return cell
