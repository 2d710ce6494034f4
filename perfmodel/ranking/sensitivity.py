"""Which figures decide an order: first-order Sobol indices from the samples at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.mapping.roofline import FloatArray
from perfmodel.ranking.unknowns import Samples, Unknown

#: Unknowns whose index is estimated: those most correlated with the ratio. Latency is monotonic in
#: every figure, so one that does not correlate has no first-order effect.
_SCREENED = 6


@dataclass(frozen=True)
class Influence:
    """One unknown's share of the variance of a ratio of latencies.

    Attributes:
        unknown: the figure.
        share: its first-order Sobol index, 0 to 1: the share of the variance that knowing this
            figure alone would remove.
    """

    unknown: Unknown
    share: float


def influences(
    samples: Samples, log_ratio: FloatArray, machines: tuple[str, str], most: int = 3
) -> tuple[Influence, ...]:
    """The unknowns that decide ``log_ratio`` (shape (samples,)) most, largest share first.

    First-order Sobol indices by the random-balance-design method of Tarantola, Gatelli and Mara
    (Reliab. Eng. Syst. Saf. 91, 2006) with Plischke's estimator, as SALib implements it: it works
    on any sample, so the indices cost no further evaluations.
    """
    from SALib.analyze import rbd_fast

    columns = np.array(samples.columns(machines), dtype=np.intp)
    if not len(columns) or float(np.std(log_ratio)) == 0.0:
        return ()
    centred = samples.unit[:, columns] - 0.5
    correlation = np.abs((log_ratio - log_ratio.mean()) @ centred)
    columns = columns[np.argsort(-correlation, kind="stable")[:_SCREENED]]
    problem = {
        "num_vars": len(columns),
        "names": [samples.unknowns[column].label for column in columns],
        "bounds": [[0.0, 1.0]] * len(columns),
    }
    found = rbd_fast.analyze(problem, samples.unit[:, columns], log_ratio, num_resamples=2)
    shares = np.clip(np.asarray(found["S1"], dtype=np.float64), 0.0, 1.0)
    order = np.argsort(-shares, kind="stable")[:most]
    return tuple(
        Influence(samples.unknowns[columns[index]], float(shares[index])) for index in order
    )
