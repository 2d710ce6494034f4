"""Tables and lines in plain text, laid out as Rich does it, for output that goes to a file or pipe.

Rich lays out what a terminal shows; its import alone takes longer than everything here. Functions
return None for texts whose layout is not plain, and Rich's is then asked for: letters that are not
one column wide, and words that do not fit on a line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Sequence

#: Between the columns of a table, of a list of facts too.
_GAP = "  "


def table(
    headers: Sequence[str],
    left: Sequence[bool],
    rows: Sequence[Sequence[str]],
    sections: Collection[int],
) -> str | None:
    """Return a table, each of whose columns is as wide as its widest cell.

    Args:
        headers: of one or more lines; the last ones stand in one line.
        left: whether a column is aligned to the left rather than to the right.
        sections: numbers of the rows that an empty line goes before.
    """
    tall = [header.split("\n") for header in headers]
    height = max(map(len, tall), default=0)
    above = list(zip(*([""] * (height - len(lines)) + lines for lines in tall), strict=True))
    if not _is_plain(cell for cells in (*above, *rows) for cell in cells):
        return None
    widths = [max(map(len, column)) for column in zip(*above, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        columns = zip(cells, widths, left, strict=True)
        return _GAP.join(
            cell.ljust(width) if to_left else cell.rstrip().rjust(width)
            for cell, width, to_left in columns
        )

    lines = [*map(line, above), "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))]
    for number, cells in enumerate(rows):
        lines += ["", line(cells)] if number in sections and number else [line(cells)]
    return _text(lines)


def facts(rows: Sequence[Sequence[str]], width: int) -> str | None:
    """Return lines of labels and a text, which is wrapped beside its labels."""
    *labels, texts = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in labels]
    indents = [
        "".join(label.ljust(wide) + _GAP for label, wide in zip(row[:-1], widths, strict=True))
        for row in rows
    ]
    wrapped = [_wrapped(text, width - len(indents[0])) for text in texts]
    if not _is_plain(indents) or None in wrapped:
        return None
    hanging = " " * len(indents[0])
    return _text(
        (hanging if number else indent) + line
        for indent, lines in zip(indents, wrapped, strict=True)
        for number, line in enumerate(lines or ())
    )


def paragraph(text: str, width: int) -> str | None:
    """Return the lines of a text."""
    lines = _wrapped(text, width)
    return None if lines is None else _text(lines)


def _wrapped(text: str, width: int) -> list[str] | None:
    if not _is_plain([text]) or max(map(len, text.split()), default=0) > width:
        return None
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _is_plain(texts: Iterable[str]) -> bool:
    """Whether all of these are letters of one column."""
    return all(text.isascii() and text.isprintable() for text in texts)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in lines)
