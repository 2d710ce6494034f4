"""What is fitted to measurements: few parameters, each a physical effect, that move figures.

A parameter moves all figures of one effect together, as a factor on what the files say of them.
It is held to what was known before any measurement with a *spread*: how far (as a standard
deviation of the logarithm) that may be off. What the points say nothing of stays where it was.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from perfmodel.figures.files import read_shipped
from perfmodel.figures.held import Held
from perfmodel.figures.record import Record


@dataclass(frozen=True)
class Effect:
    """One thing that a fit finds.

    Attributes:
        meaning: in words, for reports.
        patterns: dotted paths of the figures it moves, ``*`` for any part.
        spread: of its natural logarithm, before any measurement.
    """

    name: str
    meaning: str
    patterns: tuple[str, ...]
    spread: float

    def moves(self, path: str) -> bool:
        """Whether the figure at ``path`` is one of its own."""
        return any(fnmatchcase(path, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Factor(Effect):
    """What a fit of software finds, as a factor on figures.

    Attributes:
        centre: where it is held, as a factor on what the files say: below 1 where the measurements
            moved the files up from what was known before.
    """

    centre: float = 1.0


class _Row(Record):
    name: str
    meaning: str
    value: Annotated[float, Held(gt=0)]
    prior: Annotated[float, Held(gt=0)]
    spread: Annotated[float, Held(gt=0)]
    patterns: Annotated[tuple[str, ...], Held(min_length=1)]


class _Factors(Record):
    factor: tuple[_Row, ...]


@functools.cache
def software_factors() -> tuple[Factor, ...]:
    """Return what is fitted of all software: factors.toml."""
    return tuple(
        Factor(row.name, row.meaning, row.patterns, row.spread, row.prior / row.value)
        for row in read_shipped(_Factors, __file__, "factors.toml").factor
    )
