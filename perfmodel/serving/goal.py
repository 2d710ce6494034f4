"""What is asked of a service, and what its requests meet: limits, and times of each request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario
from perfmodel.vocabulary import ranges
from perfmodel.workload.workload import Workload

PERCENTILES: Final = (50, 95, 99)
#: What the times of a request mean.
DEFINITIONS: Final = {
    "ttft": "from arrival to the first output token, waiting included",
    "tpot": "mean time per output token of a request, the first excluded",
    "latency": "from arrival to the end, waiting included",
}


@dataclass(frozen=True)
class Goal:
    """What is asked of a service.

    Attributes:
        rate: requests per second; None for as many as one socket bears.
        latency_s: from arrival to the end, waiting included.
        ttft_s: time to first token, waiting included.
        tpot_s: mean time per output token of a request, the first excluded.
        percentile: of the requests that must be within each limit, in percent.

    Raises:
        PerfmodelError: a number outside its plausible range, or no limit at all.
    """

    rate: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: float = 99.0

    def __post_init__(self) -> None:
        if self.rate is not None:
            ranges.RATE.check("rate", self.rate)
        ranges.PERCENTILE.check("percentile", self.percentile)
        limits = {
            "latency limit": self.latency_s,
            "limit of the time to first token": self.ttft_s,
            "limit of the time per output token": self.tpot_s,
        }
        for name, limit in limits.items():
            if limit is not None:
                ranges.LATENCY.check(name, limit)
        if all(limit is None for limit in limits.values()):
            raise PerfmodelError(
                "a rate alone is borne by any fleet that waits long enough: state a limit "
                "(--max-latency; --ttft or --tpot of a model that generates text)"
            )

    def met(self, found: Timings) -> bool:
        """Whether so many of the requests are within each limit."""
        pairs = (
            (self.latency_s, found.latency),
            (self.ttft_s, found.ttft),
            (self.tpot_s, found.tpot),
        )
        return all(
            limit is None or percentile_of(values, self.percentile) <= limit
            for limit, values in pairs
        )


@dataclass(frozen=True)
class Timings:
    """Seconds of each request, shape (N,): to its end, to its first token, per token after it.

    A model that generates nothing has no tokens: both are zero.
    """

    latency: FloatArray
    ttft: FloatArray
    tpot: FloatArray

    def scaled(self, first: float, second: float) -> Timings:
        """Return them with the time to the first token, and the rest, so many times as long."""
        ttft, rest = self.ttft * first, (self.latency - self.ttft) * second
        return Timings(ttft + rest, ttft, self.tpot * second)


def check_requests(goal: Goal, chunk: int | None, name: str) -> None:
    """Raise PerfmodelError for limits that only generated text has."""
    if goal.ttft_s is not None or goal.tpot_s is not None or chunk is not None:
        raise PerfmodelError(
            f"{name}: say how many tokens a request generates (--output) beside limits of the time "
            "to the first token and per token; other models have a latency alone (--max-latency)"
        )


def check_workload(workload: Workload) -> None:
    """Raise PerfmodelError for one step of a model that generates text, which is no request."""
    if workload.phase is not None:
        raise PerfmodelError(
            f"{workload.name} generates text: say how many tokens a request generates (--output)"
        )


def check_text(goal: Goal, run: Scenario, output: int) -> None:
    """Raise PerfmodelError for what is no service of generated text."""
    ranges.OUTPUT.check("output", output)
    if run.phase is not None or run.context is not None:
        raise PerfmodelError(
            "a service runs both phases, at every context: leave --phase and --context out"
        )
    if output == 1 and goal.tpot_s is not None:
        raise PerfmodelError(
            "a request of one output token has no time per output token: leave that limit out"
        )


def percentile_of(values: FloatArray, percentile: float) -> float:
    """Return the least value that so many percent of all are within."""
    return float(np.quantile(values, percentile / 100, method="higher"))


def percentiles_ms(timings: Timings, name: str) -> dict[int, float]:
    """Return milliseconds by percentile of the times that ``name`` names."""
    values = getattr(timings, name)
    return {each: percentile_of(values, each) * 1e3 for each in PERCENTILES}
