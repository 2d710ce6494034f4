"""Units as people write them: prefixes, five dimensions, and products and quotients of these.

Bytes, operations, cycles, transfers and dollars are dimensions, and one cannot stand in for
another. The common library for units, pint, takes longer to import than a comparison takes to run;
the tests hold what is read here against it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

#: Exponents of the dimensions that a unit has, in the order of their names; no zeros.
Dimension: TypeAlias = tuple[tuple[str, int], ...]

PREFIXES: Final[Mapping[str, float]] = {
    "": 1.0,
    **dict.fromkeys(("pico", "p"), 1e-12),
    **dict.fromkeys(("nano", "n"), 1e-9),
    **dict.fromkeys(("micro", "u", "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"), 1e-6),
    **dict.fromkeys(("milli", "m"), 1e-3),
    **dict.fromkeys(("kilo", "k"), 1e3),
    **dict.fromkeys(("mega", "M"), 1e6),
    **dict.fromkeys(("giga", "G"), 1e9),
    **dict.fromkeys(("tera", "T"), 1e12),
    **dict.fromkeys(("peta", "P"), 1e15),
    **dict.fromkeys(("kibi", "Ki"), 2.0**10),
    **dict.fromkeys(("mebi", "Mi"), 2.0**20),
    **dict.fromkeys(("gibi", "Gi"), 2.0**30),
    **dict.fromkeys(("tebi", "Ti"), 2.0**40),
}
#: Name -> (base units in one, exponents of the dimensions).
UNITS: Final[Mapping[str, tuple[float, Mapping[str, int]]]] = {
    **dict.fromkeys(("second", "s"), (1.0, {"time": 1})),
    **dict.fromkeys(("hour", "h"), (3600.0, {"time": 1})),
    **dict.fromkeys(("byte", "B"), (1.0, {"information": 1})),
    "bit": (1 / 8, {"information": 1}),
    "cycle": (1.0, {"cycle": 1}),
    **dict.fromkeys(("operation", "op"), (1.0, {"operation": 1})),
    **dict.fromkeys(("transfer", "T"), (1.0, {"transfer": 1})),
    **dict.fromkeys(("watt", "W"), (1.0, {"power": 1})),
    **dict.fromkeys(("dollar", "USD"), (1.0, {"currency": 1})),
    **dict.fromkeys(("hertz", "Hz"), (1.0, {"time": -1})),
    **dict.fromkeys(("joule", "J"), (1.0, {"power": 1, "time": 1})),
    **dict.fromkeys(("watt_hour", "Wh"), (3600.0, {"power": 1, "time": 1})),
    **dict.fromkeys(("percent", "%"), (0.01, {})),
}
_NAME: Final = r"[A-Za-z_\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}]+"
#: Products and quotients of names, from left to right.
_UNIT: Final = re.compile(rf"{_NAME}(?:\s*[*/]\s*{_NAME})*")
_STEP: Final = re.compile(rf"(^|[*/])\s*({_NAME})\s*")


class UnitError(ValueError):
    """A text that is no unit, or none that is known; the message says which."""


@functools.cache
def parse_unit(text: str) -> tuple[float, Dimension]:
    """Return the base units in one ``text``, and its dimension: "GB/s" is 1e9 bytes per second.

    Raises:
        UnitError: no unit, or one that is not known.
    """
    if text != "%" and not _UNIT.fullmatch(text):
        raise UnitError(f"{text!r} is not a unit")
    scale, exponents = 1.0, dict[str, int]()
    for sign, name in [("", "%")] if text == "%" else _STEP.findall(text):
        found = next(_readings(name), None)
        if found is None:
            raise UnitError(f"{text!r} is not a known unit (case matters)")
        size, dimension = found
        power = -1 if sign == "/" else 1
        scale = scale / size if sign == "/" else scale * size
        for base, exponent in dimension.items():
            exponents[base] = exponents.get(base, 0) + power * exponent
    return scale, tuple(sorted((base, power) for base, power in exponents.items() if power))


def _readings(name: str) -> Iterator[tuple[float, Mapping[str, int]]]:
    """What a name may be: a unit, one with a prefix, or a longer one with an s at its end."""
    for stem in dict.fromkeys((name, name.removesuffix("s"))):
        for prefix, factor in PREFIXES.items():
            unit = stem[len(prefix) :]
            if stem.startswith(prefix) and unit in UNITS and (stem == name or len(unit) > 1):
                size, dimension = UNITS[unit]
                yield factor * size, dimension
