"""One workload on many variants of one CPU: what-if grids and uncertainty samples.

The same formula as a single estimate, with a leading axis of variants.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Unpack

import numpy as np

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.estimation import prepare
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.placement import placed, placed_values
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.software import Software
from perfmodel.software.schema import PREFIX
from perfmodel.workload.workload import Workload

#: Array elements of (variants, core counts, kernels) evaluated at once: a few arrays of this size
#: stay in a core's L2, which is several times faster than one big array.
_CHUNK_ELEMENTS = 80_000
#: Variants whose best core counts stand for all others', and how many counts a kernel may keep.
_PILOTS = 24
_CORE_COUNTS = 8


def latency_variants(
    workload: Workload,
    cpu: str | os.PathLike[str] | Machine,
    values: Mapping[str, FloatArray],
    scenario: ScenarioLike = None,
    *,
    every_core_count: bool = True,
    table: Columns | None = None,
    **options: Unpack[RunOptions],
) -> FloatArray:
    """Latency in milliseconds for each variant of ``cpu``, shape (variants,).

    Args:
        values: figures by dotted path, of the machine (``machine.figures()`` lists them) or of the
            software (``software.figures()``), each of shape (variants,)
            in SI units; all other figures stay at their typical values.
        scenario, options: as for :func:`perfmodel.mapping.estimate`.
        every_core_count: try every active-core count for every variant. Otherwise only those that
            are best in a spread of pilot variants: some ten times faster, and never below the exact
            latency.
        table: columns of the workload to use in place of its own, where they were changed since
            :func:`~perfmodel.mapping.estimation.prepare`.

    Raises:
        UnknownName: for a path, CPU, precision, state or software that does not exist.
        PerfmodelError: if the arrays differ in length or there is none.
    """
    run = scenario_of(scenario, options)
    whole, software = load_machine(cpu), run.loaded
    machine = placed(whole, run)
    if table is None:
        _, table = prepare(workload, run, machine)
    arrays = {path: np.asarray(value, dtype=np.float64) for path, value in values.items()}
    arrays = placed_values(arrays, whole, run)
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise PerfmodelError(
            f"variants of {machine.id}: expected arrays of one common shape (variants,), "
            f"found {', '.join(map(str, sorted(shapes))) or 'none'}"
        )
    ((count,),) = shapes
    _check_software(arrays, software)

    def variants(rows: slice) -> Mapper:
        return mapper_for(machine, {path: array[rows] for path, array in arrays.items()})

    cores = None
    if not every_core_count and count > _PILOTS:
        pilots = variants(slice(None, None, count // _PILOTS))
        cores = _best_counts(pilots.times(table, software, run.state, alone=not run.several).cores)
    counts = mapper_for(machine).cores if cores is None else len(cores)
    step = max(1, _CHUNK_ELEMENTS // (counts * max(1, len(table.family))))
    milliseconds = np.empty(count)
    for start in range(0, count, step):
        rows = slice(start, start + step)
        seconds = variants(rows).latency(table, software, run.state, cores, alone=not run.several)
        milliseconds[rows] = seconds @ table.count * 1e3
    return milliseconds


def _check_software(values: Mapping[str, FloatArray], software: Software) -> None:
    """Raise :class:`UnknownName` for figures of any other software, which would have no effect."""
    for path in values:
        if path.startswith(f"{PREFIX}.") and not path.startswith(f"{PREFIX}.{software.id}."):
            raise UnknownName(f"figure of {software.id}", path, software.figures())


def _best_counts(cores: FloatArray) -> FloatArray:
    """Core counts to try for each kernel, shape (P, K), from those best in the pilots (..., K)."""
    columns = []
    for chosen in cores.reshape(-1, cores.shape[-1]).T:
        counts = np.unique(chosen)
        picked = np.linspace(0, len(counts) - 1, _CORE_COUNTS).round().astype(int)
        columns.append(counts[picked])
    return np.stack(columns, axis=-1)
