"""The CPUs that are ranked against each other: one of each vendor, whatever else is catalogued."""

from __future__ import annotations

from typing import Final

INTEL: Final = "xeon_8490h"
AMD: Final = "epyc_9654"
AMPERE: Final = "ampereone_192"
CPUS: Final = (INTEL, AMD, AMPERE)
