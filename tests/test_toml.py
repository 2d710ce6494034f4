"""TOML that perfmodel writes says what it was given."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel._toml import inline, lines_of, toml_text
from perfmodel.figures.tree import nested

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False)
values = texts | numbers | st.booleans() | st.lists(texts | numbers, max_size=3)
keys = texts.filter(bool)
trees = st.recursive(
    st.dictionaries(keys, values, max_size=4),
    lambda inner: st.dictionaries(keys, values | inner, max_size=4),
    max_leaves=8,
)
lines = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=20)


@settings(max_examples=100)
@given(trees, st.lists(lines, max_size=3))
def test_what_is_written_is_what_is_read(tree: dict[str, Any], comment: list[str]) -> None:
    assert tomllib.loads(toml_text(tree, "\n".join(comment))) == tree


@settings(max_examples=100)
@given(st.lists(st.dictionaries(keys, texts | numbers, max_size=4), max_size=4))
def test_rows_are_tables_on_a_line_each(rows: list[dict[str, Any]]) -> None:
    text = toml_text({"set": [{"name": "a", "rows": lines_of(rows)}]})
    assert tomllib.loads(text) == {"set": [{"name": "a", "rows": rows}]}
    assert text.count("\n") == len(rows) + (4 if rows else 3)


def test_fields_come_before_tables_and_a_comment_before_all() -> None:
    figure = inline({"value": 0.5, "source": "x"})
    tree = nested({"a.b.c": figure, "a.d": 1, "name": "n", "a.b.e": 2})
    assert tree == {"a": {"b": {"c": {"value": 0.5, "source": "x"}, "e": 2}, "d": 1}, "name": "n"}
    assert toml_text(tree, "One.\n\nTwo.") == (
        '# One.\n#\n# Two.\n\nname = "n"\n\n[a]\nd = 1\n\n[a.b]\n'
        'c = {value = 0.5, source = "x"}\ne = 2\n'
    )
