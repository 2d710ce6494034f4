"""Measured points in, a calibrated machine out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.calibration.crossvalidation import expected_error
from perfmodel.calibration.fitting import Fit, fit
from perfmodel.calibration.machine_file import applied, calibration
from perfmodel.calibration.parameters import parameters_for
from perfmodel.errors import MeasurementError
from perfmodel.evidence.cases import Case
from perfmodel.evidence.measurements import FIT
from perfmodel.machine import Figure, Machine
from perfmodel.machine.tables import Calibration


@dataclass(frozen=True)
class Calibrated:
    """A machine fitted to measured points.

    Attributes:
        machine: with the fitted figures; estimates on it say that they are calibrated.
        figures: those that the fit changed, by dotted path.
        fit: the parameters behind them.
        record: how they came about.
    """

    machine: Machine
    figures: dict[str, Figure]
    fit: Fit
    record: Calibration


def points_for(machine: Machine, points: Sequence[Case]) -> list[Case]:
    """The points that a fit of ``machine`` uses: those for fitting, of all machines of its family.

    Raises:
        MeasurementError: none of this machine, or those of two families.
    """
    mine = [case for case in points if case.machine.id == machine.id and case.split == FIT]
    families = sorted({case.group.family for case in mine})
    if not mine:
        known = ", ".join(sorted({case.machine.id for case in points if case.split == FIT}))
        raise MeasurementError(
            f"no points to fit {machine.id} to; there are points of {known or 'no machine'}"
        )
    if len(families) > 1:
        raise MeasurementError(
            f"points of {machine.id} in the families {' and '.join(families)}: one fit takes one"
        )
    return [case for case in points if case.split == FIT and case.group.family == families[0]]


def calibrate(machine: Machine, points: Sequence[Case], measurements: str) -> Calibrated:
    """``machine`` fitted to those of ``points`` that are for fitting and of its family.

    Args:
        measurements: where the points are from, for the record.

    Raises:
        MeasurementError: as :func:`points_for` and :func:`~perfmodel.calibration.fitting.fit`.
    """
    used = points_for(machine, points)
    found = fit(used, parameters_for(used))
    figures = found.machine_figures(machine, sorted({case.group.software for case in used}))
    record = calibration(found, measurements, expected_error(used, found))
    return Calibrated(applied(machine, figures, record), figures, found, record)
