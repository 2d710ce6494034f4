"""A part of a socket as a machine of its own: some of its cores, or one memory domain.

A core's clock falls as more of them work: ``max`` is of one, ``sustained`` and those of the engines
are of all. In between, the clock falls by the same step for each doubling of the working cores, as
the turbo tables of vendors do, roughly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from perfmodel.figures.figure import Figure
from perfmodel.machine.schema import Machine


def with_cores(machine: Machine, cores: int | None) -> Machine:
    """Return ``machine`` with at most ``cores`` of its cores at work, at the clock they hold then.

    Caches and memory stay; of a cache that is divided into more domains than there are cores left,
    each core has one to itself, and the rest stays unused. None stands for all cores.
    """
    total = machine.cores.count.typical
    if cores is None or cores >= total:
        return machine
    values: dict[str, Figure | float] = {"cores.count": float(cores)}
    values |= _clocks(machine, math.log2(cores) / math.log2(total))
    if machine.numa_domains > 1 and cores <= machine.cores_per_numa_domain:
        values["topology.numa_domains"] = 1.0
    domains = machine.cache.l3_domains.typical
    if cores < domains:
        values["cache.l3_domains"] = float(cores)
        values["cache.l3"] = machine.cache.l3.typical * cores / domains
    return machine.with_values(values)


def domain_shares(machine: Machine) -> dict[str, float]:
    """Return what one memory domain has of each shared figure of its socket, by dotted path."""
    count = machine.numa_domains
    if count == 1:
        return {}
    share = 1 / count
    found = {
        "cores.count": machine.cores_per_numa_domain / machine.cores.count.typical,
        "cache.l3": share,
        "memory.sustained": share,
    }
    if machine.cache.l3_domains.typical >= count:
        found["cache.l3_domains"] = share
    elif machine.core.cache_bandwidth.l3_domain is not None:
        found["core.cache_bandwidth.l3_domain"] = share
    return found


def one_domain(machine: Machine) -> Machine:
    """Return one memory domain of ``machine``: its cores, L3 and channels; no more of the rest."""
    shares = domain_shares(machine)
    if not shares:
        return machine
    figures = machine.figures()
    values: dict[str, Figure | float] = {
        path: scaled(figures[path], share) for path, share in shares.items()
    }
    # Counts are whole.
    for path in ("cores.count", "cache.l3_domains"):
        if path in values:
            values[path] = float(max(1, round(float(values[path]))))
    values["topology.numa_domains"] = 1.0
    values |= _clocks(machine, _domain_depth(machine))
    return machine.with_values(values)


def domain_clocks(
    machine: Machine, values: Mapping[str, npt.NDArray[np.float64]]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return sampled clocks of the whole socket as :func:`one_domain` has them, by dotted path."""
    figures, depth = machine.figures(), _domain_depth(machine)
    top = values.get("clock.max", np.asarray(machine.clock.max.typical))
    found = {}
    for path in ("clock.sustained", *(f"clock.engine.{name}" for name in machine.clock.engine)):
        if path in values or "clock.max" in values:
            value = values.get(path, np.asarray(figures[path].typical))
            found[path] = top + (np.minimum(value, top) - top) * depth
    return found


def scaled(figure: Figure, share: float) -> Figure:
    """Return ``figure`` with its whole range times ``share``."""
    low, typical, high = (value * share for value in (figure.low, figure.typical, figure.high))
    return Figure(low, typical, high, figure.unit, figure.confidence, figure.source)


def _domain_depth(machine: Machine) -> float:
    """How far the cores of one memory domain are between one core and all, by doublings."""
    return math.log2(machine.cores_per_numa_domain) / math.log2(machine.cores.count.typical)


def _clocks(machine: Machine, depth: float) -> dict[str, Figure]:
    """Clocks at ``depth`` between one working core (0) and all of them (1)."""
    top = machine.clock.max.typical
    paths = ["clock.sustained", *(f"clock.engine.{name}" for name in machine.clock.engine)]
    figures = machine.figures()
    found = {}
    for path in paths:
        figure = figures[path]
        low, typical, high = (
            top + (min(value, top) - top) * depth
            for value in (figure.low, figure.typical, figure.high)
        )
        found[path] = Figure(low, typical, high, figure.unit, figure.confidence, figure.source)
    return found
