"""The CPUs whose figures are held: three that are ranked, and more with their latencies."""

from __future__ import annotations

from typing import Final

INTEL: Final = "xeon_8490h"
AMD: Final = "epyc_9654"
AMPERE: Final = "ampereone_192"
CPUS: Final = (INTEL, AMD, AMPERE)

#: Those whose latencies of every model are held: all catalogued before measurements brought more.
#: What follows for the others is held where they are compared with those measurements.
HELD: Final = (
    "ampereone_128", "ampereone_192", "ampereone_96", "epyc_9654", "epyc_9754", "epyc_9755",
    "epyc_9965", "graviton3", "graviton4", "i7_12700k", "ryzen_9_8945hs", "xeon_6980p",
    "xeon_8480plus", "xeon_8490h", "xeon_8592plus",
)  # fmt: skip
