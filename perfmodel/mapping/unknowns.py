"""The unknowns behind a ranking: figures that carry a range, and samples of them.

A figure stands for the same unknown in two machines if path, range and source are the same: what
one does not know about a Zen 4 core does not differ between two CPUs that are built of it, and must
not be drawn twice. So do figures of one table with the same range and source: one estimate of how
efficient convolutions are does not become two that cancel out by being stated for two kinds of
them. Figures of the runtime are common to all machines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.machine import Figure, Machine
from perfmodel.mapping import assumptions
from perfmodel.mapping.roofline import FloatArray
from perfmodel.software import Software, load_software
from perfmodel.software.schema import PREFIX

#: A table, and the range and source that figures in it share.
_Key = tuple[str, float, float, float, str]


@dataclass(frozen=True)
class Unknown:
    """One quantity that is known only as a range.

    Attributes:
        paths: dotted paths of the figures that state it, all in one table.
        figure: its range, confidence and source.
        machines: ids of the machines it is a figure of; empty for one that all of them share.
        whole: whether it is a count, whose samples are whole numbers.
    """

    paths: tuple[str, ...]
    figure: Figure
    machines: tuple[str, ...]
    whole: bool = False

    @property
    def path(self) -> str:
        """The path of its figure; of several, their table and what each is called in it."""
        table, _, _ = self.paths[0].rpartition(".")
        names = [path.rpartition(".")[2] for path in self.paths]
        return f"{table}.{'/'.join(names)}" if table else "/".join(names)

    @property
    def label(self) -> str:
        """For people: whose figure it is, and which."""
        return f"{', '.join(self.machines)}: {self.path}" if self.machines else self.path


@dataclass(frozen=True, eq=False)
class Samples:
    """Joint samples of all unknowns.

    Attributes:
        unknowns: the D unknowns.
        unit: their quantiles in (0, 1), shape (samples, D).
        values: the sampled figures in SI units, shape (samples, D).
    """

    unknowns: tuple[Unknown, ...]
    unit: FloatArray
    values: FloatArray

    def columns(self, machines: Iterable[str]) -> list[int]:
        """Indices of the unknowns that matter for these machines, those shared by all included."""
        wanted = set(machines)
        return [
            index
            for index, unknown in enumerate(self.unknowns)
            if not unknown.machines or wanted & set(unknown.machines)
        ]

    def of(self, machine: str) -> dict[str, FloatArray]:
        """Samples by path for one machine, shared ones included; each of shape (samples,)."""
        return {
            path: self.values[:, i]
            for i in self.columns([machine])
            for path in self.unknowns[i].paths
        }


def machine_unknowns(machines: Sequence[Machine], wanted: Callable[[str], bool]) -> list[Unknown]:
    """Every unknown among these machines' figures whose dotted path is ``wanted``."""
    owners: dict[tuple[str, _Key], list[str]] = {}
    figures: dict[_Key, Figure] = {}
    for machine in machines:
        for path, figure in machine.figures().items():
            if figure.is_range and wanted(path):
                key = _key(path, figure)
                figures[key] = figure
                owners.setdefault((path, key), []).append(machine.id)
    # Only what the same machines state is one: a table may hold more in one of them.
    shared: dict[tuple[_Key, tuple[str, ...]], list[str]] = {}
    for (path, key), ids in owners.items():
        shared.setdefault((key, tuple(sorted(set(ids)))), []).append(path)
    return [
        Unknown(tuple(paths), figures[key], machine_ids)
        for (key, machine_ids), paths in shared.items()
    ]


def common_unknowns(figures: Mapping[str, Figure], machines: Sequence[Machine]) -> list[Unknown]:
    """Return every unknown among ``figures`` that are the same on all machines.

    A machine whose file states one of them for itself has that instead.
    """
    shared: dict[tuple[_Key, tuple[str, ...]], list[str]] = {}
    ranges: dict[_Key, Figure] = {}
    for path, figure in figures.items():
        ids = tuple(machine.id for machine in machines if path not in machine.figures())
        if figure.is_range and ids:
            key = _key(path, figure)
            ranges[key] = figure
            shared.setdefault((key, () if len(ids) == len(machines) else ids), []).append(path)
    return [Unknown(tuple(paths), ranges[key], ids) for (key, ids), paths in shared.items()]


def _key(path: str, figure: Figure) -> _Key:
    table, _, _ = path.rpartition(".")
    return table, figure.low, figure.typical, figure.high, figure.source


def unknowns(machines: Sequence[Machine], software: str | Software) -> tuple[Unknown, ...]:
    """Every unknown that can move these machines' latencies, in a fixed order.

    Power, price and figures that the time formula does not read are left out.
    """

    chosen = load_software(software)

    def matters(path: str) -> bool:
        room, _, rest = path.partition(".")
        if room == PREFIX:
            return rest.startswith(f"{chosen.id}.")
        silent = ("power", "price", "rental", "efficiency_cores")
        return room not in silent and path != "memory.capacity"

    found = machine_unknowns(machines, matters)
    found += common_unknowns({**assumptions.figures(), **chosen.figures()}, machines)
    counts = {
        path
        for known in (*(machine.settable() for machine in machines), chosen.settable())
        for path, expected in known.items()
        if expected.kind == "count"
    }
    found = [replace(unknown, whole=not counts.isdisjoint(unknown.paths)) for unknown in found]
    return tuple(sorted(found, key=lambda unknown: (unknown.machines, unknown.path)))


def sample(wanted: Sequence[Unknown], count: int, seed: int) -> Samples:
    """``count`` joint samples of independent unknowns, the same for the same ``seed``.

    Each is drawn from the triangular distribution between low and high with its mode at typical:
    the least one can claim who knows a range and a best guess. The quantiles are a Latin hypercube,
    which stratifies every unknown; Sobol points of this many dimensions pair some of them up, so
    that one unknown's effect shows up as another's. Samples of counts are whole numbers.
    """
    if not wanted:
        return Samples((), np.empty((count, 0)), np.empty((count, 0)))
    unit = latin_hypercube(count, len(wanted), seed)
    low, typical, high = (
        np.array([getattr(unknown.figure, bound) for unknown in wanted])
        for bound in ("low", "typical", "high")
    )
    width = high - low
    values = low + width * triangular_quantile(unit, (typical - low) / width)
    values = np.where([unknown.whole for unknown in wanted], np.round(values), values)
    return Samples(tuple(wanted), unit, values)


def latin_hypercube(count: int, dimensions: int, seed: int) -> FloatArray:
    """Return points in the unit cube, shape (count, dimensions), one in each of ``count`` strata.

    The same points as SciPy's ``qmc.LatinHypercube``, whose import takes longer than a ranking.
    """
    (rng,) = np.random.default_rng(seed).spawn(1)
    within = rng.uniform(size=(count, dimensions))
    strata = np.tile(np.arange(1, count + 1), (dimensions, 1))
    for row in strata:
        rng.shuffle(row)
    return (strata.T - within) / count


def triangular_quantile(share: FloatArray, mode: FloatArray) -> FloatArray:
    """Return the quantile of the triangular distribution on [0, 1] at ``share``.

    Args:
        share: 0 to 1, any shape that broadcasts with ``mode``.
        mode: where the distribution is highest, 0 to 1.
    """
    rising = np.sqrt(mode * share)
    falling = 1 - np.sqrt((1 - mode) * (1 - share))
    found: FloatArray = np.where(share < mode, rising, falling)
    return found
