"""One workload on many variants of one CPU: what-if grids and uncertainty samples.

The same formula as a single estimate, with a leading axis of variants. Each variant equals
:func:`~perfmodel.mapping.estimation.estimate` of ``machine.with_values`` of its figures, whichever
figures vary: counts (of cores, of cache domains, of memory channels) decide what there is to
evaluate, so variants that differ in one are evaluated apart.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Unpack

import numpy as np
import numpy.typing as npt

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.figures.figure import Expect
from perfmodel.machine import Machine, load_machine
from perfmodel.machine.schema import BANDWIDTH_PARTS
from perfmodel.mapping import assumptions
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.fastest import BUFFER
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.pilots import PILOTS, chosen, worth_trying
from perfmodel.mapping.placement import placed, placed_values
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.software import Software
from perfmodel.software.schema import PREFIX
from perfmodel.workload.workload import Workload

#: Array elements of (variants, kernels) evaluated at once.
_CHUNK_ELEMENTS = BUFFER
#: Figures in whose place a machine may list their product.
_LISTED = tuple(f"memory.{part}" for part in BANDWIDTH_PARTS)
_PRODUCT = "memory.bandwidth"


def latency_variants(
    workload: Workload,
    cpu: str | os.PathLike[str] | Machine,
    values: Mapping[str, FloatArray],
    scenario: ScenarioLike = None,
    *,
    every_core_count: bool = True,
    cores: FloatArray | None = None,
    table: Columns | None = None,
    **options: Unpack[RunOptions],
) -> FloatArray:
    """Latency in milliseconds for each variant of ``cpu``, shape (variants,).

    Args:
        values: figures by dotted path, of the machine (``machine.figures()`` lists them) or of the
            software (``software.figures()``), each of shape (variants,)
            in SI units; all other figures stay at their typical values. Clocks are not held to
            their maximum: samples of both ranges may cross.
        scenario, options: as for :func:`perfmodel.mapping.estimate`.
        every_core_count: try every active-core count for every variant. Otherwise only those that
            make up for all others in pilot variants, drawn at random: some five times faster, never
            below the exact latency, and within a thousandth of it where figures vary by a few
            tenths. Where all of a machine's figures vary by more than twice, some hundredth of the
            variants are further off, by some hundredths.
        cores: active cores to try for each kernel, shape (P, kernels), in place of either.
        table: columns of the workload to use in place of its own, where they were changed since
            :func:`~perfmodel.mapping.prepared.prepare`.

    Raises:
        UnknownName: for a path, CPU, precision, state or software that does not exist.
        MachineError: for a value that the figure at its path cannot have.
        PerfmodelError: if the arrays differ in length or there is none.
    """
    run = scenario_of(scenario, options)
    machine = load_machine(cpu)
    if table is None:
        _, table = prepare(workload, run, placed(machine, run))
    found = Variants(machine, values, run)
    return found.latency(table, every_core_count=every_core_count, cores=cores)


class Variants:
    """Variants of one machine, checked, and told apart by what has to be evaluated apart.

    Args:
        values: figures by path, as of :func:`latency_variants`.
        run: how they run whatever is asked about.

    Raises:
        UnknownName, MachineError, PerfmodelError: as :func:`latency_variants`.
    """

    def __init__(self, machine: Machine, values: Mapping[str, FloatArray], run: Scenario) -> None:
        arrays = {path: np.asarray(value, dtype=np.float64) for path, value in values.items()}
        shapes = {array.shape for array in arrays.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise PerfmodelError(
                f"variants of {machine.id}: expected arrays of one common shape (variants,), "
                f"found {', '.join(map(str, sorted(shapes))) or 'none'}"
            )
        ((self._count,),) = shapes
        self._parts = [
            (rows, _Alike(alike, {path: arrays[path][rows] for path in rest}, len(rows), run))
            for rows, alike, rest in _alike(machine, run.loaded, arrays)
        ]

    def latency(
        self,
        table: Columns,
        *,
        every_core_count: bool = True,
        cores: FloatArray | None = None,
    ) -> FloatArray:
        """Return milliseconds of what ``table`` asks for; arguments as of :func:`latency_variants`.

        Shape (variants,).
        """
        milliseconds = np.empty(self._count)
        for rows, part in self._parts:
            milliseconds[rows] = part.latency(table, every_core_count, cores)
        return milliseconds


def _alike(
    machine: Machine, software: Software, values: Mapping[str, FloatArray]
) -> Iterator[tuple[npt.NDArray[np.intp], Machine, list[str]]]:
    """Variants that have all counts in common, by index; the machine with these; other paths.

    Raises UnknownName or MachineError for a path or a value that does not exist.
    """
    expected = machine.settable()
    of_software = mapper_for(machine).applied(software).software.settable()
    kinds = {}
    for path, array in values.items():
        known: Mapping[str, Expect] = expected
        whose = machine.id
        if path.startswith(f"{PREFIX}."):
            known, whose = of_software, software.id
        elif path.startswith(assumptions.PREFIX):
            known = assumptions.settable()
        if path not in known:
            raise UnknownName(f"figure of {whose}", path, known)
        known[path].check_all(array, f"{machine.id}: {path}")
        kinds[path] = known[path].kind
    counts = [path for path in values if kinds[path] == "count"]
    # Without counts, all are alike.
    same = np.zeros(len(next(iter(values.values()))))
    rows = np.stack([*(values[path] for path in counts), same], axis=1)
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    # What with_values changes beside the figures themselves: a listed bandwidth gives way to the
    # channels and transfer rate it came from (unless it is given with them), and a figure that was
    # absent is there.
    stated = machine.figures()
    listed = {*_LISTED, _PRODUCT} if any(path in values for path in _LISTED) else set()
    changed = [
        path
        for path in values
        if path in expected and (path in counts or path not in stated or path in listed)
    ]
    fixed = [path for path in counts if path in expected]
    rest = [path for path in values if path not in fixed]
    for number, index in enumerate(first.tolist()):
        own = {path: float(values[path][index]) for path in changed}
        alike = machine.with_values(own) if own else machine
        yield np.flatnonzero(group == number), alike, rest


class _Alike:
    """Variants of ``whole`` that have the same counts."""

    def __init__(
        self, whole: Machine, values: Mapping[str, FloatArray], count: int, run: Scenario
    ) -> None:
        self._machine, self._run, self._count = placed(whole, run), run, count
        self._values = placed_values(values, whole, run)

    def _mapper(self, rows: slice | npt.NDArray[np.intp]) -> Mapper:
        return mapper_for(self._machine, {p: array[rows] for p, array in self._values.items()})

    @functools.cached_property
    def _all(self) -> Mapper:
        """Of all variants at once: what does not depend on a workload is worked out once."""
        return self._mapper(slice(None))

    def latency(
        self, table: Columns, every_core_count: bool, cores: FloatArray | None
    ) -> FloatArray:
        """Milliseconds, shape (variants,)."""
        run, count, alone = self._run, self._count, not self._run.several
        if not self._values:
            mapper = mapper_for(self._machine)
            seconds = mapper.latency(table, run.loaded, run.state, cores, alone=alone)
            return np.full(count, seconds @ table.count * 1e3)
        if cores is None and not every_core_count and count > PILOTS:
            candidates = mapper_for(self._machine).candidates(run.loaded)
            if len(candidates) > 1:
                pilots = self._mapper(chosen(list(self._values.values())))
                seconds = pilots.every_latency(table, run.loaded, run.state, alone=alone)
                order, index = worth_trying(seconds, table.count)
                table, cores = table.take(order), candidates[index, 0]
        step = max(1, _CHUNK_ELEMENTS // len(table.family))
        milliseconds = np.empty(count)
        for start in range(0, count, step):
            rows = slice(start, start + step)
            mapper = self._all if count <= step else self._mapper(rows)
            seconds = mapper.latency(table, run.loaded, run.state, cores, alone=alone)
            milliseconds[rows] = seconds @ table.count * 1e3
        return milliseconds
