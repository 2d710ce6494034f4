"""How sure an order of two CPUs is, and what it may be called."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

from perfmodel.certainty.error_model import ENOUGH
from perfmodel.certainty.families import Identity
from perfmodel.certainty.interval import Interval, Spread

#: An order that measurements of such machines support and that is likely enough; one that is not;
#: and one of a kind that too few machines were measured in to tell.
Verdict: TypeAlias = Literal["established", "leaning", "untested"]
#: Probability from which on an order counts as established.
ESTABLISHED: Final = 0.9


def difference(a: Spread, b: Spread, *, same_core: bool) -> float:
    """Return the standard deviation of the difference of two machines' errors on one model.

    What both have in common cancels: it is drawn once for both.
    """
    core = a.core - b.core if same_core else math.hypot(a.core, b.core)
    return math.hypot(a.shared - b.shared, core, a.own, b.own)


def probability(log_ratio: float, a: Spread, b: Spread, *, same_core: bool) -> float:
    """Return how likely the first is the faster one.

    Args:
        log_ratio: natural logarithm of the second's predicted time over the first's.
    """
    spread = difference(a, b, same_core=same_core)
    return 0.5 * math.erfc(-log_ratio / spread / math.sqrt(2)) if spread else float(log_ratio > 0)


def verdict(
    likely: float, a: tuple[Identity, Interval], b: tuple[Identity, Interval]
) -> tuple[Verdict, str]:
    """Return what an order may be called, and what keeps it from being established, in words.

    Args:
        likely: the order's probability.
        a, b: the two machines and the intervals of their times.
    """
    stated = [found for _, found in (a, b) if found.provenance != "measured"]
    thin = [found for found in stated if found.machines < ENOUGH]
    if thin:
        return "untested", f"{thin[0].reason}, and an order needs {ENOUGH}"
    # What machines of one core do not know of a precision, they do not know alike.
    if a[0].core != b[0].core and (other := [f for f in stated if not f.precision_measured]):
        return "leaning", other[0].reason
    if not _one_vendor(a[0], b[0]) and (new := [f for f in stated if not f.vendor_measured]):
        return "leaning", new[0].reason
    if likely < ESTABLISHED:
        return "leaning", ""
    return "established", ""


def _one_vendor(a: Identity, b: Identity) -> bool:
    """Whether two CPUs are known to be of one vendor."""
    return a.vendor == b.vendor != ""
