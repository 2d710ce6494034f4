"""Fitting the figures of software to measurements, and what the fit is worth on unseen points.

What is minimised is the logarithm of predicted over measured, with the weights of a soft L1 loss,
by Gauss-Newton steps; a parameter's spread holds it to where it was. Errors on points left out come
from fits that did not see them, each carried to its own minimum: all machines, or all models, are
left out at once, as variants of one evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.evidence.parameters import Factor
from perfmodel.evidence.prediction import Setting
from perfmodel.figures.figure import Figure
from perfmodel.mapping.roofline import FloatArray

#: Standard deviation of the logarithm that a good model has on one point; beyond it a point counts
#: as an outlier.
MODEL_ERROR = 0.2
#: Logarithmic step of the derivatives: above the kinks that whole waves make, below curvature.
_STEP = 0.02
_STEPS = 20
#: No step of a parameter is longer, so that a poor start does not overshoot.
_LONGEST = 0.5
#: A fit is at its minimum where no parameter's logarithm would move by more.
_SETTLED = 2e-3
#: Nor if its loss falls by no more: a small part of the half that a standard deviation costs.
_GAIN = 2e-2
#: Slopes are those of where the last longer step ended.
_CURVED = 0.1
#: Variants of a point evaluated at once: more do not stay in the caches.
_AT_ONCE = 96


@dataclass(frozen=True, eq=False)
class _Moved:
    """The P figures of a point that F factors move.

    Attributes:
        typical, most: what the files say, and what none is above, shape (P, 1).
        moves: which factors move which, shape (P, F).
    """

    paths: tuple[str, ...]
    typical: FloatArray
    most: FloatArray
    moves: npt.NDArray[np.bool_]

    @staticmethod
    def of(rows: Sequence[tuple[str, float, float, npt.NDArray[np.bool_]]], factors: int) -> _Moved:
        """Return them from a row for each figure."""
        return _Moved(
            tuple(path for path, *_ in rows),
            np.array([[typical] for _, typical, *_ in rows]).reshape(-1, 1),
            np.array([[most] for *_, most, _ in rows]).reshape(-1, 1),
            np.array([moves for *_, moves in rows], dtype=np.bool_).reshape(-1, factors),
        )

    def values(self, log_values: FloatArray) -> dict[str, FloatArray]:
        """Return each figure at logarithms of the factors, (variants, F), as (variants,)."""
        factor = np.exp(self.moves.astype(np.float64) @ log_values.T)
        return dict(zip(self.paths, np.minimum(self.typical * factor, self.most), strict=True))


class Points:
    """Measured points as functions of factors: N points and F factors.

    No efficiency is above 1, wherever a factor would move it.
    """

    def __init__(self, settings: Sequence[Setting], factors: Sequence[Factor]) -> None:
        self.settings = tuple(settings)
        self.factors = tuple(factors)
        moves: dict[str, npt.NDArray[np.bool_]] = {}
        self._figures = []
        #: No factor goes above: where an efficiency that it alone moves is 1.
        self.most = np.full(len(self.factors), np.inf)
        for point in self.settings:
            own = []
            for path, figure in figures_of(point).items():
                if path not in moves:
                    moves[path] = np.array([f.moves(path) for f in self.factors], dtype=np.bool_)
                if moves[path].any():
                    most = 1.0 if ".efficiency." in path else np.inf
                    own.append((path, figure.typical, most, moves[path]))
                    if moves[path].sum() == 1:
                        room = np.log(most / figure.typical)
                        self.most[moves[path]] = np.minimum(self.most[moves[path]], room)
            self._figures.append(_Moved.of(own, len(self.factors)))
        self._own = [np.flatnonzero(own.moves.any(axis=0)) for own in self._figures]

    def ratios(self, number: int, log_values: FloatArray) -> FloatArray:
        """Return the logarithm of predicted over measured time of one point, shape (variants,).

        Args:
            number: of the point.
            log_values: logarithms of the factors, shape (variants, F).
        """
        point, found = self.settings[number], np.empty(len(log_values))
        for start in range(0, len(log_values), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            values = self._figures[number].values(log_values[part])
            found[part] = np.log(point.value(values) / point.case.measured)
        return -found if point.case.is_rate else found

    def all_ratios(self, log_values: FloatArray) -> FloatArray:
        """Return log ratios of every point, shape (variants, N)."""
        rows = range(len(self.settings))
        return np.stack([self.ratios(number, log_values) for number in rows], axis=1)

    def changes(self, log_values: FloatArray, ratio: FloatArray, steps: FloatArray) -> FloatArray:
        """Return by what ratios change as each factor alone takes its step, (variants, N, F).

        Args:
            ratio: at these values, shape (variants, N).
            steps: of each factor, shape (variants, F).
        """
        count, width = log_values.shape
        changed = np.zeros((count, len(self.settings), width))
        for number, own in enumerate(self._own):
            tried = np.repeat(log_values[:, None], len(own), axis=1)
            tried[:, np.arange(len(own)), own] += steps[:, own]
            found = self.ratios(number, tried.reshape(-1, width)).reshape(count, -1)
            changed[:, number, own] = found - ratio[:, number, None]
        return changed

    def slopes(self, log_values: FloatArray, ratio: FloatArray) -> FloatArray:
        """Return derivatives by the logarithm of each factor, shape (variants, N, F)."""
        return self.changes(log_values, ratio, np.full_like(log_values, -_STEP)) / -_STEP


@dataclass(frozen=True, eq=False)
class Fit:
    """Factors fitted to points, F factors and N points.

    Attributes:
        log_value: natural logarithm of each factor, shape (F,).
        log_spread: its standard deviation after the fit, shape (F,).
        log_ratio: of predicted over measured time of each point, shape (N,).
        slope: derivative of that by the logarithm of each factor, shape (N, F).
    """

    points: Points
    log_value: FloatArray
    log_spread: FloatArray
    log_ratio: FloatArray
    slope: FloatArray

    @property
    def factors(self) -> tuple[Factor, ...]:
        """What was fitted."""
        return self.points.factors

    def left_out(self, *groupings: Sequence[Hashable]) -> tuple[FloatArray, ...]:
        """Return log ratios of each point by a fit that saw none of its group, each of shape (N,).

        All fits of all groupings are variants of one evaluation: two take little longer than one.

        Args:
            groupings: the group of each point, N of them, in one or several ways.
        """
        names = [(way, name) for way in groupings for name in dict.fromkeys(way)]
        member = np.array([[group == name for group in way] for way, name in names])
        logs, start = (np.repeat(x[None], len(names), 0) for x in (self.log_value, self.log_ratio))
        ratio = _minimum(self.points, logs, start, self.slope[None], ~member)[1]
        found, first = [], 0
        for way in groupings:
            own = list(dict.fromkeys(way))
            found.append(np.array([ratio[first + own.index(g), n] for n, g in enumerate(way)]))
            first += len(own)
        return tuple(found)


def fit(
    settings: Sequence[Setting],
    factors: Sequence[Factor],
    progress: Callable[[float], None] | None = None,
    steps: int = _STEPS,
) -> Fit:
    """Return the factors that fit best.

    Args:
        progress: told the mean absolute log ratio after each step.
        steps: Gauss-Newton steps at most; 0 evaluates the files' own figures.
    """
    points = Points(settings, factors)
    start = np.zeros((1, len(points.factors)))
    ratio = points.all_ratios(start)
    everything = np.ones((1, len(points.settings)), dtype=np.bool_)
    slope = points.slopes(start, ratio)
    logs, ratio, slope = _minimum(points, start, ratio, slope, everything, steps, progress)
    normal, _ = _normal(points.factors, logs[0], ratio[0], slope[0], everything[0])
    spread = np.sqrt(np.diag(np.linalg.inv(normal)))
    return Fit(points, logs[0], spread, ratio[0], slope[0])


def _minimum(
    points: Points,
    logs: FloatArray,
    ratio: FloatArray,
    slope: FloatArray,
    seen: npt.NDArray[np.bool_],
    steps: int = _STEPS,
    progress: Callable[[float], None] | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Factors (G, F), log ratios (G, N) and slopes (G, N, F) of fits to what each has seen.

    Where a step does not lower the loss, factors that would not lower it alone are held where they
    are, for a while: an efficiency of 1, or a kernel that would go to another engine, makes a kink
    that a fit may come to lie in. A step that still does not lower it is made shorter.

    Args:
        logs, ratio, slope: where to start: of each fit, or slopes of all.
        seen: the points of each fit, shape (G, N).
    """
    logs, ratio = logs.copy(), ratio.copy()
    slope = np.repeat(slope, len(logs), 0) if len(slope) < len(logs) else slope.copy()
    damping, open_ = np.ones(len(logs)), np.arange(len(logs))
    held = np.zeros(logs.shape, dtype=np.bool_)
    loss = [_loss(points.factors, *row) for row in zip(logs, ratio, seen, strict=True)]
    for _ in range(steps):
        step = np.empty((len(open_), logs.shape[1]))
        for place, row in enumerate(open_):
            normal, pull = _normal(points.factors, logs[row], ratio[row], slope[row], seen[row])
            step[place] = _step(normal, pull, points.most - logs[row], held[row])
        step *= damping[open_, None]
        tried = logs[open_] - step
        found = points.all_ratios(tried)
        moved, settled, kinked = [], [], []
        for place, row in enumerate(open_):
            now = _loss(points.factors, tried[place], found[place], seen[row])
            better = now < loss[row]
            far = float(np.max(np.abs(step[place]), initial=0.0))
            if far < _SETTLED or (better and loss[row] - now < _GAIN):
                settled.append(row)
            if better:
                logs[row], ratio[row], loss[row] = tried[place], found[place], now
                damping[row] = min(1.0, 2 * damping[row])
                if far > _CURVED:
                    moved.append(row)
                    held[row] = False
            elif not held[row].any():
                kinked.append(place)
            else:
                damping[row] /= 4
                if damping[row] < _SETTLED:
                    settled.append(row)
        # Steps of one factor alone, those of kinks and of slopes in one evaluation.
        rows = np.concatenate([open_[kinked], np.array(moved, dtype=np.intp)])
        if len(rows):
            alone = np.concatenate([-step[kinked], np.full((len(moved), step.shape[1]), -_STEP)])
            changes = points.changes(logs[rows], ratio[rows], alone)
            slope[moved] = changes[len(kinked) :] / -_STEP
            for place, row, change in zip(kinked, rows, changes, strict=False):
                held[row] = _worse(
                    points.factors, logs[row], ratio[row], step[place], change, seen[row], loss[row]
                )
                if not held[row].any():
                    damping[row] /= 4
        if progress is not None:
            progress(float(np.mean(np.abs(ratio))))
        open_ = np.setdiff1d(open_, settled)
        if not len(open_):
            break
    return logs, ratio, slope


