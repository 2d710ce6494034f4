"""Sections of charts and tables as one HTML page: Vega inline, light and dark, by keyboard too."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from perfmodel._text import significant
from perfmodel.errors import NotInstalled


@dataclass(frozen=True)
class Section:
    """One chart, what it says in words, and its data.

    Attributes:
        about: a sentence that stands for the chart where it cannot be seen.
        rows: of the table; every row has the same columns.
        of: models and CPUs that the whole section is of, for the filter; rows may name others.
    """

    title: str
    about: str
    chart: Any
    rows: Sequence[Mapping[str, Any]]
    of: Mapping[str, str]


def page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the page.

    Args:
        facts: sentences below the title.

    Raises:
        NotInstalled: without vl-convert, which brings Vega.
    """
    choices = {
        name: list(
            dict.fromkeys(
                value
                for section in sections
                for row in ({**section.of}, *section.rows)
                if (value := row.get(name)) is not None
            )
        )
        for name in ("model", "cpu")
    }
    specs = [section.chart.to_dict() for section in sections]
    body = "\n".join(_section(number, section) for number, section in enumerate(sections))
    template = files("perfmodel.reporting").joinpath("page.html").read_text(encoding="utf-8")
    parts = {
        "@TITLE@": html.escape(title),
        "@FACTS@": "".join(f"<p>{html.escape(fact)}</p>" for fact in facts),
        "@FILTERS@": "".join(_filter(name, values) for name, values in choices.items()),
        "@SECTIONS@": body,
        "@SPECS@": json.dumps(specs, allow_nan=False).replace("<", "\\u003c"),
        "@VEGA@": _vega(),
    }
    # In one pass, so that no part is read as a mark.
    return re.sub("|".join(parts), lambda mark: parts[mark[0]], template)


def _vega() -> str:
    try:
        import vl_convert
    except ImportError:
        raise NotInstalled("vl-convert-python", "report") from None
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Nothing in it may end the element that it is in.
    return bundle.replace("</script", "<\\/script")


def _filter(name: str, values: Sequence[str]) -> str:
    if len(values) < 2:
        return ""
    label = {"model": "Models", "cpu": "CPUs"}[name]
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}" value="{html.escape(value)}" checked> '
        f"{html.escape(value)}</label>"
        for value in values
    )
    return f"<fieldset><legend>{label}</legend>{boxes}</fieldset>"


def _section(number: int, section: Section) -> str:
    of = "".join(f' data-{name}="{html.escape(value)}"' for name, value in section.of.items())
    columns = list(section.rows[0]) if section.rows else []
    head = "".join(f'<th scope="col">{html.escape(_words(name))}</th>' for name in columns)
    lines = "".join(_row(row, columns) for row in section.rows)
    title = html.escape(section.title)
    return (
        f'<section id="s{number}"{of} aria-labelledby="h{number}">'
        f'<h2 id="h{number}">{title}</h2><p>{html.escape(section.about)}</p>'
        f'<div class="chart" id="c{number}" role="img" aria-label="{html.escape(section.about)}">'
        f"</div><details><summary>Data: {title}</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Data: {title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></details>"
        "</section>"
    )


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    of = "".join(
        f' data-{name}="{html.escape(str(row[name]))}"' for name in ("model", "cpu") if name in row
    )
    cells = "".join(
        f'<td class="n">{significant(value)}</td>'
        if isinstance(value, float)
        else f"<td>{html.escape('-' if value is None else str(value))}</td>"
        for value in (row[name] for name in columns)
    )
    return f"<tr{of}>{cells}</tr>"


def _words(column: str) -> str:
    return column.replace("_", " ")
