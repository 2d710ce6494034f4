"""Set-up that tests/ and benchmarks/ share."""

from __future__ import annotations

import gc
import os
from importlib import metadata

import pytest

pytest_plugins = ["pytester", "benchmarks.support.ledger"]
# Where perfmodel is on the path and not installed, or was before it had a plugin.
if not metadata.entry_points(group="pytest11", name="perfmodel"):
    pytest_plugins.append("perfmodel.guard.plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Keep traces, which take seconds, between runs, but never in the user's own cache.

    A trace's key holds a digest of the tracer's source: a changed tracer finds nothing here.
    ``pytest --cache-clear`` empties the folder.
    """
    folder = config.rootpath / ".pytest_cache" / "d" / "perfmodel"
    os.environ["PERFMODEL_CACHE_DIR"] = str(folder)
    # Workers, and what tests start, are compiled once, whatever a developer's shell says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Modules and collected tests stay until the end: no collection of garbage looks at them.
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave all that is there by now out of the collections of garbage to come."""
    gc.freeze()
    gc.enable()