def _worse(
    factors: Sequence[Factor],
    logs: FloatArray,
    ratio: FloatArray,
    step: FloatArray,
    change: FloatArray,
    seen: npt.NDArray[np.bool_],
    loss: float,
) -> npt.NDArray[np.bool_]:
    """Which factors, each alone at the end of its ``step``, do not lower the ``loss``, (F,).

    Args:
        change: of the ratios by each step, shape (N, F).
    """
    found = np.zeros(len(factors), dtype=np.bool_)
    for index in np.flatnonzero(step):
        moved = logs.copy()
        moved[index] -= step[index]
        found[index] = _loss(factors, moved, ratio + change[:, index], seen) >= loss
    return found


def _step(
    normal: FloatArray, pull: FloatArray, room: FloatArray, held: npt.NDArray[np.bool_]
) -> FloatArray:
    """What to subtract from each factor, shape (F,): nothing from those ``held``.

    None is raised by more than its ``room``.
    """
    step, free = np.zeros(len(pull)), ~held
    while True:
        rest = pull[free] - normal[np.ix_(free, ~free)] @ step[~free]
        step[free] = np.clip(np.linalg.solve(normal[np.ix_(free, free)], rest), -_LONGEST, _LONGEST)
        beyond = free & (-step > room)
        if not beyond.any():
            return step
        step[beyond] = -room[beyond]
        free &= ~beyond


