"""Plausible ranges of the numbers that users give: what is outside is a slip, and refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from perfmodel.errors import PerfmodelError


@dataclass(frozen=True)
class Range:
    """The least and the most that a number may be, both allowed.

    Attributes:
        unit: as it follows the number, for example " s"; empty for a count or a share.
    """

    least: float
    most: float
    unit: str = ""

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"{self.least:,g} to {self.most:,g}{self.unit}"

    def check(self, what: str, value: float) -> None:
        """Raise :class:`PerfmodelError`, which says the range, for a value outside; NaN is."""
        if value not in self:
            raise PerfmodelError(f"{what}: expected {self}, found {value:g}{self.unit}")


#: Samples per run. Counts of operations are 64-bit integers, which larger numbers can overflow.
BATCH: Final = Range(1, 1_000_000)
#: Tokens of a prompt, and positions of a KV cache: ten times the longest that is sold.
TOKENS: Final = Range(1, 10_000_000)
#: Samples of uncertain figures: the standard error is then under 0.2 %, in some 100 MB.
SAMPLES: Final = Range(2, 100_000)
#: Longest time a batch may be computed: to a day.
LATENCY: Final = Range(1e-9, 86_400, " s")
#: Samples per second to serve: to a million million.
RATE: Final = Range(1e-6, 1e12, " per second")
#: Until a purchase is paid off.
YEARS: Final = Range(0.01, 100, " years")
#: Of a month, which has 730 on average, those in which a rate is served.
HOURS_PER_MONTH: Final = Range(0.01, 730)
#: Of an instance.
RENT: Final = Range(1e-4, 1e5, " USD/h")
#: Share of the throughput that is planned for.
UTILIZATION: Final = Range(0.001, 1)
#: Power of a data centre over that of its servers.
PUE: Final = Range(1, 10)
#: Of a CPU or a server.
PRICE: Final = Range(0.01, 1e9, " USD")
#: Of electricity, in USD per joule: to 100 USD per kWh.
ELECTRICITY: Final = Range(1e-12, 100 / 3.6e6, " USD/J")
#: Of the requests that must be within a limit, in percent; what 3,600 requests can show.
PERCENTILE: Final = Range(1, 99.9, " %")
#: Tokens that a request generates.
OUTPUT: Final = Range(1, 10_000_000)
