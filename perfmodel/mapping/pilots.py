"""Which core counts are worth trying for each kernel, from a few variants that try them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.roofline import FloatArray

#: Variants that try every core count.
PILOTS: Final = 128
#: Share of a variant's latency that a kernel may lose by what is left out.
_LOSS: Final = 2e-5
#: Core counts of a kernel from which on other variants may want any, and how many are tried then.
_SCATTERED: Final = 8
_STEPS: Final = 20


def chosen(figures: Sequence[FloatArray]) -> npt.NDArray[np.intp]:
    """Return variants that stand for all, by index: at most :data:`PILOTS` of them.

    Half of them are drawn at random (at equal steps over a grid, a figure may be the same for all),
    half are the ends of what two figures make together: a kernel's best core count follows from
    ratios, such as that of the memory's rate and a core's.

    Args:
        figures: of all variants, each of shape (variants,).
    """
    rng = np.random.default_rng(0)
    found = [rng.choice(len(figures[0]), PILOTS // 2, replace=False)]
    scaled = [each / mean if (mean := each.mean()) else each for each in figures]
    for _ in range(PILOTS // 4):
        one, other = rng.choice(len(figures), 2)
        both = scaled[one] + rng.choice([-1.0, 1.0]) * scaled[other]
        found.append(np.array([both.argmin(), both.argmax()]))
    return np.unique(np.concatenate(found))


def worth_trying(
    seconds: FloatArray, count: FloatArray
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return core counts that make up for all others in the pilots.

    Args:
        seconds: of each kernel at each core count in each pilot, (P, K, pilots).
        count: how often a kernel runs, (K,).

    Returns:
        Kernels, those with the most core counts to try first, (K,); and their core counts by index
        in P, (tried, K): a kernel with fewer has its first again.
    """
    kernels = np.arange(seconds.shape[1])
    best_at, best = seconds.argmin(axis=0), seconds.min(axis=0)
    allowed = _LOSS * (count @ best)
    # Begin with the pilot in the middle, and go on with the best of where the loss is largest.
    first = np.sort(best_at, axis=1)[:, best.shape[1] // 2]
    found, least = [first], seconds[first, kernels]
    while True:
        excess = (least - best) * count[:, None] - allowed
        worst = excess.argmax(axis=1)
        short = excess[kernels, worst] > 0
        if not short.any():
            break
        found.append(np.where(short, best_at[kernels, worst], first))
        least = np.minimum(least, seconds[found[-1], kernels])
    tried = [_filled(np.unique(column), len(seconds)) for column in np.stack(found).T]
    lengths = np.array([len(each) for each in tried])
    index = np.stack([np.resize(each, lengths.max()) for each in tried], axis=1)
    index = np.where(np.arange(len(index))[:, None] < lengths, index, index[0])
    order = np.argsort(-lengths, kind="stable")
    return order, index[:, order]


def _filled(tried: npt.NDArray[np.intp], counts: int) -> npt.NDArray[np.intp]:
    """Steps up to the last, by equal factors, where pilots want counts of their own."""
    if len(tried) <= _SCATTERED:
        return tried
    steps = np.geomspace(tried[0] + 1, counts, _STEPS).round() - 1
    return np.union1d(tried, steps.astype(np.intp))
