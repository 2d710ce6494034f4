"""Which places are broken, which are drawn, and which tests meet a mutant first."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools.mutants import places, plugin, record, results
from tools.mutants.places import Place

CODE = textwrap.dedent(
    '''
    """A text of 1 + 1."""

    @functools.cache
    def area(width: Literal[1], height: float = 2 - 1) -> Literal[1]:
        """Of 1 + 1."""
        if width < 1:
            raise ValueError(f"{width + 1} is too {'wide' if not width else 'é'}", 1 + 1)
        return width * height


    @dataclass(frozen=True, order=True)
    class Box:
        """Of 1 + 1."""

        depth: Literal[1] = 1
    '''
)


def place(room: str, line: int, operator: str = "core/AddNot", text: str = "") -> Place:
    return Place(room, Path(f"{room}.py"), operator, 0, line, "f", text or f"x = {line}", 0)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("@functools.cache", False),
        ("@dataclass", True),
        ("1], height", False),
        ("2 - 1", True),
        ("1]:", False),
        ("< 1", True),
        ("1} is too", False),
        ("'wide' if", False),
        ("1 + 1)", False),
        ("* height", True),
        ("True, order", False),
        ("True)", True),
        ("1] = 1", False),
        ("1\n", True),
    ],
)
def test_places_are_where_values_are_computed(text: str, counts: bool) -> None:
    before = CODE[: CODE.rindex(text)]
    position = before.count("\n") + 1, len(before) - before.rfind("\n") - 1
    assert counts is not any(start <= position < end for start, end in places.silent(CODE))


def test_a_place_keeps_its_key_wherever_its_line_is() -> None:
    first, below, other = place("r", 1, text="x = 1"), place("r", 9, text="  x = 1"), place("r", 1)
    assert first.key == below.key
    assert other.key == first.key
    assert place("r", 1, text="x = 2").key != first.key != replace(first, ordinal=1).key


def test_a_sample_takes_of_each_room_in_turn_and_of_a_line_one_place() -> None:
    found = {
        room: [place(room, line, operator) for line in range(20) for operator in "abc"]
        for room in ("cost", "serving")
    }
    drawn = places.drawn(found, 1)
    assert [each.room for each in drawn[:4]] == ["cost", "serving", "cost", "serving"]
    assert sorted(each.line for each in drawn if each.room == "cost") == [*range(20)]
    assert drawn == places.drawn(found, 1) != places.drawn(found, 2)


def test_a_sample_stays_as_it_is_where_code_does() -> None:
    whole = [place("cost", line) for line in range(20)]
    drawn = places.drawn({"cost": whole}, 1)
    left = [each for each in drawn if each.line != 3]
    assert places.drawn({"cost": [each for each in whole if each.line != 3]}, 1) == left


def test_a_statement_is_all_its_lines_and_of_one_with_a_body_the_head() -> None:
    code = "x = f(\n    1,\n    2,\n)\nif (\n    x\n):\n    y = 1\n"
    assert [*places.statement(code, 2)] == [1, 2, 3, 4]
    assert [*places.statement(code, 6)] == [5, 6, 7]
    assert [*places.statement(code, 8)] == [8]


def test_the_tests_through_a_line_come_first_quick_ones_before_and_the_others_later() -> None:
    seconds = {
        "t/test_b.py::slow": 9.0,
        "t/test_b.py::quick": 0.2,
        "t/test_area.py::named": 1.0,
        "t/test_b.py::beside": 0.1,
        "t/test_c.py::elsewhere": 0.1,
    }
    through = {"t/test_b.py::slow", "t/test_b.py::quick", "t/test_area.py::named"}
    first, later = record.parted(through, through, seconds, "area")
    assert [*first] == ["t/test_area.py::named", "t/test_b.py::quick"]
    assert [*later] == ["t/test_b.py::slow", "t/test_b.py::beside"]


class Item:
    """What the plugin asks of a test."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid


def test_chosen_tests_run_in_their_order_and_all_cases_of_one_that_is_called_otherwise(
    tmp_path: Path,
) -> None:
    items: list[Any] = [Item(f"t.py::{name}") for name in ("b", "c[1]", "a[x-2]", "a[y-3]", "b2")]
    left_out: list[Any] = []
    config: Any = SimpleNamespace(
        hook=SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    )
    chooser = plugin.Chooser({"t.py::a[x-1]": 1.0, "t.py::b": 2.0}, tmp_path / "current")
    chooser.pytest_collection_modifyitems(config, items)
    assert [item.nodeid for item in items] == ["t.py::a[x-2]", "t.py::a[y-3]", "t.py::b"]
    assert [item.nodeid for item in left_out] == ["t.py::c[1]", "t.py::b2"]


def test_results_are_of_one_text_of_the_code_and_what_saw_a_mutant_is_told_to_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "results.jsonl"
    results.Results(path, "old").add(results.Result("a", "t.py::test", 1.0))
    results.Results(path, "old").add(results.Result("b", "", 1.0))
    same, changed = results.Results(path, "old"), results.Results(path, "new")
    assert (set(same.known), set(changed.known)) == ({"a", "b"}, set())
    assert changed.seen_by["a"] == "t.py::test"
    assert "b" not in changed.seen_by


def test_what_is_explained_is_in_the_code() -> None:
    """A row of survivors.md whose line is gone is one to delete."""
    rows = results.explained()
    assert rows
    for path, before, after in rows:
        lines = {results.normal(line) for line in results.code_of(Path(path)).splitlines()}
        assert before in lines, (path, before)
        assert after != before


def test_what_saw_a_mutant_is_a_test_that_exists() -> None:
    told: dict[str, str] = json.loads(results.SEEN_BY.read_text("utf-8"))
    assert told
    for name in told.values():
        file, _, test = name.partition("[")[0].partition("::")
        assert f"def {test.rpartition('::')[2]}(" in results.code_of(Path(file)), name
