"""Physical quantities as people write them ("460.8 GB/s", "32 MiB", "1.2 us") <-> SI floats.

The unit text is understood by pint, with a registry of our own: its default one takes longer to
build than a whole comparison takes to run, and knows bytes only as eight dimensionless bits, so
that "2.4 GHz" and "2.4 GB/s" would be the same kind of thing. Here bytes, operations, cycles,
transfers and dollars are dimensions, and one cannot stand in for another.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pint

#: The registry: prefixes, then the five dimensions and the units made of them.
DEFINITIONS: Final = (
    "pico- = 1e-12 = p-",
    "nano- = 1e-9 = n-",
    "micro- = 1e-6 = u- = µ- = μ-",
    "milli- = 1e-3 = m-",
    "kilo- = 1e3 = k-",
    "mega- = 1e6 = M-",
    "giga- = 1e9 = G-",
    "tera- = 1e12 = T-",
    "peta- = 1e15 = P-",
    "kibi- = 2**10 = Ki-",
    "mebi- = 2**20 = Mi-",
    "gibi- = 2**30 = Gi-",
    "tebi- = 2**40 = Ti-",
    "second = [time] = s",
    "byte = [information] = B",
    "cycle = [cycle]",
    "operation = [operation] = op",
    "transfer = [transfer] = T",
    "watt = [power] = W",
    "dollar = [currency] = USD",
    "percent = 0.01",
    "hertz = 1 / second = Hz",
    "bit = byte / 8",
    "joule = watt * second = J",
    "watt_hour = 3600 * joule = Wh",
)

_QUANTITY: Final = re.compile(
    r"\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)\b)"
    r"\s*(?P<unit>\S.*?)?\s*",
    re.IGNORECASE,
)
#: What may stand in a unit; keeps anything but products and quotients of unit names from pint.
_UNIT: Final = re.compile(r"[A-Za-zµμ]+(?:\s*[*/]\s*[A-Za-zµμ]+)*")
_DECIMAL: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
_BINARY: Final = ((2.0**40, "Ti"), (2.0**30, "Gi"), (2.0**20, "Mi"), (2.0**10, "Ki"), (1.0, ""))


class QuantityError(ValueError):
    """A text that is not a quantity of the wanted dimension; the message says what it is."""


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(None)
    for definition in DEFINITIONS:
        registry.define(definition)
    return registry


@functools.cache
def _parsed(unit: str) -> tuple[float, Any]:
    """Factor to base units and dimensionality of a unit text."""
    registry = _registry()
    import pint

    text = "percent" if unit == "%" else unit
    if not _UNIT.fullmatch(text):
        raise QuantityError(f"{unit!r} is not a unit")
    try:
        one = registry.Quantity(1.0, registry.parse_units(text)).to_base_units()
    except (pint.UndefinedUnitError, pint.DefinitionSyntaxError):
        raise QuantityError(f"{unit!r} is not a known unit (case matters)") from None
    return float(one.magnitude), one.dimensionality


@functools.cache
def factor(unit: str, si_unit: str) -> float:
    """How many ``si_unit`` one ``unit`` is: ``factor("GB/s", "B/s") == 1e9``.

    ``""`` stands for dimensionless on either side.

    Raises:
        QuantityError: unknown unit, or one of another dimension.
    """
    scale, dimension = _parsed(unit) if unit else (1.0, None)
    base, wanted = _parsed(si_unit) if si_unit else (1.0, None)
    if (dimension or None) != (wanted or None):
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
    """The value of ``text`` in ``si_unit`` (one of Hz, B, B/s, T/s, s, W, J, USD, op/cycle, ""...).

    Raises:
        QuantityError: not a quantity, no unit, unknown unit, or a unit of another dimension.
    """
    number, unit = split(text)
    return number * factor(unit, si_unit)


#: SI units that figures are in, "" for plain numbers.
SI_UNITS: Final = ("s", "Hz", "B", "B/s", "T/s", "W", "J", "USD", "op", "op/cycle", "B/cycle")


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
    scales = _BINARY if si_unit == "B" else _SMALL if si_unit == "s" else _DECIMAL
    magnitude = abs(value) if math.isfinite(value) else 1.0
    scale, prefix = next((pair for pair in scales if magnitude >= pair[0]), scales[-1])
    return f"{value / scale:.6g} {prefix}{si_unit}"
