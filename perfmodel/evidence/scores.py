"""How far predictions are off: the few numbers that say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Scores:
    """Of predictions against measurements.

    Attributes:
        count: of points.
        mape: mean absolute relative error of the predictions.
        median_ratio: median of predicted over measured.
        within_10, within_25: share of points with an absolute relative error of at most 10, 25 %.
        worst: the largest factor that a prediction is off by, either way.
        spearman, kendall: rank correlations; None for fewer than three points, or where all are
            equal.
    """

    count: int
    mape: float
    median_ratio: float
    within_10: float
    within_25: float
    worst: float
    spearman: float | None
    kendall: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain Python objects."""
        return asdict(self)


def scores(predicted: Sequence[float], measured: Sequence[float]) -> Scores:
    """The scores of ``predicted`` against ``measured``: positive, of one length of at least 1."""
    guess, truth = np.asarray(predicted, float), np.asarray(measured, float)
    ratio = guess / truth
    off = np.abs(ratio - 1)
    return Scores(
        count=len(ratio),
        mape=float(off.mean()),
        median_ratio=float(np.median(ratio)),
        within_10=float(np.mean(off <= 0.10)),
        within_25=float(np.mean(off <= 0.25)),
        worst=float(np.max(np.maximum(ratio, 1 / ratio))),
        spearman=_correlation("spearmanr", predicted, measured),
        kendall=_correlation("kendalltau", predicted, measured),
    )


def _correlation(name: str, a: Sequence[float], b: Sequence[float]) -> float | None:
    from scipy import stats

    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(getattr(stats, name)(a, b).statistic)


@dataclass(frozen=True)
class RatioScores:
    """Of ratios of predicted over measured time.

    Attributes:
        count: of points.
        mape: mean absolute difference of the ratios from 1.
        median_ratio: their median.
        mean_factor: exponential of the mean absolute logarithm: how many times off, either way.
        within_1_25, within_1_35, within_1_5: share of points off by no more than these factors.
    """

    count: int
    mape: float
    median_ratio: float
    mean_factor: float
    within_1_25: float
    within_1_35: float
    within_1_5: float

    def to_dict(self) -> dict[str, float | int]:
        """Plain Python objects."""
        return asdict(self)


def ratio_scores(log_ratio: npt.NDArray[np.float64]) -> RatioScores:
    """Return the scores of natural logarithms of ratios, shape (N,), N at least 1."""
    off = np.abs(log_ratio)
    return RatioScores(
        count=len(log_ratio),
        mape=float(np.mean(np.abs(np.expm1(log_ratio)))),
        median_ratio=float(np.exp(np.median(log_ratio))),
        mean_factor=float(np.exp(np.mean(off))),
        within_1_25=float(np.mean(off <= np.log(1.25))),
        within_1_35=float(np.mean(off <= np.log(1.35))),
        within_1_5=float(np.mean(off <= np.log(1.5))),
    )
