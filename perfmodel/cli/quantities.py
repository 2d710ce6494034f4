"""Quantities that a user writes for an option, with a unit."""

from __future__ import annotations

import math

from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import ranges


def latency(text: str | None) -> float | None:
    """Seconds of ``--max-latency``; raises as :func:`quantity`."""
    if text is None:
        return None
    return quantity("--max-latency", text, "s", "50 ms", ranges.LATENCY)


def quantity(
    option: str, text: str, unit: str, example: str, plausible: ranges.Range, *, bare: str = ""
) -> float:
    """A quantity in SI from what a user wrote for ``option``.

    Args:
        bare: the unit that a number without one is in; by default it needs one.

    Raises :class:`~perfmodel.errors.PerfmodelError` for anything else, and outside ``plausible``.
    """
    from perfmodel.figures.quantity import QuantityError, parse, split

    expected = f'expected a positive quantity such as "{example}"'
    try:
        with_unit = text if split(text)[1] else f"{text} {bare}"
        value = parse(with_unit, unit)
    except QuantityError as error:
        raise PerfmodelError(f"{option}: {text!r} {error}; {expected}") from None
    if not (value > 0 and math.isfinite(value)):
        raise PerfmodelError(f"{option}: {text!r}; {expected}")
    plausible.check(option, value)
    return value
