"""Set-up that tests/ and benchmarks/ share."""

from __future__ import annotations

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
