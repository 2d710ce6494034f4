"""Modelled energy beside what the counters of this computer say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.cost.power import MEASURED, package_power
from perfmodel.cost.rapl import POWERCAP, Energy, measure_energy
from perfmodel.machine import Machine
from perfmodel.mapping import Result
from perfmodel.vocabulary.partition import Partition


@dataclass(frozen=True)
class PowerPoint:
    """One run of one model: joules per sample and watts, modelled and measured.

    Attributes:
        fps_per_watt: samples per joule as measured; its basis is "measured".
        measured: what the counters counted, over all runs. They count all packages, idle power and
            whatever else ran in them.
    """

    model: str
    machine: str
    threads: int
    modelled_j: float
    measured_j: float
    modelled_w: float
    measured_w: float
    fps_per_watt: float
    measured: Energy

    @property
    def ratio(self) -> float:
        """Modelled over measured joules."""
        return self.modelled_j / self.measured_j

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON, units in the keys."""
        return {
            "model": self.model,
            "machine": self.machine,
            "threads": self.threads,
            "modelled_energy_j": self.modelled_j,
            "measured_energy_j": self.measured_j,
            "ratio": self.ratio,
            "modelled_w": self.modelled_w,
            "measured_w": self.measured_w,
            "fps_per_watt": self.fps_per_watt,
            "power_basis": MEASURED,
            "runs": self.measured.runs,
            "seconds": self.measured.seconds,
            "packages_j": dict(self.measured.packages),
        }


def power_point(
    run: Callable[[], object],
    estimate: Result,
    machine: Machine,
    threads: int,
    root: Path = POWERCAP,
    **measuring: Any,
) -> PowerPoint:
    """Measure ``run`` and hold it against what the model says of it.

    Args:
        run: one run of the batch that was estimated, warmed up, on ``threads`` cores.
        estimate: of that run on so many cores of ``machine``.
        machine: the whole socket; other sockets count into what is measured.
        measuring: see :func:`~perfmodel.cost.rapl.measure_energy`.

    Raises:
        NoCounter, PerfmodelError: as :func:`~perfmodel.cost.rapl.measure_energy`.
    """
    found = measure_energy(run, root, **measuring)
    modelled = package_power(estimate, machine, Partition(1, threads))
    per_sample = found.joules_per_run / estimate.batch
    return PowerPoint(
        model=estimate.model,
        machine=machine.id,
        threads=threads,
        modelled_j=float(modelled.energy_j),
        measured_j=per_sample,
        modelled_w=float(modelled.package_w),
        measured_w=found.watts,
        fps_per_watt=1 / per_sample,
        measured=found,
    )
