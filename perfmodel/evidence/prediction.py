"""Predictions of measured points, at typical figures or at many values of them at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from perfmodel.evidence.cases import Case
from perfmodel.evidence.measurements import MeasuredSet, Row
from perfmodel.machine import Machine
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.estimation import estimate_columns
from perfmodel.mapping.placement import placed, placed_values
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario
from perfmodel.serving.partition import divided, total_cores
from perfmodel.serving.sharing import instance, instance_columns, instance_values
from perfmodel.vocabulary.kinds import Kind
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload

#: Cores of an instance, and samples of a run, that a throughput without either is the best of.
_SIZES: Final = (1, 2, 4, 8)
_BATCHES: Final = (1, 8, 32, 128)


@dataclass(frozen=True, eq=False)
class Setting:
    """A point made ready: what one instance runs, and how a result follows from its seconds.

    Attributes:
        machine: the whole socket, with the cores that were in use.
        run: with the division of the socket.
        workload: what one run of one instance is of, as fused.
        columns: its kernels.
        per_run: samples or tokens of one run of all instances on all sockets; for a latency 1.
    """

    case: Case
    machine: Machine
    run: Scenario
    workload: Workload
    columns: Columns
    partition: Partition | None
    per_run: float

    @property
    def batch(self) -> int:
        """Return the samples of one run of one instance."""
        return self.workload.batch

    def bottleneck(self) -> str:
        """Return what most of the predicted time goes to, as an estimate has it."""
        own = self.machine if self.partition is None else instance(self.machine, self.partition)
        return estimate_columns(self.workload, self.columns, own, self.run).bottleneck

    @functools.cached_property
    def _own(self) -> Machine:
        """What one instance has of the socket."""
        if self.partition is None:
            return placed(self.machine, self.run)
        return instance(self.machine, self.partition)

    def seconds(self, values: Mapping[str, FloatArray] | None = None) -> FloatArray:
        """Return seconds of one run of one instance, shape (variants,), or (1,) without values.

        Args:
            values: figures by path in a run, arrays of shape (variants,) in SI units.
        """
        given = {path: np.asarray(value, np.float64) for path, value in (values or {}).items()}
        if self.partition is None:
            given = placed_values(given, self.machine, self.run)
        else:
            given = instance_values(given, self.machine, self.partition)
        alone = not self.run.several
        mapper = mapper_for(self._own, given)
        latency = mapper.latency(self.columns, self.run.loaded, self.run.state, alone=alone)
        return np.atleast_1d(latency @ self.columns.count)

    def value(self, values: Mapping[str, FloatArray] | None = None) -> FloatArray:
        """Return seconds, or samples or tokens per second, as the point states it; (variants,)."""
        seconds = self.seconds(values)
        return self.per_run / seconds if self.case.is_rate else seconds


def kind_of(group: MeasuredSet, row: Row) -> Kind:
    """Return what kind of run a point is of."""
    if row.phase is not None:
        return row.phase
    return "single" if group.quantity == "latency" and (row.instances or 1) == 1 else "throughput"


def setting(case: Case) -> Setting:
    """Return the point made ready to be predicted; of a throughput, at its best division.

    Raises:
        PerfmodelError: conditions that the machine cannot meet.
    """
    # Rows are equal where one states the batch that the other has by default.
    return _setting(case, case.row.batch)


@functools.lru_cache(maxsize=4096)
def _setting(case: Case, stated_batch: int | None) -> Setting:
    group, row = case.group, case.row
    sockets = group.sockets if group.quantity != "latency" else 1
    if group.quantity == "throughput" and row.instances is None:
        options = [
            _at(case, Partition(total_cores(case.machine) // size, size), batch, sockets)
            for size in ((row.cores,) if row.cores else _SIZES)
            for batch in ((stated_batch,) if stated_batch else _BATCHES)
            if size <= total_cores(case.machine)
        ]
        return max(options, key=lambda option: float(option.value()[0]))
    count = max(1, round((row.instances or 1) / sockets))
    if count == 1:
        return _at(case, None, row.samples, sockets)
    cores = row.cores or max(1, total_cores(case.machine) // count)
    return _at(case, Partition(count, cores), row.samples, sockets)


def _at(case: Case, partition: Partition | None, batch: int, sockets: int) -> Setting:
    workload = case.workload if batch == case.row.samples else case.at_batch(batch)
    run = case.group.scenario
    if partition is not None:
        run = divided(run, partition)
        if case.row.instances is None:
            # Streams of one process, as far as a source does not say otherwise.
            run = replace(run, weights="shared")
    fused, table = prepare(workload, run, case.machine)
    if partition is not None:
        table = instance_columns(workload, table, case.machine, partition, run.weights)
    each = workload.batch * max(1, workload.tokens) if case.row.phase else workload.batch
    count = (partition.instances if partition else 1) * sockets
    return Setting(case, case.machine, run, fused, table, partition, float(each * count))
