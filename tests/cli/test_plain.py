"""Tables that go to a file or pipe: the lines that Rich would lay out, without it."""

from __future__ import annotations

import io
import string
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfmodel.cli import plain, rendering
from perfmodel.cli.rendering import PIPED_WIDTH, Column, Facts, Table
from tests.cli.conftest import process
from tests.cli.test_start import LOADED, loaded

LETTERS = st.text(string.ascii_letters + string.digits + "-./%()<>=,;  [", max_size=30)
#: Brackets in headers would be Rich's markup.
HEADERS = st.text(string.ascii_letters + " /%\n", max_size=15)
#: Words that fit on a line, between spaces.
WORDS = st.lists(st.text(string.ascii_letters + "-./ ", max_size=40), max_size=30).map(" ".join)


@pytest.fixture(autouse=True, scope="module")
def _file() -> object:
    """Output goes to a file, and no terminal is forced."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        yield


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(
        st.lists(
            st.builds(Column, HEADERS, st.sampled_from(["left", "right"]), st.booleans()),
            min_size=1,
            max_size=5,
        )
    )
    table = Table(columns)
    filled = LETTERS.filter(str.strip)
    table.add(*(draw(filled) for _ in columns), section=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 5))):
        table.add(*(draw(LETTERS) for _ in columns), section=draw(st.booleans()))
    return table


@given(tables())
def test_a_table_is_as_rich_lays_it_out(table: Table) -> None:
    headers = [column.header for column in table.columns]
    left = [column.justify == "left" for column in table.columns]
    assert plain.table(headers, left, table.rows, table.sections) == table._rich_lines()


@given(st.integers(0, 2), st.data())
def test_facts_are_as_rich_lays_them_out(labels: int, data: st.DataObject) -> None:
    row = st.tuples(*[LETTERS] * labels, WORDS)
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    lines = plain.facts(rows, PIPED_WIDTH)
    assert lines is not None
    assert lines == rendering._rich_facts(rows)


@given(WORDS)
@example("")
@example("a " * 200)
@example(f"{'a' * 99}  {'b' * 100} {'c' * 50}")
def test_a_paragraph_is_as_rich_lays_it_out(text: str) -> None:
    found = plain.paragraph(text, PIPED_WIDTH)
    assert found == rendering.to_text(rendering._unmarked(text))


@pytest.mark.parametrize("text", ["東京", "a\tb", "a\nb", "e\u0301", "x" * 101])
def test_what_is_not_plain_is_left_to_rich(text: str) -> None:
    assert plain.paragraph(text, PIPED_WIDTH) is None
    rows, table = [("label", text)], Table([Column("header")], rows=[[text]])
    assert plain.facts(rows, PIPED_WIDTH) is None
    assert Facts(rows).text() == rendering._rich_facts(rows)
    assert table.text() == table._rich_lines()


@pytest.mark.parametrize(("name", "value"), [("FORCE_COLOR", "1"), ("TTY_COMPATIBLE", "1")])
def test_colours_that_are_asked_for_are_there(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table([Column("header")], title="title", rows=[["1"]])
    assert "\x1b" not in table.text()
    monkeypatch.setenv(name, value)
    assert "\x1b[1mtitle\x1b[0m" in table.text()
    assert "\x1b[1mheader\x1b[0m" in table.text()


def test_a_file_that_is_not_utf8_gets_lines_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert Table([Column("a"), Column("b")], rows=[["1", "2"]]).text().isascii()


def test_a_table_in_a_pipe_needs_no_rich() -> None:
    result = process("cpus", code=LOADED)
    assert result.returncode == 0
    assert "epyc_9654" in result.stdout
    assert not {name for name in loaded(result.stderr) if name.split(".")[0] == "rich"}
