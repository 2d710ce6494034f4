"""Measured energy of the CPU packages: the RAPL counters in Linux's powercap tree.

``/sys/class/powercap/intel-rapl:N`` is a package (Intel's, and AMD's from Zen on): ``energy_uj``
counts microjoules up to ``max_energy_range_uj`` and begins again at zero. It is updated about every
millisecond, so a run is repeated until seconds have passed. Since Linux 5.10 only root may read it.

The counter is of the whole package: its idle power and whatever else runs on it are in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfmodel.errors import PerfmodelError

POWERCAP: Final = Path("/sys/class/powercap")
#: Seconds a measurement lasts at least: a thousand updates of the counter and more.
SECONDS: Final = 2.0
#: No package draws more than this; it bounds how soon a counter can begin again twice.
MOST_W: Final = 2000.0

# Zones of packages alone: intel-rapl:0:0 is a part of one, intel-rapl-mmio:0 counts one again.
_ZONE: Final = re.compile(r"intel-rapl:\d+")
_PACKAGE: Final = re.compile(r"package-\d+(-die-\d+)?")


class NoCounter(PerfmodelError):
    """The machine has no energy counter, or it may not be read."""


@dataclass(frozen=True)
class Counter:
    """The energy counter of one package (or of one die of it)."""

    name: str
    zone: Path
    range_uj: int

    def read(self) -> int:
        """Microjoules since it last began at zero; raises :class:`NoCounter`."""
        return _number(self.zone / "energy_uj")

    def between(self, before: int, after: int) -> int:
        """Microjoules from one reading to a later one, if it began again at most once."""
        passed = after - before
        return passed if passed >= 0 else passed + self.range_uj + 1


@dataclass(frozen=True)
class Energy:
    """What some runs took.

    Attributes:
        runs: how many times it ran.
        seconds: all of them together.
        packages: joules of each package by name, all runs together.
    """

    runs: int
    seconds: float
    packages: tuple[tuple[str, float], ...]

    @property
    def joules(self) -> float:
        """Of all packages and runs."""
        return sum(joules for _, joules in self.packages)

    @property
    def joules_per_run(self) -> float:
        """Of all packages, one run."""
        return self.joules / self.runs

    @property
    def watts(self) -> float:
        """Of all packages, on average."""
        return self.joules / self.seconds


def counters(root: Path = POWERCAP) -> tuple[Counter, ...]:
    """The counter of each package, by name.

    Raises:
        NoCounter: there is none: no powercap tree (a virtual machine, another system than Linux, a
            CPU without RAPL), or no package in it.
    """
    found = {}
    zones = sorted(root.iterdir()) if root.is_dir() else []
    for zone in zones:
        if not _ZONE.fullmatch(zone.name):
            continue
        name = _text(zone / "name")
        if _PACKAGE.fullmatch(name):
            found[name] = Counter(name, zone, _number(zone / "max_energy_range_uj"))
    if not found:
        raise NoCounter(
            f"this machine has no energy counter: no RAPL package in {root} (virtual machines and "
            "CPUs without RAPL have none)"
        )
    return tuple(found[name] for name in sorted(found))


def measure_energy(
    run: Callable[[], object],
    root: Path = POWERCAP,
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Energy:
    """Energy of the packages while ``run`` is called again and again for ``seconds``.

    Warm it up before. The counters are read after each call, so that one that begins again is seen.

    Raises:
        NoCounter: no counter, or not the right to read it.
        PerfmodelError: one call takes so long that a counter may have begun again twice.
    """
    known = counters(root)
    joules = {counter.name: 0.0 for counter in known}
    readings = {counter.name: counter.read() for counter in known}
    longest = min(counter.range_uj for counter in known) / 1e6 / MOST_W
    begin = last = clock()
    runs = 0
    while runs == 0 or last - begin < seconds:
        run()
        now = clock()
        if now - last > longest:
            raise PerfmodelError(
                f"one run took {now - last:.0f} s, in which the energy counter (range "
                f"{longest * MOST_W:,.0f} J) may have begun again unseen: measure a shorter run"
            )
        last = now
        runs += 1
        for counter in known:
            name, reading = counter.name, counter.read()
            joules[name] += counter.between(readings[name], reading) / 1e6
            readings[name] = reading
    return Energy(runs, last - begin, tuple(joules.items()))


def _number(path: Path) -> int:
    text = _text(path)
    if not text.isdigit():
        raise NoCounter(f"{path}: {text!r}; expected a count of microjoules")
    return int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except PermissionError:
        raise NoCounter(
            f"{path} may not be read: energy counters are for root alone since Linux 5.10; run as "
            "root, or let an administrator grant reading it"
        ) from None
    except OSError as error:
        raise NoCounter(f"{path} cannot be read: {error.strerror}") from None