def _loss(
    factors: Sequence[Factor],
    logs: FloatArray,
    ratio: FloatArray,
    seen: npt.NDArray[np.bool_],
) -> float:
    """What a fit minimises: soft L1 of the points it has seen, and how far factors were moved."""
    soft = np.sum(seen * (np.sqrt(1 + (ratio / MODEL_ERROR) ** 2) - 1))
    spread = np.array([factor.spread for factor in factors])
    centre = np.log([factor.centre for factor in factors])
    return float(soft + 0.5 * np.sum(((logs - centre) / spread) ** 2))


def _normal(
    factors: Sequence[Factor],
    logs: FloatArray,
    ratio: FloatArray,
    slope: FloatArray,
    seen: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Matrix (F, F) and right side (F,) of the normal equations, with what was known before."""
    # Weights of the soft L1 loss (Huber, Robust Statistics, 1981): 1 for a point that fits.
    rows = seen / np.sqrt(1 + (ratio / MODEL_ERROR) ** 2) / MODEL_ERROR**2
    known = 1 / np.array([factor.spread for factor in factors]) ** 2
    centre = np.log([factor.centre for factor in factors])
    normal = slope.T @ (rows[:, None] * slope) + np.diag(known)
    return normal, slope.T @ (rows * ratio) + known * (logs - centre)


def figures_of(setting: Setting) -> Mapping[str, Figure]:
    """Return every figure that a prediction reads, by path in a run."""
    return {**setting.run.loaded.figures(), **setting.machine.figures()}
