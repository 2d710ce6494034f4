"""Fitting a machine to measured points by robust least squares.

What is minimised is the logarithm of predicted over measured, so that a point of 6 us counts as
much as one of 400 ms and a factor of two too fast as much as one too slow; with a soft L1 loss, so
that a few points that are wrong do not decide (Huber, Robust Statistics, 1981; SciPy's
``least_squares``). One spread away from where a parameter started costs as much as one point that
is off by :data:`MODEL_ERROR`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from perfmodel.calibration.parameters import Parameter, attained, moved_figures, variants
from perfmodel.errors import MeasurementError
from perfmodel.evidence.cases import Case
from perfmodel.evidence.prediction import setting
from perfmodel.machine import Figure, Machine
from perfmodel.mapping.roofline import FloatArray

#: How far a good model is off on one kernel or network: the scale from which on a point counts as
#: an outlier, and the weight of the points against what was known before.
MODEL_ERROR: Final = 0.1
#: Points that one set weighs at most: a hundred small products say less than ten networks.
_WEIGHT: Final = 12
#: Logarithmic step of the derivatives: above the kinks that whole waves make, below curvature.
_STEP: Final = 0.01
#: A parameter that changes no point by as much as this when it doubles is not determined.
_NEGLIGIBLE: Final = 0.01
#: Half of a central 90 % interval of a normal distribution, in standard deviations.
_NINETY: Final = 1.645
#: Figures that are shares of a peak.
_SHARES: Final = (".efficiency.", "memory.sustained")


@dataclass(frozen=True)
class Fit:
    """Parameters that were fitted together.

    Attributes:
        parameters: those that the points determine; the others stayed where they were.
        value: of each.
        spread: standard deviation of the logarithm of each, from the Jacobian.
        cases: what it was fitted to.
        ratio: predicted over measured of each.
    """

    parameters: tuple[Parameter, ...]
    value: FloatArray
    spread: FloatArray
    cases: tuple[Case, ...]
    ratio: FloatArray

    def machine_figures(self, machine: Machine, runtimes: Sequence[str]) -> dict[str, Figure]:
        """The figures of ``machine`` (and of runtimes on it) that the fit changed, by path.

        Each is a range: the central 90 % of the fit's uncertainty. The end of a share is at most 1.
        Where a software reaches more of an engine in a format than the core is said to attain, the
        core attains that.

        Raises:
            MeasurementError: a share of a peak above 1.
        """
        source = "calibration"
        found: dict[str, Figure] = {}
        each = dict(zip(self.parameters, zip(self.value, self.spread, strict=True), strict=True))
        for runtime in runtimes:
            for path, figure, parameter, most in moved_figures(machine, runtime, self.parameters):
                value, spread = each[parameter]
                low, typical, high = (
                    min(float(parameter.moved(figure, value * np.exp(step * spread))), most)
                    for step in (-_NINETY, 0.0, _NINETY)
                )
                found[path] = Figure(low, typical, high, figure.unit, "M", source)
        found |= _attained(machine, found)
        for path, figure in found.items():
            if any(share in path for share in _SHARES):
                found[path] = share(machine, path, figure)
        return found

    def _each_value(self) -> zip[tuple[Parameter, float]]:
        return zip(self.parameters, self.value.tolist(), strict=True)


def _attained(machine: Machine, found: Mapping[str, Figure]) -> dict[str, Figure]:
    """The core's efficiencies that software exceeds, raised, and that software's shares of them."""
    core = {**machine.figures(), **found}
    most: dict[str, Figure] = {}
    shares: dict[str, str] = {}
    for path, figure in found.items():
        own = attained(path)
        if own in core:
            shares[path] = own
            most[own] = max(most.get(own, figure), figure, key=lambda f: f.typical)
    # The core's own range is no longer asked: what is reached is as certain as its measurement.
    raised = {
        own: _scaled(figure, core[own].typical)
        for own, figure in most.items()
        if figure.typical > 1
    }
    less = {
        path: _scaled(found[path], 1 / most[own].typical)
        for path, own in shares.items()
        if own in raised
    }
    return {**raised, **less}


def _scaled(figure: Figure, factor: float) -> Figure:
    low, typical, high = (factor * value for value in (figure.low, figure.typical, figure.high))
    return Figure(low, typical, high, figure.unit, "M", "calibration")


def share(machine: Machine, path: str, figure: Figure) -> Figure:
    """Return a share of a peak as it is stated: at most 1, where its range reaches down to that.

    Raises:
        MeasurementError: all of its range is above 1.
    """
    if figure.low > 1 + 1e-9:
        raise MeasurementError(
            f"{machine.id}: the points ask for {path} = {figure.typical:.3g}, more than the whole "
            "peak: either the peak in the machine's file (clock, operations per cycle, bandwidth) "
            "or a measurement is wrong"
        )
    return replace(figure, typical=min(figure.typical, 1.0), high=min(figure.high, 1.0))


def predicted(case: Case, parameters: Sequence[Parameter], values: FloatArray) -> FloatArray:
    """Seconds, or tokens per second, at each row of ``values`` (variants, parameters)."""
    group = case.group
    moved = variants(
        case.machine,
        group.software,
        {parameter: values[:, i] for i, parameter in enumerate(parameters)},
    )
    if not moved:
        # Nothing of this machine is moved: one figure at its own value gives the shape.
        path, figure = next(iter(case.machine.figures().items()))
        moved = {path: np.full(len(values), figure.typical)}
    if group.quantity != "throughput":
        return setting(case).value(moved)
    raise MeasurementError(
        f"{group.name}: a throughput at the best partition and batch cannot be fitted to; "
        "mark its rows split = 'validation'"
    )


def fit(points: Sequence[Case], parameters: Sequence[Parameter], near: Fit | None = None) -> Fit:
    """The values of ``parameters``, shared by all machines among ``points``, that fit best.

    Args:
        near: a fit to most of the same points, to start the search from.

    Raises:
        MeasurementError: no points, a throughput among them, or a share of a peak above 1.
    """
    from scipy.optimize import least_squares

    if not points:
        raise MeasurementError("no measured points to fit to")
    measured = np.log([case.measured for case in points])
    weight = _weights(points)
    wanted = _determined(points, parameters)
    start = np.log([parameter.start for parameter in wanted])
    prior = MODEL_ERROR / np.array([parameter.spread for parameter in wanted])

    def residuals(logs: FloatArray) -> FloatArray:
        """Rows of (variants, parameters) -> (points + parameters, variants)."""
        logs = np.atleast_2d(logs)
        off = np.stack([np.log(predicted(case, wanted, np.exp(logs))) for case in points])
        held = (prior * (logs - start)).T
        return np.concatenate([weight[:, None] * (off - measured[:, None]), held])

    last: dict[bytes, FloatArray] = {}

    def around(logs: FloatArray) -> FloatArray:
        """Residuals there, and a step of each parameter up and down: one evaluation of all.

        One variant takes nearly as long as these, and where a step is taken its slopes are asked.
        """
        key = logs.tobytes()
        if key not in last:
            steps = np.eye(len(logs)) * _STEP
            last.clear()
            last[key] = residuals(np.concatenate([logs[None], logs + steps, logs - steps]))
        return last[key]

    def there(logs: FloatArray) -> FloatArray:
        return around(logs)[:, 0]

    def jacobian(logs: FloatArray) -> FloatArray:
        both = around(logs)[:, 1:]
        slope: FloatArray = (both[:, : len(logs)] - both[:, len(logs) :]) / (2 * _STEP)
        return slope

    if not wanted:
        off = residuals(np.empty((1, 0)))[:, 0]
        return Fit((), np.empty(0), np.empty(0), tuple(points), np.exp(off / weight))
    known = dict(near._each_value()) if near else {}
    found: Any = least_squares(
        there,
        np.log([known.get(parameter, parameter.start) for parameter in wanted]),
        jac=jacobian,
        loss="soft_l1",
        f_scale=MODEL_ERROR,
        xtol=1e-5,
        ftol=1e-6,
        max_nfev=60,
    )
    slope, off = jacobian(found.x), there(found.x)
    scatter = max(MODEL_ERROR, float(np.median(np.abs(off[: len(points)]))) / 0.6745)
    spread = scatter * np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    result = Fit(
        parameters=tuple(wanted),
        value=np.exp(found.x),
        spread=spread,
        cases=tuple(points),
        ratio=np.exp(off[: len(points)] / weight),
    )
    for machine in {case.machine.id: case.machine for case in points}.values():
        result.machine_figures(machine, sorted({case.group.software for case in points}))
    return result


def _weights(points: Sequence[Case]) -> FloatArray:
    """Square roots of the points' weights."""
    sizes: dict[str, int] = {}
    for case in points:
        sizes[case.group.name] = sizes.get(case.group.name, 0) + 1
    return np.sqrt([min(1.0, _WEIGHT / sizes[case.group.name]) for case in points])


def _determined(points: Sequence[Case], parameters: Sequence[Parameter]) -> list[Parameter]:
    """The parameters that move at least one point."""
    if not parameters:
        return []
    start = np.array([parameter.start for parameter in parameters])
    rows = np.concatenate([start[None], start * (1 + np.eye(len(start)))])
    logs = np.stack([np.log(predicted(case, parameters, rows)) for case in points])
    moved = np.max(np.abs(logs[:, 1:] - logs[:, :1]), axis=0)
    return [p for p, m in zip(parameters, moved.tolist(), strict=True) if m > _NEGLIGIBLE]
