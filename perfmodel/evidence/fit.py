"""Fitting the figures of software to measurements, and what the fit is worth on unseen points.

What is minimised is the logarithm of predicted over measured, with the weights of a soft L1 loss,
by Gauss-Newton steps; a parameter's spread holds it to where it was. Errors on points left out come
from the same derivatives: leaving rows out of the normal equations gives the parameters of a fit
that did not see them, to first order, so that every machine and every model can be left out at once
for the price of one fit (Cook and Weisberg, Residuals and Influence in Regression, 1982, ch. 2).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.evidence.parameters import Factor, moved
from perfmodel.evidence.prediction import Setting
from perfmodel.figures.figure import Figure
from perfmodel.mapping.roofline import FloatArray

#: Standard deviation of the logarithm that a good model has on one point; beyond it a point counts
#: as an outlier.
MODEL_ERROR = 0.2
#: Logarithmic step of the derivatives: above the kinks that whole waves make, below curvature.
_STEP = 0.02
_STEPS = 8
#: No step of a parameter is longer, so that a poor start does not overshoot.
_LONGEST = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
    """Factors fitted to points, F factors and N points.

    Attributes:
        log_value: natural logarithm of each factor, shape (F,).
        log_spread: its standard deviation after the fit, shape (F,).
        log_ratio: of predicted over measured time of each point, shape (N,).
        slope: derivative of that by the logarithm of each factor, shape (N, F).
        weight: of each point, 0 to 1, shape (N,).
    """

    factors: tuple[Factor, ...]
    log_value: FloatArray
    log_spread: FloatArray
    log_ratio: FloatArray
    slope: FloatArray
    weight: FloatArray

    def left_out(self, groups: Sequence[Hashable]) -> FloatArray:
        """Return log ratios of each point by a fit that saw none of its group, shape (N,).

        Args:
            groups: of each point, N of them.
        """
        found = np.array(self.log_ratio)
        group_of = np.array([hash(group) for group in groups])
        prior, centre = _priors(self.factors)
        for group in np.unique(group_of):
            rows = group_of == group
            seen = self.weight * ~rows / MODEL_ERROR**2
            normal = self.slope.T @ (seen[:, None] * self.slope) + np.diag(prior)
            pull = self.slope.T @ (seen * self.log_ratio) + prior * (self.log_value - centre)
            step = np.clip(np.linalg.solve(normal, pull), -1.5, 1.5)
            found[rows] = self.log_ratio[rows] - self.slope[rows] @ step
        return found


def log_ratios(setting: Setting, factors: Sequence[Factor], log_values: FloatArray) -> FloatArray:
    """Return the logarithm of predicted over measured time, shape (variants,).

    Args:
        log_values: logarithms of the factors, shape (variants, factors).
    """
    values = moved(
        figures_of(setting), {f: np.exp(log_values[:, i]) for i, f in enumerate(factors)}
    )
    alone = np.repeat(setting.value(), len(log_values)) if not values else None
    predicted = setting.value(values) if alone is None else alone
    ratio: FloatArray = np.log(predicted / setting.case.measured)
    return -ratio if setting.case.is_rate else ratio


def figures_of(setting: Setting) -> Mapping[str, Figure]:
    """Return every figure that a prediction reads, by path in a run."""
    return {**setting.run.loaded.figures(), **setting.machine.figures()}


def fit(
    settings: Sequence[Setting],
    factors: Sequence[Factor],
    progress: Callable[[float], None] | None = None,
    steps: int = _STEPS,
) -> Fit:
    """Return the factors that fit best.

    Args:
        progress: told the mean absolute log ratio before each step.
        steps: Gauss-Newton steps at most; 0 evaluates the files' own figures.
    """
    prior, centre = _priors(factors)
    own = [
        np.array([any(factor.moves(path) for path in figures_of(s)) for factor in factors])
        for s in settings
    ]

    def evaluate(logs: FloatArray) -> tuple[FloatArray, FloatArray]:
        ratio, slope = np.empty(len(settings)), np.zeros((len(settings), len(factors)))
        for row, (point, mine) in enumerate(zip(settings, own, strict=True)):
            wanted = np.flatnonzero(mine)
            variants = np.repeat(logs[None], len(wanted) + 1, axis=0)
            variants[1 + np.arange(len(wanted)), wanted] += _STEP
            found = log_ratios(point, factors, variants)
            ratio[row] = found[0]
            slope[row, wanted] = (found[1:] - found[0]) / _STEP
        return ratio, slope

    logs = np.zeros(len(factors))
    ratio, slope = evaluate(logs)
    for _ in range(steps):
        if progress is not None:
            progress(float(np.mean(np.abs(ratio))))
        weight = _weights(ratio)
        rows = weight / MODEL_ERROR**2
        normal = slope.T @ (rows[:, None] * slope) + np.diag(prior)
        pull = slope.T @ (rows * ratio) + prior * (logs - centre)
        step = np.clip(np.linalg.solve(normal, pull), -_LONGEST, _LONGEST)
        logs = logs - step
        ratio, slope = evaluate(logs)
        if np.max(np.abs(step), initial=0.0) < 1e-3:
            break
    weight = _weights(ratio)
    rows = weight / MODEL_ERROR**2
    normal = slope.T @ (rows[:, None] * slope) + np.diag(prior)
    return Fit(
        factors=tuple(factors),
        log_value=logs,
        log_spread=np.sqrt(np.diag(np.linalg.inv(normal))),
        log_ratio=ratio,
        slope=slope,
        weight=weight,
    )


def _priors(factors: Sequence[Factor]) -> tuple[FloatArray, FloatArray]:
    """Weight of what was known before, and its logarithm, each of shape (F,)."""
    spread = np.array([factor.spread for factor in factors])
    return 1 / spread**2, np.log([factor.centre for factor in factors])


def _weights(ratio: FloatArray) -> FloatArray:
    """Weights of the soft L1 loss (Huber, Robust Statistics, 1981): 1 for a point that fits."""
    weight: FloatArray = 1 / np.sqrt(1 + (ratio / MODEL_ERROR) ** 2)
    return weight
