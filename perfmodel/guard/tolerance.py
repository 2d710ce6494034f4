"""When two latencies are the same, and budgets as people write them."""

from __future__ import annotations

import math
from typing import Final

from perfmodel.errors import PerfmodelError
from perfmodel.figures import quantity

#: Wide enough for a different NumPy build or CPU, far below any change of a formula or a figure.
RELATIVE_TOLERANCE: Final = 1e-6


def close(old: float, new: float, relative: float = RELATIVE_TOLERANCE) -> bool:
    """Return whether two floats are equal within ``relative`` of the old one.

    A NaN equals nothing, itself included; an infinity equals only itself, and zero only zero.
    """
    if old == new:
        return True
    if not (math.isfinite(old) and math.isfinite(new)):
        return False
    return abs(new - old) <= relative * abs(old)


def milliseconds(value: str | float, what: str) -> float:
    """Return a latency in ms: a text with a unit ("12 ms"), or a number of ms.

    Raises:
        PerfmodelError: no latency, or none above zero; the line begins with ``what``.
    """
    expected = 'expected a time such as "12 ms"'
    if isinstance(value, str):
        try:
            found = quantity.parse(value, "s") * 1e3
        except quantity.QuantityError as error:
            raise PerfmodelError(f"{what}: {value!r} {error}; {expected}") from None
    else:
        found = _number(value, what, f"{expected}, or a number of milliseconds")
    if not (math.isfinite(found) and found > 0):
        raise PerfmodelError(f"{what}: {value!r}; {expected}, above zero")
    return found


def share(value: str | float, what: str) -> float:
    """Return a share of 1: a text in percent ("5 %") or as a number, or a number ("0.05").

    Raises:
        PerfmodelError: no share, or a negative one; the line begins with ``what``.
    """
    expected = 'expected a share such as "5 %" or 0.05'
    if isinstance(value, str):
        try:
            found = quantity.parse(value, "")
        except quantity.QuantityError:
            number, unit = _split(value, what, expected)
            if unit != "%":
                raise PerfmodelError(f"{what}: {value!r}; {expected}") from None
            found = number / 100
    else:
        found = _number(value, what, expected)
    if not (math.isfinite(found) and found >= 0):
        raise PerfmodelError(f"{what}: {value!r}; {expected}, not negative")
    return found


def _split(value: str, what: str, expected: str) -> tuple[float, str]:
    try:
        return quantity.split(value)
    except quantity.QuantityError as error:
        raise PerfmodelError(f"{what}: {value!r} {error}; {expected}") from None


def _number(value: object, what: str, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PerfmodelError(f"{what}: {value!r}; {expected}")
    return float(value)
