"""Estimates of the CPU alone, by software that adds next to nothing."""

from __future__ import annotations

from typing import Any

from perfmodel import mapping
from perfmodel.mapping import Result
from perfmodel.software import load_software
from perfmodel.workload.workload import Workload


def estimate(workload: Workload, cpu: Any, scenario: Any = None, **options: Any) -> Result:
    """What a mapper decides shows best where all kernels choose their cores: under ``ideal``."""
    return mapping.estimate(workload, cpu, scenario, **({"software": "ideal"} | options))


_FULL = load_software("eager")
#: What eager PyTorch adds beside its kernels, and nothing else: no threads to join, no thread that
#: touches operands, and all of the core's rates but for those that eager alone misses.
EAGER = _FULL.model_copy(
    update={
        "threads": "best",
        **dict.fromkeys(("join", "grain", "stragglers", "touching", "moving", "packing_bandwidth")),
        "efficiency": {
            "vector": _FULL.efficiency["vector"],
            "bf16": _FULL.efficiency["bf16"],
        },
    }
)
