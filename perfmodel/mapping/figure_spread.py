"""How far one estimate moves within the ranges of the figures that it rests on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from perfmodel.certainty.error_model import NORMAL
from perfmodel.machine import Machine
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.roofline import FloatArray, Times
from perfmodel.mapping.unknowns import Unknown, unknowns
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import Scenario
from perfmodel.software import Software
from perfmodel.workload.workload import Workload

#: Milliseconds for figures by path, each of shape (variants,).
Evaluate = Callable[[Mapping[str, FloatArray]], FloatArray]

#: Half a triangular distribution's width over its standard deviation: JCGM 100:2008 (GUM), 4.3.9.
_TRIANGULAR: Final = math.sqrt(6)


@dataclass(frozen=True, eq=False)
class FigureSpread:
    """The ranges behind one estimate, evaluated when they are asked for.

    Attributes:
        machine, software: whose figures they are.
        evaluate: the estimate of the same run for other figures.
    """

    machine: Machine
    software: Software
    evaluate: Evaluate

    @classmethod
    def of_run(
        cls, workload: Workload, table: Columns, machine: Machine, run: Scenario, times: Times
    ) -> FigureSpread:
        """Return the one of an estimate on a machine; each kernel keeps its active cores.

        Args:
            table: columns of the workload, as in the estimate.
            machine: the whole socket, or an instance's share of it, before it is placed.
            times: of the estimate.
        """
        cores = None
        if run.loaded.threads != "all":
            cores = np.minimum(times.cores, machine.cores.count.low)[None, :]
        evaluate = functools.partial(
            _on_variants, workload, machine, run=run, cores=cores, table=table
        )
        return cls(machine, run.loaded, evaluate)

    @functools.cached_property
    def half_widths(self) -> tuple[float, float]:
        """The logarithms by which the latency may be less and more, in 80 % of cases.

        Each unknown goes to either end of its range by itself, and what it moves the latency by
        adds up as squares (JCGM 100:2008, 5.1.2). So a wider range never narrows it, as quantiles
        of samples may be: they shift with the side that was widened. Unknowns are those of
        :func:`~perfmodel.mapping.unknowns.unknowns`.
        """
        found = unknowns([self.machine], self.software)
        # Variants that differ in a count are evaluated one by one.
        moves = [
            self._moves([unknown for unknown in found if unknown.whole is whole])
            for whole in (False, True)
        ]
        moved = np.concatenate(moves)
        less = np.minimum(moved.min(axis=1, initial=0.0), 0.0)
        more = np.maximum(moved.max(axis=1, initial=0.0), 0.0)
        scale = NORMAL / _TRIANGULAR
        return scale * float(np.linalg.norm(less)), scale * float(np.linalg.norm(more))

    def _moves(self, wanted: Sequence[Unknown]) -> FloatArray:
        """Logarithm of latency at the low and the high end of each over that at typical, (N, 2)."""
        count = len(wanted)
        if not count:
            return np.empty((0, 2))
        values: dict[str, FloatArray] = {}
        for row, unknown in enumerate(wanted):
            figure = unknown.figure
            column = np.full(2 * count + 1, figure.typical)
            column[2 * row : 2 * row + 2] = figure.low, figure.high
            values |= dict.fromkeys(unknown.paths, column)
        logs = np.log(self.evaluate(values))
        moved: FloatArray = (logs[:-1] - logs[-1]).reshape(count, 2)
        return moved


def _on_variants(
    workload: Workload,
    machine: Machine,
    values: Mapping[str, FloatArray],
    *,
    run: Scenario,
    cores: FloatArray | None,
    table: Columns,
) -> FloatArray:
    return latency_variants(workload, machine, values, run, cores=cores, table=table)
