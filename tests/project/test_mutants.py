"""Which mutants are drawn, and which tests meet them first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tools import mutants, telling_first


class Item:
    """What the plugin asks of a test."""

    def __init__(self, nodeid: str, *, law: bool = False) -> None:
        self.nodeid, self.path = nodeid, Path(nodeid.partition("::")[0])
        self.function = SimpleNamespace(is_hypothesis_test=law)


class Config:
    """What the plugin asks of pytest's."""

    def __init__(self, **options: object) -> None:
        self.options = options
        self.left_out: list[str] = []
        self.hook = SimpleNamespace(
            pytest_deselected=lambda items: self.left_out.extend(i.nodeid for i in items)
        )

    def getoption(self, name: str) -> object:
        return self.options[name]


def ordered(**options: object) -> tuple[list[str], list[str]]:
    items: list[Any] = [
        Item("test_laws.py::test_law[1]", law=True),
        Item("test_laws.py::test_law[2]", law=True),
        Item("test_laws.py::test_plain[1]"),
        Item("test_laws.py::test_plain[2]"),
        Item("test_copies.py::test_value"),
    ]
    config: Any = Config(**{"--broken": "", "--one-case-each": False} | options)
    telling_first.pytest_collection_modifyitems(config, items)
    return [one.nodeid for one in items], config.left_out


def test_one_plain_case_of_each_comes_first_and_laws_before_further_cases() -> None:
    assert ordered(**{"--broken": "perfmodel/mapping/copies.py"}) == (
        [
            "test_copies.py::test_value",
            "test_laws.py::test_plain[1]",
            "test_laws.py::test_law[1]",
            "test_laws.py::test_plain[2]",
            "test_laws.py::test_law[2]",
        ],
        [],
    )


def test_one_case_each_leaves_out_the_rest() -> None:
    kept, left_out = ordered(**{"--one-case-each": True})
    assert sorted(kept) == ["test_copies.py::test_value", "test_laws.py::test_plain[1]"]
    assert len(left_out) == 3


def test_of_a_line_one_place_is_drawn_and_a_seed_draws_the_same() -> None:
    found = [
        mutants.Place("cost", Path("a.py"), f"core/{operator}", 0, line)
        for line in range(20)
        for operator in "abc"
    ]
    drawn = mutants.drawn(found, 100, 1)
    assert sorted(place.line for place in drawn) == list(range(20))
    assert drawn == mutants.drawn(found, 100, 1) != mutants.drawn(found, 100, 2)
    assert mutants.drawn(found, 5, 1) == drawn[:5]
