"""A part of a socket as a machine of its own, or several sockets as one.

A core's clock falls as more of them work: ``max`` is of one, ``sustained`` and those of the engines
are of all. In between, the clock falls by the same step for each doubling of the working cores, as
the turbo tables of vendors do, roughly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import PerfmodelError
from perfmodel.figures.figure import Figure
from perfmodel.machine.schema import BANDWIDTH_PARTS, Machine

#: What is built: eight sockets with glue of the vendor, sixteen with other glue.
MOST_SOCKETS: Final = 16
_POWER: Final = ("power.tdp", "power.idle", "power.limit")
#: Figures that several sockets have several times, beside the memory's channels and bandwidth.
_OF_A_SOCKET: Final = (
    "cores.count", "cache.l3", "cache.l3_domains", "memory.capacity", *_POWER, "price.launch",
)  # fmt: skip


def with_cores(machine: Machine, cores: int | None) -> Machine:
    """Return ``machine`` with at most ``cores`` of its cores at work, at the clock they hold then.

    Caches and memory stay; of a cache that is divided into more domains than there are cores left,
    each core has one to itself, and the rest stays unused. None stands for all cores.
    """
    total = machine.cores.count.typical
    if cores is None or cores >= total:
        return machine
    if machine.sockets > 1 and cores <= machine.cores_per_socket:
        return with_cores(one_socket(machine), cores)
    values: dict[str, Figure | float] = {"cores.count": float(cores)}
    values |= _clocks(machine, math.log2(cores) / math.log2(total))
    if machine.numa_domains > 1 and cores <= machine.cores_per_numa_domain:
        values["topology.numa_domains"] = 1.0
    domains = machine.cache.l3_domains.typical
    if cores < domains:
        values["cache.l3_domains"] = float(cores)
        values["cache.l3"] = machine.cache.l3.typical * cores / domains
    return machine.with_values(values)


def joined(machine: Machine, sockets: int) -> Machine:
    """Return ``sockets`` of ``machine``, a single socket, as one machine.

    Cores, caches, memory channels, capacity, power and price are those of all together; what one
    core, one cache domain or one memory domain has stays.

    Raises:
        PerfmodelError: no whole number of sockets in 1 to :data:`MOST_SOCKETS`, or a machine that
            has several already.
    """
    if (
        isinstance(sockets, bool)
        or not isinstance(sockets, int)
        or not 1 <= sockets <= MOST_SOCKETS
    ):
        raise PerfmodelError(f"sockets: expected 1 to {MOST_SOCKETS}, found {sockets}")
    if sockets == 1:
        return machine
    if machine.sockets > 1:
        raise PerfmodelError(
            f"{machine.id} has {machine.sockets} sockets already: leave the sockets out"
        )
    figures = machine.figures()
    values: dict[str, Figure | float] = {
        path: scaled(figures[path], sockets) for path in _OF_A_SOCKET if path in figures
    }
    values |= _bandwidth(machine, sockets)
    values["memory.channels"] = figures["memory.channels"].typical * sockets
    values["topology.sockets"] = float(sockets)
    values["topology.numa_domains"] = float(sockets * machine.numa_domains)
    return machine.with_values(values)


def one_socket(machine: Machine) -> Machine:
    """Return one socket of ``machine``: what :func:`joined` makes several of."""
    if machine.sockets == 1:
        return machine
    figures, share = machine.figures(), 1 / machine.sockets
    values: dict[str, Figure | float] = {
        path: scaled(figures[path], share) for path in _OF_A_SOCKET if path in figures
    }
    values |= _bandwidth(machine, share)
    values["memory.channels"] = figures["memory.channels"].typical * share
    values["topology.sockets"] = 1.0
    values["topology.numa_domains"] = float(machine.numa_domains // machine.sockets)
    return machine.with_values(values)


def part_of(machine: Machine, cores: int, of: int | None = None) -> Machine:
    """Return ``cores`` of a socket as whoever rents them has them, all others being at work.

    Clocks are those of a busy socket. Of what cores share (bandwidth, last-level cache, power) the
    part has its share by cores; a cache domain, its link to memory and a memory domain are divided
    where they hold more cores than the part has.

    Args:
        machine: one socket.
        of: cores of the socket among which it is divided; all of them unless given.
    """
    total = int(machine.cores.count.typical)
    of = of or total
    share, figures = cores / of, machine.figures()
    domains = min(cores, -(-cores * int(machine.cache.l3_domains.typical) // of))
    in_domain = min(1.0, share * machine.cache.l3_domains.typical / domains)
    shares = dict.fromkeys(("cache.l3", *_POWER), share)
    shares |= dict.fromkeys(("memory.per_domain", "core.cache_bandwidth.l3_domain"), in_domain)
    values: dict[str, Figure | float] = {
        path: scaled(figures[path], by) for path, by in shares.items() if path in figures
    }
    values |= {"cores.count": float(cores), "cache.l3_domains": float(domains)}
    values |= _bandwidth(machine, share)
    if machine.numa_domains > 1:
        values["topology.numa_domains"] = float(-(-cores * machine.numa_domains // of))
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
    if machine.sockets > 1:
        values["topology.sockets"] = 1.0
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
    """How far the cores of one memory domain are between one core and a socket, by doublings."""
    if machine.cores_per_socket == machine.cores_per_numa_domain:
        return 1.0
    return math.log2(machine.cores_per_numa_domain) / math.log2(machine.cores_per_socket)


def _bandwidth(machine: Machine, share: float) -> dict[str, Figure | float]:
    """The peak bandwidth times ``share``, listed; its range is then in there, not in its factors.

    A factor that is sampled would win over the listed product.
    """
    memory, rate = machine.memory, machine.memory.transfer_rate
    if memory.bandwidth is not None:
        return {"memory.bandwidth": scaled(memory.bandwidth, share)}
    parts: list[Figure] = [getattr(memory, part) for part in BANDWIDTH_PARTS]
    low, typical, high = (
        math.prod(getattr(part, bound) for part in parts) for bound in ("low", "typical", "high")
    )
    source = f"Of all channels: {rate.source}"
    peak = Figure(low, typical, high, "B/s", rate.confidence, source)
    exact = {
        f"memory.{name}": part.typical for name, part in zip(BANDWIDTH_PARTS, parts, strict=True)
    }
    return {"memory.bandwidth": scaled(peak, share), **exact}


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
