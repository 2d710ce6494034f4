"""Text for people and for programs: tables, Markdown, CSV, JSON; what goes to which stream."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import typer

from perfmodel._text import escaped_markdown, markdown_table, percent
from perfmodel.cli import plain

#: Width of a table that goes to a file or pipe and has no COLUMNS to obey.
PIPED_WIDTH: Final = 100
#: More columns than any table has.
UNLIMITED: Final = 10_000
#: A column that wraps gets no narrower than this.
FOLDED: Final = 12

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its header (units included; may have two lines) and its alignment.

    ``wraps`` lets its cells break over lines where the terminal is narrow. A table too wide for
    the terminal is divided into several, of which each begins with the ``key`` columns; without
    any, with the first column.
    """

    header: str
    justify: Literal["left", "right"] = "right"
    wraps: bool = False
    key: bool = False


@dataclass
class Table:
    """Cells as text; ``sections`` are the row numbers that start a new group."""

    columns: Sequence[Column]
    title: str = ""
    caption: str = ""
    rows: list[Sequence[str]] = field(default_factory=list)
    sections: set[int] = field(default_factory=set)

    def add(self, *cells: str, section: bool = False) -> None:
        """Append a row; with ``section``, as the first of a group."""
        if section:
            self.sections.add(len(self.rows))
        self.rows.append(cells)

    def markdown(self) -> str:
        """The table as Markdown (GitHub's dialect)."""
        table = markdown_table(
            [column.header for column in self.columns],
            self.rows,
            [column.justify == "left" for column in self.columns],
        )
        title = f"**{self.title}**\n\n" if self.title else ""
        caption = f"\n{self.caption}\n" if self.caption else ""
        return title + table + caption

    def text(self) -> str:
        """The table for a terminal, or for a file where stdout is none."""
        title = _paragraph(self.title, "bold")
        caption = _paragraph(self.caption, "dim")
        return title + "\n".join(part._lines() for part in self._parts()) + caption

    def _parts(self) -> list[Table]:
        """The table itself, or where the terminal is too narrow its columns as several tables."""
        # On its way to a file a table is as wide as it likes.
        if not _has_width() or self._least_width() <= _width():
            return [self]
        keys = [i for i, column in enumerate(self.columns) if column.key] or [0]
        parts: list[Table] = []
        chosen = list(keys)
        for index in (i for i in range(len(self.columns)) if i not in keys):
            wider = self._only([*chosen, index])
            if len(chosen) > len(keys) and wider._least_width() > _width():
                parts.append(self._only(chosen))
                chosen = list(keys)
            chosen.append(index)
        return [*parts, self._only(chosen)]

    def _only(self, chosen: Sequence[int]) -> Table:
        rows = [[cells[index] for index in chosen] for cells in self.rows]
        columns = [self.columns[index] for index in chosen]
        return Table(columns, rows=list(rows), sections=self.sections)

    def _lines(self) -> str:
        if _is_plain():
            headers = [column.header for column in self.columns]
            left = [column.justify == "left" for column in self.columns]
            lines = plain.table(headers, left, self.rows, self.sections)
            if lines is not None:
                return lines
        return self._rich_lines()

    def _rich_lines(self) -> str:
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(
            header_style="bold",
            box=box.SIMPLE_HEAD if _speaks_utf8() else box.ASCII2,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for column in self.columns:
            table.add_column(
                column.header,
                justify=column.justify,
                no_wrap=not column.wraps,
                overflow="fold",
            )
        for number, cells in enumerate(self.rows):
            if number in self.sections and number:
                table.add_row()
            table.add_row(*(_unmarked(cell) for cell in cells))
        least = self._least_width() if _has_width() else UNLIMITED
        return to_text(table, at_least=least)

    def _least_width(self) -> int:
        """Columns below which cells would be cropped; a figure without its end is a wrong one."""
        widths = [
            max(len(line) for cell in cells for line in cell.split("\n"))
            for cells in zip([c.header for c in self.columns], *self.rows, strict=True)
        ]
        return sum(
            (min(width, FOLDED) if column.wraps else width) + 2
            for column, width in zip(self.columns, widths, strict=True)
        )


@dataclass
class Facts:
    """Lines of text, each with the same number of labels before it."""

    rows: Sequence[tuple[str, ...]]
    title: str = ""

    def markdown(self) -> str:
        """A list with one item per line."""
        title = f"**{self.title}**\n\n" if self.title else ""
        items = (f"- {' '.join(labels)}: {escaped_markdown(text)}\n" for *labels, text in self.rows)
        return title + "".join(items)

    def text(self) -> str:
        """The labels as columns (a first label like the one above is left out), then the text."""
        above = ["", *(first for first, *_ in self.rows)]
        rows = [
            ("" if first == before else first, *rest)
            for before, (first, *rest) in zip(above, self.rows, strict=False)
        ]
        lines = plain.facts(rows, PIPED_WIDTH) if _is_plain() else None
        return _paragraph(self.title, "bold") + (_rich_facts(rows) if lines is None else lines)


def emit(text: str) -> None:
    """Write ``text`` to stdout, whole; a reader that has gone away ends the program quietly."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"perfmodel: error: cannot write the output: {error.strerror}", file=sys.stderr)
        raise typer.Exit(1) from None


def note(text: str) -> None:
    """Tell the reader something that is not data."""
    print(f"note: {text}", file=sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """What tells which model is being loaded: a status line if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("loading") as status:
        yield lambda text: status.update(f"loading {text} (tracing takes seconds, once)")


def show(
    format: str,
    records: Callable[[], Any],
    blocks: Callable[[], Sequence[Table | Facts]],
) -> None:
    """Print ``records()`` as JSON or CSV, or ``blocks()`` as text or Markdown.

    JSON takes any structure; CSV takes a list of flat records, of which it drops nested objects.
    """
    if format == "json":
        emit(json_text(records()))
    elif format == "csv":
        emit(csv_text(records()))
    elif format == "markdown":
        emit("\n".join(block.markdown() for block in blocks()))
    else:
        emit("\n".join(block.text() for block in blocks()))


def json_text(value: Any) -> str:
    """JSON with floats in full; raises ValueError for NaN and infinities, which JSON lacks."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def csv_text(records: Sequence[Record]) -> str:
    """Header and one line per record; lists are joined by "; ", nested objects left out."""
    buffer = io.StringIO()
    names = list(
        dict.fromkeys(
            name
            for record in records
            for name, value in record.items()
            if not isinstance(value, Mapping)
        )
    )
    import csv

    writer = csv.DictWriter(buffer, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _csv_cell(value) for name, value in record.items()})
    return buffer.getvalue()


def to_text(renderable: Any, *, at_least: int = 0) -> str:
    """A Rich renderable as text for stdout: coloured only if that is a terminal that wants it.

    It is as wide as the terminal, or COLUMNS, or else :data:`PIPED_WIDTH`; or as ``at_least``.
    """
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        force_terminal=True if sys.stdout.isatty() else None,
        width=None if _has_width() else PIPED_WIDTH,
        highlight=False,
    )
    console.width = max(console.width, at_least)
    with console.capture() as captured:
        console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def power(basis: str) -> str:
    """A row's power basis as prose: ``tdp (usage power)`` is a rating called usage power."""
    if "(" in basis:
        return basis.removeprefix("tdp (").removesuffix(")")
    return "TDP" if basis == "tdp" else f"{basis} power"


def certainty(estimates: Iterable[Any]) -> str:
    """How far off estimates may be, once for all that are alike; nothing of published ones."""
    stated: dict[str, dict[str, None]] = {}
    for estimate in estimates:
        if getattr(estimate, "provenance", None) is not None:
            stated.setdefault(_stated(estimate), {})[estimate.cpu] = None
    if len(stated) == 1:
        return f" {next(iter(stated))}; see docs/fidelity.md."
    parts = (f" {text} ({', '.join(cpus)})." for text, cpus in stated.items())
    return "".join(parts)


def _stated(estimate: Any) -> str:
    """An estimate's interval and what it rests on, in words."""
    low, high = estimate.latency_low_ms, estimate.latency_high_ms
    if low is None or high is None:
        return "A bound, no prediction: no software reaches it"
    less, more = estimate.latency_ms / low, high / estimate.latency_ms
    factor = f"{more:.1f} times either way"
    if f"{less:.1f}" != f"{more:.1f}":
        factor = f"{less:.1f} times less to {more:.1f} times more"
    points, machines = estimate.evidence_points, estimate.evidence_machines
    on = f"{machines} machine" + ("" if machines == 1 else "s")
    behind = f"by {points} points on {on}" if points else "without a measured point of its kind"
    known = estimate.certainty
    if points and known is not None and not known.precision_measured:
        behind += f", none in {estimate.precision.upper()}"
    return (
        f"{estimate.provenance.capitalize()}: within {factor} in "
        f"{percent(estimate.interval_coverage)} of cases, {behind}"
    )


def optional(value: float | None, show: Callable[[float], str]) -> str:
    """``show(value)``, or a dash where there is none."""
    return "-" if value is None else show(value)


def _paragraph(text: str, style: str) -> str:
    """Lines of ``text``; none of an empty one."""
    if not text:
        return ""
    lines = plain.paragraph(text, PIPED_WIDTH) if _is_plain() else None
    return to_text(_unmarked(text, style)) if lines is None else lines


def _rich_facts(rows: Sequence[Sequence[str]]) -> str:
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2, 0, 0))
    for _ in rows[0][:-1]:
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*map(_unmarked, row))
    return to_text(grid)


def _unmarked(text: str, style: str = "") -> Any:
    # Square brackets in names are not markup.
    from rich.text import Text

    return Text(text, style=style)


def _width() -> int:
    """Columns of the reader's terminal."""
    from rich.console import Console

    return Console(file=io.StringIO()).width


def _has_width() -> bool:
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def _is_plain() -> bool:
    """Whether text goes where neither a width nor colours are asked for."""
    coloured = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE") == "1"
    return _speaks_utf8() and not (_has_width() or coloured)


def _csv_cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _speaks_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
