"""How a guarded test fails when all that is wrong with it is in the report."""

from __future__ import annotations

from typing import Any, Final

import pytest

_FAILED: Final[Any] = pytest.fail.Exception


class NotAsRecorded(_FAILED):  # type: ignore[misc]
    """What a test estimated is not as recorded: the report at the end says it once, with causes."""

    def __init__(self, text: str) -> None:
        super().__init__(text, pytrace=False)
