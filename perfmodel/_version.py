"""The version of this package, as installed."""

from __future__ import annotations

from importlib import metadata
from typing import Final

__version__: Final = metadata.version("perfmodel")
