"""Units: every name with every prefix, held against pint with the same definitions."""

from __future__ import annotations

import functools
from typing import Any

import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.figures.quantity import SI_UNITS
from perfmodel.figures.units import PREFIXES, UNITS, UnitError, parse_unit

#: What the tables say, as pint writes it.
DEFINITIONS = (
    "pico- = 1e-12 = p-",
    "nano- = 1e-9 = n-",
    "micro- = 1e-6 = u- = \N{MICRO SIGN}- = \N{GREEK SMALL LETTER MU}-",
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
    "hour = 3600 * second = h",
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


@functools.cache
def registry() -> pint.UnitRegistry[Any]:
    found: pint.UnitRegistry[Any] = pint.UnitRegistry(None)
    for definition in DEFINITIONS:
        found.define(definition)
    return found


def of_pint(text: str) -> tuple[float, dict[str, int]]:
    one = registry().Quantity(1.0, registry().parse_units(text)).to_base_units()
    return float(one.magnitude), {k.strip("[]"): int(v) for k, v in one.dimensionality.items()}


def same(text: str) -> None:
    scale, dimension = parse_unit(text)
    expected, exponents = of_pint(text)
    assert scale == pytest.approx(expected, rel=1e-12), text
    assert dict(dimension) == exponents, text


@pytest.mark.parametrize("unit", sorted(UNITS.keys() - {"%"}))
def test_every_unit_with_every_prefix(unit: str) -> None:
    for prefix in PREFIXES:
        same(f"{prefix}{unit}")


NAMES = st.builds(
    lambda prefix, unit, end: f"{prefix}{unit}{end if len(unit) > 1 else ''}",
    st.sampled_from(sorted(PREFIXES)),
    st.sampled_from(sorted(UNITS.keys() - {"%"})),
    st.sampled_from(["", "s"]),
)


@settings(max_examples=100)
@given(NAMES, st.lists(st.tuples(st.sampled_from([" / ", "*", "/"]), NAMES), max_size=3))
def test_products_and_quotients(first: str, rest: list[tuple[str, str]]) -> None:
    same(first + "".join(sign + name for sign, name in rest))


def test_si_units_are_one_base_unit() -> None:
    assert {parse_unit(unit)[0] for unit in SI_UNITS} == {1.0}
    assert parse_unit("%") == (0.01, ())
    assert len({parse_unit(unit)[1] for unit in ("B/s", "Hz", "op/s", "T/s", "USD/s")}) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not a unit"),
        ("GB/", "not a unit"),
        ("GB//s", "not a unit"),
        ("B s", "not a unit"),
        ("2", "not a unit"),
        ("gb/s", "not a known unit"),
        ("furlong", "not a known unit"),
        ("G", "not a known unit"),
        ("Bs", "not a known unit"),
    ],
)
def test_what_is_no_unit(text: str, expected: str) -> None:
    with pytest.raises(UnitError, match=expected):
        parse_unit(text)
