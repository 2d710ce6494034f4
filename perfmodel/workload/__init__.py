"""What a model asks for: tracing, the Workload, its file format, and the zoo of named models.

No hardware is in here. Reading a workload imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel._lazy import exports

if TYPE_CHECKING:
    from perfmodel.workload.exported import from_exported
    from perfmodel.workload.parametric import ParametricWorkload
    from perfmodel.workload.storage import load
    from perfmodel.workload.symbolic import trace_parametric
    from perfmodel.workload.tracing import trace
    from perfmodel.workload.workload import Accesses, InputSpec, Kernels, Tensors, Workload

__all__ = [
    "Accesses",
    "InputSpec",
    "Kernels",
    "ParametricWorkload",
    "Tensors",
    "Workload",
    "from_exported",
    "load",
    "trace",
    "trace_parametric",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Accesses": "perfmodel.workload.workload:Accesses",
        "InputSpec": "perfmodel.workload.workload:InputSpec",
        "Kernels": "perfmodel.workload.workload:Kernels",
        "ParametricWorkload": "perfmodel.workload.parametric:ParametricWorkload",
        "Tensors": "perfmodel.workload.workload:Tensors",
        "Workload": "perfmodel.workload.workload:Workload",
        "from_exported": "perfmodel.workload.exported:from_exported",
        "load": "perfmodel.workload.storage:load",
        "trace": "perfmodel.workload.tracing:trace",
        "trace_parametric": "perfmodel.workload.symbolic:trace_parametric",
    },
)
