"""Speed held against targets: every measured figure is printed, and a tripwire fails the test.

A target is what the documentation promises on a quiet machine. The tripwire is wider, so that a
busy machine does not fail the suite while a real slowdown does: twice the target for ratios within
one run and for memory, four times for seconds, which depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias

import pytest

#: Tripwire over target, of ratios and memory.
SLACK: Final = 2.0
#: The same of wall time.
SLACK_OF_TIME: Final = 4.0


@dataclass(frozen=True)
class Entry:
    """One measured figure; smaller is better."""

    name: str
    measured: float
    target: float
    limit: float
    unit: str

    def __str__(self) -> str:
        said = "within target" if self.measured <= self.target else "ABOVE TARGET"
        if not self.measured <= self.limit:
            said = "FAILED"
        return (
            f"{self.name}: {self.measured:.3g} {self.unit} "
            f"(target {self.target:g}, fails above {self.limit:g}): {said}"
        )


Hold: TypeAlias = Callable[..., None]
_ENTRIES: Final = pytest.StashKey[list[Entry]]()


@pytest.fixture
def hold(request: pytest.FixtureRequest) -> Hold:
    """A function ``hold(name, measured, target, unit, limit=None)`` that checks and notes it."""
    entries = request.config.stash.setdefault(_ENTRIES, [])

    def check(
        name: str, measured: float, target: float, unit: str, limit: float | None = None
    ) -> None:
        slack = SLACK_OF_TIME if unit in ("ms", "s") else SLACK
        entry = Entry(name, measured, target, target * slack if limit is None else limit, unit)
        entries.append(entry)
        if not entry.measured <= entry.limit:
            pytest.fail(str(entry), pytrace=False)

    return check


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print every figure with its target."""
    entries = config.stash.get(_ENTRIES, [])
    if entries:
        terminalreporter.write_sep("=", "speed against targets")
        for entry in entries:
            terminalreporter.write_line(str(entry))


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    function()
    return perf_counter() - start
