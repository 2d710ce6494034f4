"""How a workload runs on a machine: mappers, the time formula, and the estimate. No torch here."""

from perfmodel.mapping.amd import AmdMapper
from perfmodel.mapping.ampere import AmpereMapper
from perfmodel.mapping.estimation import Estimate, KernelEstimate, estimate
from perfmodel.mapping.intel import IntelMapper
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.registry import mapper_for, register_mapper

__all__ = [
    "AmdMapper",
    "AmpereMapper",
    "Estimate",
    "IntelMapper",
    "KernelEstimate",
    "Mapper",
    "estimate",
    "mapper_for",
    "register_mapper",
]
