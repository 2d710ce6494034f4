"""TOML that perfmodel writes, by tomlkit; import this module where something is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
from tomlkit.items import Array, InlineTable


def toml_text(tree: Mapping[str, Any], comment: str = "") -> str:
    """Return ``tree`` as a TOML file, its fields before its tables.

    Args:
        comment: lines that go before it.
    """
    document = tomlkit.document()
    for line in comment.splitlines():
        document.add(tomlkit.comment(line))
    if comment:
        document.add(tomlkit.nl())
    document.update(tree)
    return tomlkit.dumps(document)


def inline(fields: Mapping[str, Any]) -> InlineTable:
    """Return a table that is written on one line."""
    table = tomlkit.inline_table()
    table.update(fields)
    return table


def lines_of(rows: Iterable[Mapping[str, Any]]) -> Array:
    """Return an array of tables, each on a line of its own."""
    array = tomlkit.array()
    array.extend(map(inline, rows))
    return array.multiline(True)
