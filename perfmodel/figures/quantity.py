"""Physical quantities as people write them ("460.8 GB/s", "32 MiB", "1.2 us") <-> SI floats.

A unit of another dimension than the wanted one is an error: :mod:`perfmodel.figures.units` has the
dimensions.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Final

from perfmodel.figures.units import UnitError, parse_unit

_QUANTITY: Final = re.compile(
    r"\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)\b)"
    r"\s*(?P<unit>\S.*?)?\s*",
    re.IGNORECASE,
)
_DECIMAL: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
_BINARY: Final = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"), (1.0, ""))


class QuantityError(ValueError):
    """A text that is not a quantity of the wanted dimension; the message says what it is."""


@functools.cache
def factor(unit: str, si_unit: str) -> float:
    """How many ``si_unit`` one ``unit`` is: ``factor("GB/s", "B/s") == 1e9``.

    ``""`` stands for dimensionless on either side.

    Raises:
        QuantityError: unknown unit, or one of another dimension.
    """
    try:
        scale, dimension = parse_unit(unit) if unit else (1.0, ())
        base, wanted = parse_unit(si_unit) if si_unit else (1.0, ())
    except UnitError as error:
        raise QuantityError(str(error)) from None
    if dimension != wanted:
        raise QuantityError(
            f"has the unit {unit!r}, which cannot be read as {si_unit}"
            if si_unit and unit
            else "has no unit"
            if si_unit
            else f"has the unit {unit!r} but is a plain number"
        )
    return scale / base


def split(text: str) -> tuple[float, str]:
    """``"460.8 GB/s"`` -> ``(460.8, "GB/s")``; the unit is ``""`` for a bare number."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise QuantityError("is not a number with a unit")
    return float(match["number"]), match["unit"] or ""


def parse(text: str, si_unit: str) -> float:
    """The value of ``text`` in ``si_unit`` (Hz, B, B/s, T/s, s, W, J, USD, USD/s, op/cycle, ""...).

    Raises:
        QuantityError: not a quantity, no unit, unknown unit, or a unit of another dimension.
    """
    number, unit = split(text)
    return number * factor(unit, si_unit)


#: SI units that figures are in, "" for plain numbers.
SI_UNITS: Final = (
    "s",
    "Hz",
    "B",
    "B/s",
    "T/s",
    "W",
    "J",
    "USD",
    "USD/s",
    "op",
    "op/cycle",
    "B/cycle",
)


def si_unit(text: str) -> str:
    """Return the SI unit of what ``text`` is a quantity of; "" for a plain number.

    Raises:
        QuantityError: not a quantity, or of no unit that figures are in.
    """
    _, unit = split(text)
    if not unit or unit == "%":
        return ""
    for candidate in SI_UNITS:
        try:
            factor(unit, candidate)
        except QuantityError:
            continue
        return candidate
    raise QuantityError(f"has the unit {unit!r}, which no figure is in")


def render(value: float, si_unit: str) -> str:
    """``value`` for people, with the prefix that suits it: ``render(4.608e11, "B/s")``.

    Sizes ("B") get binary prefixes, everything else decimal ones; at most six significant digits.
    """
    if not si_unit:
        return f"{value:.6g}"
    if si_unit in ("USD", "op/cycle", "B/cycle", "W"):
        return f"{value:.6g} {si_unit}"
    if si_unit == "T/s":
        return f"{value / 1e6:.6g} MT/s"
    if si_unit == "USD/s":
        return f"{value * 3600:.6g} USD/h"
    scales = _BINARY if si_unit == "B" else _SMALL if si_unit == "s" else _DECIMAL
    magnitude = abs(value) if math.isfinite(value) else 1.0
    scale, prefix = next((pair for pair in scales if magnitude >= pair[0]), scales[-1])
    return f"{value / scale:.6g} {prefix}{si_unit}"
