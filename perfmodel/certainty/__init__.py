"""How sure an estimate is: intervals by what was measured of such estimates."""

from perfmodel.certainty.families import Identity, identity
from perfmodel.certainty.interval import Interval, Provenance, Spread, interval
from perfmodel.certainty.of_run import of_run
from perfmodel.certainty.orders import Verdict, verdict

__all__ = [
    "Identity",
    "Interval",
    "Provenance",
    "Spread",
    "Verdict",
    "identity",
    "interval",
    "of_run",
    "verdict",
]
