"""Which figures decide an order: first-order Sobol indices from the samples at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.mapping.roofline import FloatArray
from perfmodel.mapping.unknowns import Samples, Unknown

#: Unknowns whose index is estimated: those most correlated with the ratio. Latency is monotonic in
#: every figure, so one that does not correlate has no first-order effect.
_SCREENED = 6
#: Harmonics that are summed: SALib's default.
_HARMONICS = 10


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


def first_order_index(unknown: FloatArray, output: FloatArray) -> float:
    """Return the first-order Sobol index of one unknown on an output, both of shape (samples,).

    The random-balance-design method (RBD-FAST): ordered up and down again along the unknown, the
    output is one period, and what follows the unknown is in its first harmonics. Tarantola, Gatelli
    and Mara, Reliab. Eng. Syst. Saf. 91 (2006); Plischke, 95 (2010), for any sample; Tissot and
    Prieur, 107 (2012), for the bias. The tests hold it equal to SALib's.
    """
    rising = np.argsort(unknown)
    period = output[np.concatenate([rising[::2], rising[1::2][::-1]])]
    power = np.abs(np.fft.rfft(period)) ** 2
    # One side of the spectrum: every frequency counts twice but the highest of an even number.
    power[1 : None if len(output) % 2 else -1] *= 2
    share = float(power[1 : _HARMONICS + 1].sum() / power[1:].sum())
    bias = 2 * _HARMONICS / len(output)
    return share - bias / (1 - bias) * (1 - share)


def influences(
    samples: Samples, log_ratio: FloatArray, machines: tuple[str, str], most: int = 3
) -> tuple[Influence, ...]:
    """The unknowns that decide ``log_ratio`` (shape (samples,)) most, largest share first.

    First-order Sobol indices by :func:`first_order_index`, which works on any sample, so they cost
    no further evaluations.
    """
    columns = np.array(samples.columns(machines), dtype=np.intp)
    if float(np.std(log_ratio)) == 0.0:
        return ()
    # One of the two has to be centred.
    correlation = np.abs((log_ratio - log_ratio.mean()) @ samples.unit[:, columns])
    columns = columns[np.argsort(-correlation, kind="stable")[:_SCREENED]]
    found = [first_order_index(samples.unit[:, column], log_ratio) for column in columns]
    # The correction for bias takes small ones below 0.
    shares = np.maximum(np.array(found), 0.0)
    order = np.argsort(-shares, kind="stable")[:most]
    return tuple(
        Influence(samples.unknowns[columns[index]], float(shares[index])) for index in order
    )
