"""One chunk of a cell: its variants evaluated, and the rows within the constraints as Parquet.

A chunk knows all it needs, so that a thread, a process or another computer may evaluate it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from perfmodel.errors import NotInstalled, PerfmodelError
from perfmodel.exploration.expressions import Expression
from perfmodel.exploration.space import BLOCK, RESULTS, Drawn, variant_values
from perfmodel.machine import Machine
from perfmodel.mapping.roofline import FloatArray
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import Scenario
from perfmodel.workload.workload import Workload

#: Variants of a chunk that are evaluated at once, and make one row group: what a thread needs
#: follows from these, not from the chunk.
SLICE: Final = BLOCK


@dataclass(frozen=True, eq=False)
class Work:
    """What every chunk of a cell has in common.

    Attributes:
        cell: columns that all of its rows share.
        metadata: written into every file.
    """

    cell: Mapping[str, str | int]
    workload: Workload
    machine: Machine
    scenario: Scenario
    grid: Mapping[str, FloatArray]
    drawn: tuple[Drawn, ...]
    samples: int
    seed: int
    derived: Mapping[str, Expression]
    constraints: tuple[Expression, ...]
    metadata: Mapping[str, str]


def columns(work: Work, start: int, stop: int) -> dict[str, Any]:
    """Return every column of variants ``start`` to ``stop`` that are within the constraints.

    Raises:
        UnknownName: an expression of a column that is not there.
        MachineError: a value that a figure cannot have.
        PerfmodelError: an expression without a finite value.
    """
    values = variant_values(work.grid, work.drawn, work.samples, work.seed, start, stop)
    count = stop - start
    given = values or {"cores.count": np.full(count, work.machine.cores.count.typical)}
    latency = latency_variants(
        work.workload, work.machine, given, work.scenario, every_core_count=True
    )
    rate = work.workload.batch / latency * 1e3
    tokens = work.workload.tokens if work.workload.phase else 0
    rating = values.get("power.tdp", work.machine.power.tdp.typical)
    results = (latency, rate, rate * tokens, rate / rating)
    found: dict[str, Any] = {**values, **dict(zip(RESULTS, results, strict=True))}
    typical = {path: figure.typical for path, figure in work.machine.figures().items()}
    for name, expression in work.derived.items():
        known = {**typical, "batch": float(work.workload.batch), **found}
        found[name] = np.broadcast_to(np.asarray(expression.value(known), np.float64), (count,))
    known = {**typical, "batch": float(work.workload.batch), **found}
    kept = np.ones(count, bool)
    for constraint in work.constraints:
        kept &= np.broadcast_to(np.asarray(constraint.value(known), bool), (count,))
    found = {name: np.asarray(column)[kept] for name, column in found.items()}
    for name, expression in work.derived.items():
        faults = np.flatnonzero(~np.isfinite(found[name]))
        if len(faults):
            at = ", ".join(f"{path} {found[path][faults[0]]:g}" for path in values)
            raise PerfmodelError(
                f"{name} = {expression.text!r} has no finite value{at and f' at {at}'}: leave such "
                "points out by a constraint"
            )
    return found


def parquet(work: Work, start: int, stop: int) -> bytes:
    """Return the rows of a chunk as a Parquet file: the same bytes whenever it is evaluated.

    Raises as :func:`columns`; NotInstalled without pyarrow.
    """
    _, pq = arrow()
    sink = io.BytesIO()
    metadata = {**work.metadata, "start": str(start), "stop": str(stop)}
    writer = None
    for first in range(start, stop, SLICE):
        table = _table(work, first, min(first + SLICE, stop)).replace_schema_metadata(metadata)
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return sink.getvalue()


def _table(work: Work, start: int, stop: int) -> Any:
    pa, _ = arrow()
    found = columns(work, start, stop)
    count = len(found["latency_ms"])
    cell = {
        name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [value])
        if isinstance(value, str)
        else pa.array(np.full(count, value, np.int64))
        for name, value in work.cell.items()
    }
    return pa.table({**cell, **{name: pa.array(column) for name, column in found.items()}})


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        NotInstalled: without them.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise NotInstalled("pyarrow", "explore") from None
    return pyarrow, pyarrow.parquet
