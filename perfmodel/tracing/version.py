"""The version of what tracing produces; part of the key of every cached trace."""

from __future__ import annotations

from typing import Final

#: Raise it with every change to a count, a name or an order in traced workloads.
TRACER_VERSION: Final = 3
