"""Measured points, and the file of measurements that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from perfmodel.calibration.host.detection import Host, machine_text
from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.runners import RUNNERS
from perfmodel.calibration.host.timing import Timing
from perfmodel.calibration.machine_file import versions, write
from perfmodel.evidence.measurements import FIT, VALIDATION

#: The software that runs operator by operator.
EAGER: Final = "eager"


@dataclass(frozen=True)
class Point:
    """One microbenchmark that has been run."""

    step: Step
    timing: Timing

    @property
    def seconds(self) -> float:
        """What it took: the lower decile, for a network is the sum of many such calls."""
        return self.timing.decile


def disturbed(points: Sequence[Point]) -> set[Step]:
    """Those that took longer on several threads than on one, by 10 % and more than 50 us.

    That is not what the operator costs: a thread of them waited for a core that other work had.
    """
    alone = {
        replace(point.step, threads=1): point.seconds for point in points if point.step.threads == 1
    }
    found = set()
    for point in points:
        one = alone.get(replace(point.step, threads=1))
        if one is not None and point.step.threads > 1:
            slower = point.seconds - one
            if slower > max(0.1 * one, 50e-6):
                found.add(point.step)
    return found


def source(software: str, brand: str, day: str, how: str) -> str:
    """How the points of a software came about."""
    found = ", ".join(f"{n} {v}" for n, v in versions(RUNNERS[software].libraries).items())
    return f"Measured on {brand}, {day}, {how}; {found}"


def measurements_text(points: Sequence[Point], machine: str, brand: str, day: str) -> str:
    """The points as a file of measurements, which ``calibrate --from`` reads.

    Args:
        machine: file name of the machine file beside it.

    What was :func:`disturbed` is marked as not for fitting.
    """
    from perfmodel._toml import lines_of, toml_text

    left_out = disturbed(points)
    software = points[0].step.software
    how = "lower decile of calls by turns"
    if software != EAGER:
        how += ", processor time of one thread"
    sets = [
        {
            "name": f"host_{precision}",
            "machine": machine,
            "family": "host",
            "precision": precision,
            "software": software,
            # Layers are measured within networks that run again and again.
            "state": "cold" if software == EAGER else "steady",
            "quantity": "latency",
            "unit": "us",
            "source": "host",
            "rows": lines_of(
                {
                    "probe": point.step.probe,
                    "cores": point.step.threads,
                    "value": float(f"{point.seconds * 1e6:.5g}"),
                    "spread": float(f"{point.timing.spread:.3g}"),
                    "split": VALIDATION if point.step in left_out else FIT,
                }
                for point in points
                if point.step.precision == precision
            ),
        }
        for precision in dict.fromkeys(point.step.precision for point in points)
    ]
    return toml_text({"sources": {"host": source(software, brand, day, how)}, "set": sets})


def keep_in(path: Path, machine: str, brand: str, day: str) -> Callable[[Sequence[Point]], None]:
    """What writes all points so far to ``path``, whole."""

    def keep(points: Sequence[Point]) -> None:
        write(path, measurements_text(points, machine, brand, day))

    return keep


@dataclass(frozen=True)
class ModelRun:
    """A whole model that has been run, on so many threads."""

    model: str
    batch: int
    threads: int
    timing: Timing


def keep_models(
    path: Path, runs: Sequence[ModelRun], host: Host, machine: str, precision: str, software: str
) -> None:
    """Write whole models as a file of measurements, and the description of this computer beside it.

    Args:
        machine: id that the description gets, so that a machine file of the same id goes with it.

    Raises:
        MeasurementError: it cannot be written.
    """
    from perfmodel._toml import lines_of, toml_text

    described = path.with_name(f"{path.stem}.detected.toml")
    write(described, machine_text(host, machine))
    how = "lower decile of runs; of one thread, its processor time"
    measured = {
        "name": f"host_{precision}",
        "machine": described.name,
        "family": "host",
        "precision": precision,
        "software": software,
        "quantity": "latency",
        "unit": "ms",
        "source": "host",
        "rows": lines_of(
            {
                "model": run.model,
                "batch": run.batch,
                "cores": run.threads,
                "value": float(f"{run.timing.decile * 1e3:.5g}"),
                "spread": float(f"{run.timing.spread:.3g}"),
                "split": VALIDATION,
            }
            for run in runs
        ),
    }
    sources = {"host": source(software, host.brand, date.today().isoformat(), how)}
    write(path, toml_text({"sources": sources, "set": [measured]}))
