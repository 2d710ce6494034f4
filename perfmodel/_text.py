"""Numbers as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence


def significant(value: float, digits: int = 3) -> str:
    """``value`` with at least ``digits`` significant digits, never in exponent form.

    Whole digits are all kept: 1234.5 -> "1,234", 12.345 -> "12.3", 0.01234 -> "0.0123".
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def percent(share: float) -> str:
    """A share of 1 as whole percent, for example "78 %"; under half of one it says "<1 %"."""
    return "<1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as HTML, for a notebook."""
    from html import escape

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def escaped_markdown(text: str) -> str:
    """``text`` on one line, with what Markdown's tables and lists would read as markup escaped."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")


def common_name(names: Sequence[str]) -> str:
    """Names that differ in numbers alone, as one: a number that differs becomes ``*``."""
    parts = [re.split(r"(\d+)", name) for name in names]
    return "".join(same[0] if len(set(same)) == 1 else "*" for same in zip(*parts, strict=True))


def markdown_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: Sequence[bool] = (),
    escape: Callable[[str], str] = escaped_markdown,
) -> str:
    """Return a table in GitHub's Markdown, with a newline at its end.

    Args:
        left: by column, whether it is aligned to the left; by default all are.
        escape: what is done to each cell; ``str`` where cells are Markdown.
    """
    head, *body = [f"| {' | '.join(map(escape, cells))} |" for cells in (header, *rows)]
    rule = "|".join("---" if side else "--:" for side in left or [True] * len(header))
    return "\n".join([head, f"|{rule}|", *body]) + "\n"
