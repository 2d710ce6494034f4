"""The traced cases of a module, of which those that say the same are merged into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from perfmodel.tracing.dimension_symbols import symbol_of
from perfmodel.workload.parametric.expressions import Condition


@dataclass
class TracedCase:
    """One case: a workload document with sympy expressions for sizes, and where it holds.

    Attributes:
        document: as :func:`perfmodel.workload.storage.to_dict` makes it; a size is a number or a
            sympy expression in :func:`~perfmodel.tracing.dimension_symbols.symbol_of` dimensions.
        ones: the dimensions that are 1 in it.
        regions: where it holds, any of them; each a set of conditions that hold together.
        bounds: by dimension, the least and the largest size; None: unbounded.
    """

    document: dict[str, Any]
    ones: frozenset[str]
    regions: list[frozenset[str]]
    bounds: dict[str, tuple[int, int | None]]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at ``sizes``."""
        return any(all(Condition(text)(sizes) for text in region) for region in self.regions)

    def extend(self, other: TracedCase) -> None:
        """Hold where ``other`` holds, too."""
        self.regions.extend(other.regions)
        for name, (least, most) in other.bounds.items():
            own_least, own_most = self.bounds[name]
            self.bounds[name] = min(least, own_least), largest([most, own_most])


def merge(cases: list[TracedCase], case: TracedCase) -> None:
    """Add ``case``, to the region of one that says the same if there is one."""
    for other in cases:
        if _covers(other, case):
            other.extend(case)
            return
    cases.append(case)


def largest(bounds: Sequence[int | None]) -> int | None:
    """The largest of some upper bounds; None, which is unbounded, if one of them is."""
    known = [bound for bound in bounds if bound is not None]
    return max(known) if len(known) == len(bounds) else None


def _covers(general: TracedCase, special: TracedCase) -> bool:
    """Whether ``general``, where ``special`` holds, says the same."""
    if not general.ones <= special.ones:
        return False
    at = {symbol_of(name): sympy.Integer(1) for name in special.ones - general.ones}
    return _same(general.document, special.document, at, {})


def _same(general: Any, special: Any, at: Mapping[Any, Any], seen: dict[Any, Any]) -> bool:
    if isinstance(general, dict):
        return (
            isinstance(special, dict)
            and general.keys() == special.keys()
            and all(_same(general[key], special[key], at, seen) for key in general)
        )
    if isinstance(general, list | tuple):
        return len(general) == len(special) and all(
            _same(one, other, at, seen) for one, other in zip(general, special, strict=True)
        )
    if isinstance(general, sympy.Expr):
        if general not in seen:
            value = sympy.expand(general.xreplace(at))
            seen[general] = int(value) if isinstance(value, sympy.Integer) else value
        general = seen[general]
    return bool(general == special)
