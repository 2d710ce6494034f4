"""A pytest plugin: the tests that most likely see a mutant run first, for one failure is enough.

Tests without generated examples come before laws, and of each parametrised test one case before
the others; files named after the broken module lead their group (``--broken``).
``--one-case-each`` leaves the rest out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what tools/mutants.py passes."""
    parser.addoption("--broken", default="", help="file that is broken")
    parser.addoption("--one-case-each", action="store_true", help="and no generated examples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the telling ones first; the order within a group stays."""
    broken = Path(config.getoption("--broken")).stem
    cases: Counter[str] = Counter()
    groups: dict[pytest.Item, tuple[int, bool]] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        law = getattr(getattr(item, "function", None), "is_hypothesis_test", False)
        group = (2 if cases[name] else 0) + law
        groups[item] = group, broken.strip("_") not in item.path.stem
        cases[name] += 1
    items.sort(key=groups.__getitem__)
    if config.getoption("--one-case-each"):
        rest = [item for item in items if groups[item][0]]
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if not groups[item][0]]
