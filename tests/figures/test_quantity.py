"""Quantities: what people write, and what must not be mistaken for something else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.figures import quantity

PREFIXES = {
    "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0,
    "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
UNITS = ("s", "B", "Hz", "W", "B/s", "T/s", "op", "J", "USD")
values = st.floats(min_value=1e-6, max_value=1e12)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("460.8 GB/s", "B/s", 460.8e9),
        ("2.4 GHz", "Hz", 2.4e9),
        ("4800 MT/s", "T/s", 4.8e9),
        ("32 MiB", "B", 2**25),
        ("112.5 MiB", "B", 112.5 * 2**20),
        ("64 kB", "B", 64_000),
        ("360 W", "W", 360),
        ("1.2 us", "s", 1.2e-6),
        ("11805 USD", "USD", 11805),
        ("128 op/cycle", "op/cycle", 128),
        ("64 B/cycle", "B/cycle", 64),
        ("64 bit", "B", 8),
        ("3.6 kJ", "J", 3600),
        ("0.82", "", 0.82),
        ("82 %", "", 0.82),
        ("  1e3MHz ", "Hz", 1e9),
    ],
)
def test_as_people_write_it(text: str, unit: str, expected: float) -> None:
    assert quantity.parse(text, unit) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "why"),
    [
        ("2.4", "Hz", "has no unit"),
        ("2.4 GB/s", "Hz", "cannot be read as Hz"),
        ("2.4 GHz", "B/s", "cannot be read as B/s"),
        ("4800 MHz", "T/s", "cannot be read as T/s"),
        ("32 Mbit", "B/s", "cannot be read as B/s"),
        ("128 op", "op/cycle", "cannot be read as op/cycle"),
        ("3 GHz", "", "is a plain number"),
        ("2.4 ghz", "Hz", "not a known unit"),
        ("2.4 GHertzz", "Hz", "not a known unit"),
        ("3 G", "Hz", "not a known unit"),
        ("GHz", "Hz", "not a number with a unit"),
        ("", "Hz", "not a number with a unit"),
        ("2,4 GHz", "Hz", "not a unit"),
        ("1 s**999999999", "s", "not a unit"),
        ("1 __import__('os')", "s", "not a unit"),
    ],
)
def test_anything_else_is_refused(text: str, unit: str, why: str) -> None:
    with pytest.raises(quantity.QuantityError, match=why.replace("(", r"\(")):
        quantity.parse(text, unit)


@settings(max_examples=100)
@given(value=values, prefix=st.sampled_from(sorted(PREFIXES)), unit=st.sampled_from(UNITS))
def test_a_prefix_scales_and_nothing_more(value: float, prefix: str, unit: str) -> None:
    scaled = quantity.parse(f"{value!r} {prefix}{unit}", unit)
    assert scaled == pytest.approx(value * PREFIXES[prefix], rel=1e-12)


@settings(max_examples=100)
@given(value=values, unit=st.sampled_from((*UNITS, "", "op/cycle", "B/cycle")))
def test_what_is_shown_reads_back(value: float, unit: str) -> None:
    # Shown with six significant digits.
    assert quantity.parse(quantity.render(value, unit), unit) == pytest.approx(value, rel=5e-6)


@settings(max_examples=100)
@given(first=st.sampled_from(UNITS), second=st.sampled_from(UNITS))
def test_dimensions_never_mix(first: str, second: str) -> None:
    if first == second:
        assert quantity.factor(first, second) == 1.0
    else:
        with pytest.raises(quantity.QuantityError):
            quantity.factor(first, second)


def test_sizes_are_shown_binary_and_rates_decimal() -> None:
    assert quantity.render(2**25, "B") == "32 MiB"
    assert quantity.render(460.8e9, "B/s") == "460.8 GB/s"
    assert quantity.render(4.8e9, "T/s") == "4800 MT/s"
    assert quantity.render(1.05e-6, "s") == "1.05 us"
