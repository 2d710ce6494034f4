"""What pytest does otherwise when it looks for mutants: it records, or runs chosen tests alone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import pytest

#: CPU seconds after which one test has hung, on top of five times what it took without a mutant.
#: Its fixtures may have been made, and its modules loaded, by another test then.
PATIENCE_S: Final = 10.0


class Recorder:
    """Writes which lines each test runs through, and how long it takes.

    Args:
        rooms: folder of the package whose lines count.
        into: path without ending: ``.cov`` is coverage's, ``.json`` has CPU seconds by test.
    """

    def __init__(self, rooms: Path, into: Path) -> None:
        import coverage

        self._into = into
        self._seconds: dict[str, float] = {}
        self._coverage = coverage.Coverage(
            data_file=into.with_suffix(".cov"), config_file=False, include=[f"{rooms}/*"]
        )
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Give the lines of this test its name."""
        self._coverage.switch_context(item.nodeid)
        begin = time.process_time()
        result = yield
        self._seconds[item.nodeid] = time.process_time() - begin
        self._coverage.switch_context("")
        return result

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Keep what was recorded of tests that pass; the times come last, and say it is there."""
        self._coverage.stop()
        if exitstatus:
            return
        self._coverage.save()
        self._into.with_suffix(".json").write_text(json.dumps(self._seconds), "utf-8")


class Chooser:
    """Runs the tests it is given, in their order, and ends the process where one hangs.

    Args:
        seconds: by test, what it takes without a mutant. Of one that is called otherwise by now,
            for it has further cases, all cases are run.
        current: file that holds the name of the test that runs.
    """

    def __init__(self, seconds: Mapping[str, float], current: Path) -> None:
        self._seconds = dict(seconds)
        self._order = {name: number for number, name in enumerate(seconds)}
        self._current = current

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave the chosen ones, in the order they are given."""
        gone = self._seconds.keys() - {item.nodeid for item in items}
        renamed = {name.partition("[")[0]: name for name in gone}
        chosen: dict[pytest.Item, str] = {}
        for item in items:
            name = item.nodeid
            wanted = name if name in self._order else renamed.get(name.partition("[")[0])
            if wanted is not None:
                chosen[item] = wanted
                self._seconds[name] = self._seconds[wanted]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = sorted(chosen, key=lambda item: self._order[chosen[item]])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Say which test runs, and limit the CPU time it may take."""
        self._current.write_text(item.nodeid, "utf-8")
        # SIGPROF ends a process that does not handle it.
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S + 5 * self._seconds[item.nodeid])
        result = yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        return result
