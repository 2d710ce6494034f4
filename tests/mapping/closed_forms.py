"""What laws compare the model with: values by hand, each from the figures of a machine.

The definitions are in docs/model.md. Nothing here calls the formula, so that a test that uses it
says what is true of the machine, whichever way the formula gets there.
"""

from __future__ import annotations

import numpy as np

from perfmodel.machine import Machine
from perfmodel.mapping import Result, assumptions, mapper_for
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.workload import Workload


def usable_l3(machine: Machine) -> float:
    """Bytes of the last-level cache of one domain that tensors can count on."""
    return machine.l3_per_domain * assumptions.figures()[assumptions.USABLE_CACHE].typical


def peak_of(machine: Machine, found: Result, family: str, engine: str) -> float:
    """Peak op/s of the socket on ``engine`` in the format in which it runs ``family``."""
    arithmetic = get_precision(found.precision).arithmetic[f.CODE[family]]
    run = mapper_for(machine).executes(engine, family, arithmetic)
    assert run is not None, f"{engine} ran {family} but cannot"
    return machine.peak_ops(engine, run.fmt)


def vector_peak(machine: Machine) -> float:
    """FP32 op/s of the socket on the engine that does what is no product."""
    return machine.peak_ops(mapper_for(machine).vector_engine, "fp32")


def ideal_seconds(workload: Workload, machine: Machine, found: Result) -> np.ndarray:
    """Least seconds of each kernel's operations, on the engine it ran on; shape (kernels,).

    ``found`` is an estimate of ``workload`` without fusion, kernel by kernel.
    """
    products = [
        kernel.flops / peak_of(machine, found, kernel.family, kernel.engine) if kernel.flops else 0
        for kernel in found.kernels
    ]
    return np.array(products) + workload.kernels.vector_ops / vector_peak(machine)
