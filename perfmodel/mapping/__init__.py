"""How a workload runs on a machine: mappers, the time formula, and the estimate. No torch here."""

from perfmodel.mapping.amd import AmdMapper
from perfmodel.mapping.ampere import AmpereMapper
from perfmodel.mapping.estimation import estimate
from perfmodel.mapping.intel import IntelMapper
from perfmodel.mapping.kernel_table import KernelEstimate, KernelTable
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.registry import mapper_for, register_mapper
from perfmodel.mapping.result import Result, Results

__all__ = [
    "AmdMapper",
    "AmpereMapper",
    "IntelMapper",
    "KernelEstimate",
    "KernelTable",
    "Mapper",
    "Result",
    "Results",
    "estimate",
    "mapper_for",
    "register_mapper",
]
