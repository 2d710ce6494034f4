"""What a model asks for: the Workload, its file format, its fusion. No hardware, software or torch.

:mod:`perfmodel.tracing` makes workloads from modules, :mod:`perfmodel.models` from names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel._lazy import exports

if TYPE_CHECKING:
    from perfmodel.workload.parametric import ParametricWorkload, load
    from perfmodel.workload.tables import Accesses, InputSpec, Kernels, Tensors
    from perfmodel.workload.workload import Workload

__all__ = [
    "Accesses",
    "InputSpec",
    "Kernels",
    "ParametricWorkload",
    "Tensors",
    "Workload",
    "load",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Accesses": "perfmodel.workload.tables:Accesses",
        "InputSpec": "perfmodel.workload.tables:InputSpec",
        "Kernels": "perfmodel.workload.tables:Kernels",
        "ParametricWorkload": "perfmodel.workload.parametric:ParametricWorkload",
        "Tensors": "perfmodel.workload.tables:Tensors",
        "Workload": "perfmodel.workload.workload:Workload",
        "load": "perfmodel.workload.parametric:load",
        # Where these were until the package was divided into rooms.
        "from_exported": "perfmodel.tracing.exported:from_exported",
        "trace": "perfmodel.tracing.tracing:trace",
        "trace_parametric": "perfmodel.tracing.symbolic:trace_parametric",
    },
)
