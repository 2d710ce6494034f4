"""The formula's own error as joint samples, beside those of the figures."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from perfmodel.certainty import Identity, Interval
from perfmodel.mapping.roofline import FloatArray

#: Quantiles of a normal distribution that are one standard deviation from its median.
_ONE_SIGMA = (0.15865525393145707, 0.8413447460685429)


def model_errors(
    latency: FloatArray, machines: Sequence[tuple[Identity, Interval]], seed: int
) -> FloatArray:
    """Return what to add to the logarithm of latencies, shape (samples, machines).

    Measured errors hold those of the figures already, as far as machines that were measured have
    such figures. So the two are not added up: an error is drawn for what the spread of the figures
    lacks of the measured one, and none where they spread more. It has three parts: what all
    machines under one software share, what those of one microarchitecture share, and their own,
    which two descriptions of one chip share: with another memory, say, or as rented and as bought.

    Args:
        latency: by samples of the figures alone, shape (samples, machines), positive.
        machines: what each is and how far off its estimate may be.
    """
    rng = np.random.default_rng([seed, 1])
    count = len(latency)
    shared = rng.standard_normal(count)
    cores: dict[str, FloatArray] = {}
    chips: dict[Hashable, FloatArray] = {}
    found = np.zeros_like(latency)
    for column, (who, stated) in enumerate(machines):
        core = cores.setdefault(who.core, rng.standard_normal(count))
        own = chips.setdefault(who.own, rng.standard_normal(count))
        spread = stated.spread
        if spread.total == 0.0:
            continue
        below, above = np.quantile(np.log(latency[:, column]), _ONE_SIGMA)
        figures = (above - below) / 2
        lacking = math.sqrt(max(0.0, 1 - (figures / spread.total) ** 2))
        parts = spread.shared * shared + spread.core * core + spread.own * own
        found[:, column] = math.log(stated.bias) + lacking * parts
    return found
