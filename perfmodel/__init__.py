"""Analytical performance models of neural-network inference on server CPUs.

The public face. Its names are loaded on first use, so that ``import perfmodel`` costs next to
nothing and torch is imported only by what traces a model.

Everywhere in this package a multiply-accumulate counts as 2 FLOPs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel._lazy import exports

if TYPE_CHECKING:
    from perfmodel._version import __version__
    from perfmodel.comparison import compare, disagreements, rankings
    from perfmodel.errors import (
        MachineError,
        PerfmodelError,
        TraceError,
        UnknownName,
        UnmodelledOperator,
        UnsupportedPrecision,
        WorkloadFormatError,
    )
    from perfmodel.machine import Machine, load_machine
    from perfmodel.machine import catalogue as cpus
    from perfmodel.mapping import Estimate, estimate
    from perfmodel.workload.storage import load as load_workload
    from perfmodel.workload.tracing import trace
    from perfmodel.workload.workload import Workload
    from perfmodel.workload.zoo import names as models
    from perfmodel.workload.zoo import workload as model_workload

__all__ = [
    "Estimate",
    "Machine",
    "MachineError",
    "PerfmodelError",
    "TraceError",
    "UnknownName",
    "UnmodelledOperator",
    "UnsupportedPrecision",
    "Workload",
    "WorkloadFormatError",
    "__version__",
    "compare",
    "cpus",
    "disagreements",
    "estimate",
    "load_machine",
    "load_workload",
    "model_workload",
    "models",
    "rankings",
    "trace",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Estimate": "perfmodel.mapping:Estimate",
        "Machine": "perfmodel.machine:Machine",
        "MachineError": "perfmodel.errors:MachineError",
        "PerfmodelError": "perfmodel.errors:PerfmodelError",
        "TraceError": "perfmodel.errors:TraceError",
        "UnknownName": "perfmodel.errors:UnknownName",
        "UnmodelledOperator": "perfmodel.errors:UnmodelledOperator",
        "UnsupportedPrecision": "perfmodel.errors:UnsupportedPrecision",
        "Workload": "perfmodel.workload.workload:Workload",
        "WorkloadFormatError": "perfmodel.errors:WorkloadFormatError",
        "__version__": "perfmodel._version:__version__",
        "compare": "perfmodel.comparison:compare",
        "cpus": "perfmodel.machine:catalogue",
        "disagreements": "perfmodel.comparison:disagreements",
        "estimate": "perfmodel.mapping:estimate",
        "load_machine": "perfmodel.machine:load_machine",
        "load_workload": "perfmodel.workload.storage:load",
        "model_workload": "perfmodel.workload.zoo:workload",
        "models": "perfmodel.workload.zoo:names",
        "rankings": "perfmodel.comparison:rankings",
        "trace": "perfmodel.workload.tracing:trace",
    },
)
