"""One workload on many variants of one CPU: what-if grids and uncertainty samples.

The same formula as a single estimate, with a leading axis of variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.estimate import mapper_for, prepare
from perfmodel.mapping.roofline import FloatArray
from perfmodel.mapping.runtimes import get_runtime
from perfmodel.precision import get_precision
from perfmodel.workload.workload import Workload

#: Array elements of (variants, core counts, kernels) evaluated at once: a few arrays of this size
#: stay in a core's L2, which made the whole evaluation up to five times faster than one big array.
_CHUNK_ELEMENTS = 150_000


def latency_variants(
    workload: Workload,
    cpu: str | Path | Machine,
    values: Mapping[str, FloatArray],
    precision: str = "int8",
    state: str = "steady",
    runtime: str = "compiled",
) -> FloatArray:
    """Latency in milliseconds for each variant of ``cpu``, shape (variants,).

    Args:
        values: figures by dotted path (``machine.figures()`` lists them), each an array of shape
            (variants,) in SI units; all other figures stay at their typical values.

    Raises:
        UnknownName: for a path, CPU, precision, state or runtime that does not exist.
        PerfmodelError: if the arrays differ in length or there is none.
    """
    machine = load_machine(cpu)
    chosen = get_runtime(runtime)
    _, table = prepare(workload, get_precision(precision), chosen)
    arrays = {path: np.asarray(value, dtype=np.float64) for path, value in values.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise PerfmodelError(
            f"variants of {machine.id}: expected arrays of one common shape (variants,), "
            f"found {', '.join(map(str, sorted(shapes))) or 'none'}"
        )
    ((count,),) = shapes
    mapper = mapper_for(machine, arrays)
    step = max(1, _CHUNK_ELEMENTS // (mapper.cores * max(1, len(table.family))))
    seconds = np.empty(count)
    for start in range(0, count, step):
        part = {path: array[start : start + step] for path, array in arrays.items()}
        times = mapper_for(machine, part).times(table, chosen, state)
        seconds[start : start + step] = times.latency @ table.count
    return seconds * 1e3
