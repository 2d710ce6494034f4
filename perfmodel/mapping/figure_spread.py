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
from perfmodel.mapping.variants import Variants
from perfmodel.scenario import Scenario
from perfmodel.software import Software

#: Half a triangular distribution's width over its standard deviation: JCGM 100:2008 (GUM), 4.3.9.
_TRIANGULAR: Final = math.sqrt(6)


@dataclass(frozen=True, eq=False)
class FigureSpread:
    """The ranges behind one estimate, evaluated when they are asked for.

    Attributes:
        machine, software: whose figures they are.
        evaluate: milliseconds of the same run for other figures, shape (variants,).
    """

    machine: Machine
    software: Software
    evaluate: Callable[[Ends], FloatArray]

    @classmethod
    def of_run(cls, table: Columns, machine: Machine, run: Scenario, times: Times) -> FigureSpread:
        """Return the one of an estimate on a machine; each kernel keeps its active cores.

        Args:
            table: columns of the workload, as in the estimate.
            machine: the whole socket, or an instance's share of it, before it is placed.
            times: of the estimate.
        """
        cores = None
        if run.loaded.threads != "all":
            cores = np.minimum(times.cores, machine.cores.count.low)[None, :]
        evaluate = functools.partial(_milliseconds, machine, run, table, cores)
        return cls(machine, run.loaded, evaluate)

    @functools.cached_property
    def half_widths(self) -> tuple[float, float]:
        """The logarithms by which the latency may be less and more, in 80 % of cases.

        Each unknown goes to either end of its range by itself, and what it moves the latency by
        adds up as squares (JCGM 100:2008, 5.1.2). So a wider range never narrows it, as quantiles
        of samples may be: they shift with the side that was widened. Unknowns are those of
        :func:`~perfmodel.mapping.unknowns.unknowns`.
        """
        moves = [np.empty((0, 2))]
        for ends in _ends(self.machine, self.software):
            logs = np.log(self.evaluate(ends))
            moves.append((logs[:-1] - logs[-1]).reshape(-1, 2))
        moved = np.concatenate(moves)
        less, more = np.minimum(moved, 0.0).min(axis=1), np.maximum(moved, 0.0).max(axis=1)
        scale = NORMAL / _TRIANGULAR
        return scale * float(np.linalg.norm(less)), scale * float(np.linalg.norm(more))


@dataclass(frozen=True, eq=False)
class Ends:
    """Each of some unknowns at the low and the high end of its range, all others at typical.

    Attributes:
        values: figures by path, of shape (2 * unknowns + 1,); the last is typical for all.
    """

    values: Mapping[str, FloatArray]


# A machine is compared by identity first, and seldom differs from those that were asked about.
@functools.lru_cache(maxsize=16)
def _ends(machine: Machine, software: Software) -> tuple[Ends, ...]:
    """Of all unknowns: variants that differ in a count are evaluated one by one, so apart."""
    found = unknowns([machine], software)
    kinds = [[unknown for unknown in found if unknown.whole is whole] for whole in (False, True)]
    return tuple(Ends(_at_ends(wanted)) for wanted in kinds if wanted)


def _at_ends(wanted: Sequence[Unknown]) -> dict[str, FloatArray]:
    values: dict[str, FloatArray] = {}
    for row, unknown in enumerate(wanted):
        figure = unknown.figure
        column = np.full(2 * len(wanted) + 1, figure.typical)
        column[2 * row : 2 * row + 2] = figure.low, figure.high
        values |= dict.fromkeys(unknown.paths, column)
    return values


def _milliseconds(
    machine: Machine, run: Scenario, table: Columns, cores: FloatArray | None, ends: Ends
) -> FloatArray:
    return _variants(machine, run, ends).latency(table, cores=cores)


@functools.lru_cache(maxsize=32)
def _variants(machine: Machine, run: Scenario, ends: Ends) -> Variants:
    """The variants of a machine, which are the same for every workload."""
    return Variants(machine, ends.values, run)
