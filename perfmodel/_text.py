"""Numbers as people read them."""

from __future__ import annotations

import math


def significant(value: float, digits: int = 3) -> str:
    """``value`` with at least ``digits`` significant digits, never in exponent form.

    Whole digits are all kept: 1234.5 -> "1,234", 12.345 -> "12.3", 0.01234 -> "0.0123".
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def percent(share: float) -> str:
    """A share of 1 as whole percent, for example "78 %"; under half of one it says "<1 %"."""
    return "<1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"
