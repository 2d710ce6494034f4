"""Analytical performance models of neural-network inference on server CPUs.

The public face. Its names are loaded on first use, so that ``import perfmodel`` costs next to
nothing and torch is imported only by what traces a model.

Everywhere in this package a multiply-accumulate counts as 2 FLOPs.
"""

from __future__ import annotations

from perfmodel._lazy import exports

TYPE_CHECKING = False  # typing takes as long to import as all the rest

if TYPE_CHECKING:
    from perfmodel._version import __version__
    from perfmodel.comparison import Order, compare, disagreements, rankings
    from perfmodel.cost import PackagePower
    from perfmodel.cost.plan import Plans
    from perfmodel.errors import (
        MachineError,
        NotEnoughMemory,
        PerfmodelError,
        TraceError,
        UncoveredSize,
        UnknownName,
        UnmodelledOperator,
        UnsupportedPrecision,
        UnsupportedSoftware,
        WorkloadFormatError,
    )
    from perfmodel.exploration import explore
    from perfmodel.machine import Machine, load_machine
    from perfmodel.machine import catalogue as cpus
    from perfmodel.mapping import (
        AmdMapper,
        AmpereMapper,
        IntelMapper,
        KernelEstimate,
        Mapper,
        Result,
        Results,
        register_mapper,
    )
    from perfmodel.models.generation import trace_generation
    from perfmodel.models.zoo import names as model_names
    from perfmodel.models.zoo import parametric as model_parametric
    from perfmodel.models.zoo import workload as model_workload
    from perfmodel.ranking import Ranking
    from perfmodel.running import estimate, fleet, power, rank, serve, tco, variants
    from perfmodel.scenario import Scenario
    from perfmodel.serving import Partition, Search
    from perfmodel.serving.fleet import Fleet, Fleets
    from perfmodel.serving.goal import Goal
    from perfmodel.software import Software, load_software
    from perfmodel.tracing.symbolic import trace_parametric
    from perfmodel.tracing.tracing import trace
    from perfmodel.workload.parametric import ParametricWorkload
    from perfmodel.workload.parametric import load as load_workload
    from perfmodel.workload.workload import Workload

__all__ = [
    "AmdMapper",
    "AmpereMapper",
    "Fleet",
    "Fleets",
    "Goal",
    "IntelMapper",
    "KernelEstimate",
    "Machine",
    "MachineError",
    "Mapper",
    "NotEnoughMemory",
    "Order",
    "PackagePower",
    "ParametricWorkload",
    "Partition",
    "PerfmodelError",
    "Plans",
    "Ranking",
    "Result",
    "Results",
    "Scenario",
    "Search",
    "Software",
    "TraceError",
    "UncoveredSize",
    "UnknownName",
    "UnmodelledOperator",
    "UnsupportedPrecision",
    "UnsupportedSoftware",
    "Workload",
    "WorkloadFormatError",
    "__version__",
    "compare",
    "cpus",
    "disagreements",
    "estimate",
    "explore",
    "fleet",
    "load_machine",
    "load_software",
    "load_workload",
    "model_names",
    "model_parametric",
    "model_workload",
    "power",
    "rank",
    "rankings",
    "register_mapper",
    "serve",
    "tco",
    "trace",
    "trace_generation",
    "trace_parametric",
    "variants",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "AmdMapper": "perfmodel.mapping:AmdMapper",
        "AmpereMapper": "perfmodel.mapping:AmpereMapper",
        "Fleet": "perfmodel.serving.fleet:Fleet",
        "Fleets": "perfmodel.serving.fleet:Fleets",
        "Goal": "perfmodel.serving.goal:Goal",
        "IntelMapper": "perfmodel.mapping:IntelMapper",
        "KernelEstimate": "perfmodel.mapping:KernelEstimate",
        "Machine": "perfmodel.machine:Machine",
        "MachineError": "perfmodel.errors:MachineError",
        "Mapper": "perfmodel.mapping:Mapper",
        "NotEnoughMemory": "perfmodel.errors:NotEnoughMemory",
        "Order": "perfmodel.comparison:Order",
        "PackagePower": "perfmodel.cost:PackagePower",
        "ParametricWorkload": "perfmodel.workload.parametric:ParametricWorkload",
        "Partition": "perfmodel.serving:Partition",
        "PerfmodelError": "perfmodel.errors:PerfmodelError",
        "Plans": "perfmodel.cost.plan:Plans",
        "Ranking": "perfmodel.ranking:Ranking",
        "Result": "perfmodel.mapping:Result",
        "Results": "perfmodel.mapping:Results",
        "Scenario": "perfmodel.scenario:Scenario",
        "Search": "perfmodel.serving:Search",
        "Software": "perfmodel.software:Software",
        "TraceError": "perfmodel.errors:TraceError",
        "UncoveredSize": "perfmodel.errors:UncoveredSize",
        "UnknownName": "perfmodel.errors:UnknownName",
        "UnmodelledOperator": "perfmodel.errors:UnmodelledOperator",
        "UnsupportedPrecision": "perfmodel.errors:UnsupportedPrecision",
        "UnsupportedSoftware": "perfmodel.errors:UnsupportedSoftware",
        "Workload": "perfmodel.workload.workload:Workload",
        "WorkloadFormatError": "perfmodel.errors:WorkloadFormatError",
        "__version__": "perfmodel._version:__version__",
        "compare": "perfmodel.comparison:compare",
        "cpus": "perfmodel.machine:catalogue",
        "disagreements": "perfmodel.comparison:disagreements",
        "estimate": "perfmodel.running:estimate",
        "explore": "perfmodel.exploration:explore",
        "fleet": "perfmodel.running:fleet",
        "load_machine": "perfmodel.machine:load_machine",
        "load_software": "perfmodel.software:load_software",
        "load_workload": "perfmodel.workload.parametric:load",
        "model_names": "perfmodel.models.zoo:names",
        "model_parametric": "perfmodel.models.zoo:parametric",
        "model_workload": "perfmodel.models.zoo:workload",
        "power": "perfmodel.running:power",
        "rank": "perfmodel.running:rank",
        "rankings": "perfmodel.comparison:rankings",
        "register_mapper": "perfmodel.mapping:register_mapper",
        "serve": "perfmodel.running:serve",
        "tco": "perfmodel.running:tco",
        "trace": "perfmodel.tracing.tracing:trace",
        "trace_generation": "perfmodel.models.generation:trace_generation",
        "trace_parametric": "perfmodel.tracing.symbolic:trace_parametric",
        "variants": "perfmodel.running:variants",
    },
)
