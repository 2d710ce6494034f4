"""From a PyTorch module to a Workload: export, reading of the graph, one formula an operator.

Beside :mod:`perfmodel.models` the only room that imports torch, and only when something is traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel._lazy import exports

if TYPE_CHECKING:
    from perfmodel.tracing.exported import from_exported
    from perfmodel.tracing.symbolic import trace_parametric
    from perfmodel.tracing.tracing import trace

__all__ = ["from_exported", "trace", "trace_parametric"]

__getattr__, __dir__ = exports(
    __name__,
    {
        "from_exported": "perfmodel.tracing.exported:from_exported",
        "trace": "perfmodel.tracing.tracing:trace",
        "trace_parametric": "perfmodel.tracing.symbolic:trace_parametric",
    },
)
