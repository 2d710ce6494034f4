"""Wall time of short calls on a computer that may do other things too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

#: A sample is at least so long, so that reading the clock does not count.
_SAMPLE_S: Final = 0.002
_MIN_SAMPLES, _MAX_SAMPLES = 5, 200


@dataclass(frozen=True)
class Timing:
    """Seconds per call.

    Attributes:
        minimum: of the samples, which is the least disturbed one: other work only ever adds.
        decile: the lower one of the samples: a call that little disturbs, but that finds the caches
            as it usually does.
        median: of the samples.
        samples: how many there are.
    """

    minimum: float
    decile: float
    median: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Timing:
        """The timing with these samples, of which there is at least one."""
        middle = statistics.median(samples)
        if len(samples) > 1:
            lower = statistics.quantiles(samples, n=10, method="inclusive")[0]
        else:
            lower = middle
        return cls(min(samples), lower, middle, len(samples))

    @property
    def spread(self) -> float:
        """(median - minimum) / minimum: how much the computer disturbs, 0 for not at all."""
        return self.median / self.minimum - 1


def timed(
    call: Callable[[], Any],
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """How long ``call`` takes, measured for about ``budget_s`` seconds after one warm-up.

    Several calls make a sample where one is too short to be timed.
    """
    call()
    begin = clock()
    call()
    once = max(clock() - begin, 1e-9)
    calls = max(1, round(_SAMPLE_S / once))
    samples: list[float] = []
    start = clock()
    while len(samples) < _MIN_SAMPLES or (
        clock() - start < budget_s and len(samples) < _MAX_SAMPLES
    ):
        begin = clock()
        for _ in range(calls):
            call()
        samples.append((clock() - begin) / calls)
        if len(samples) >= 2 and clock() - start > max(4 * budget_s, 1.0):
            break  # a call so long that its samples would take minutes
    return Timing.of(samples)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` threads, and as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Denormal numbers count as 0: random weights may bring them, and they take far longer."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
