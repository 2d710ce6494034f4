"""Memory: one model at a time. Modules and graphs refer to each other in circles."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def leave_out_the_libraries() -> None:
    """What torch and the tests have imported by now stays: looking through it takes time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def free_memory() -> Iterator[None]:
    yield
    gc.collect()
