"""Python's search for cycles of garbage, which costs more than it finds while much is imported."""

from __future__ import annotations

import gc
from contextlib import contextmanager

TYPE_CHECKING = False  # typing takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Objects made between two searches, in place of Python's few hundred: imports and traces make
#: objects that stay.
EVERY = 1_000_000


@contextmanager
def seldom() -> Iterator[None]:
    """Look for cycles seldom while this is open."""
    before = gc.get_threshold()
    gc.set_threshold(max(EVERY, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
