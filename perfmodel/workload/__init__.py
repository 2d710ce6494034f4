"""What a model asks for: tracing, the Workload, its file format, and the zoo of named models.

No hardware is in here. Reading a workload imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel._lazy import exports

if TYPE_CHECKING:
    from perfmodel.workload.storage import load
    from perfmodel.workload.tracing import trace
    from perfmodel.workload.workload import Accesses, InputSpec, Kernels, Tensors, Workload

__all__ = ["Accesses", "InputSpec", "Kernels", "Tensors", "Workload", "load", "trace"]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Accesses": "perfmodel.workload.workload:Accesses",
        "InputSpec": "perfmodel.workload.workload:InputSpec",
        "Kernels": "perfmodel.workload.workload:Kernels",
        "Tensors": "perfmodel.workload.workload:Tensors",
        "Workload": "perfmodel.workload.workload:Workload",
        "load": "perfmodel.workload.storage:load",
        "trace": "perfmodel.workload.tracing:trace",
    },
)
