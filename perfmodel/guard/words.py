"""Values, changes and counts as the reports say them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from perfmodel.figures import quantity

#: Names in a list before "and N more".
_NAMED: Final = 4


def figure_change(old: object, new: object) -> str:
    """Return a figure's old and new value with its unit, and the change in percent."""
    text = f"{_value(old)} -> {_value(new)}"
    numbers = [v[0] if isinstance(v, list) else v for v in (old, new)]
    a, b = numbers
    if isinstance(a, int | float) and isinstance(b, int | float) and a:
        text += f" ({(b / a - 1) * 100:+.3g} %)"
    return text


def _value(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list):
        return quantity.render(*value)
    return f"{value:.6g}" if isinstance(value, int | float) else str(value) or "(none)"


def percent(log: float) -> str:
    """Return the change that a logarithm of new over old is: "+5 %"."""
    return f"{(math.exp(log) - 1) * 100:+.2g} %"


def counted(number: int, what: str) -> str:
    """Return a number of things: "1 model", "2 models"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def cut(items: Sequence[str], limit: int) -> list[str]:
    """Return items, of more than ``limit`` the first ones and how many more there are."""
    if len(items) <= limit:
        return list(items)
    return [*items[: limit - 1], f"... and {len(items) - limit + 1} more"]


def listed(names: Sequence[str]) -> str:
    """Return names with commas, cut where they are many."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
