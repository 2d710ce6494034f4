"""What is fitted to measurements: few parameters, each a physical effect, that move figures.

A parameter moves all figures of one effect together, as a factor on what the files say of them.
It starts at 1 and is held there with a *spread*: how far (as a standard deviation of the logarithm)
the files may be off before anything is measured. What the points say nothing of stays where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from perfmodel.figures.figure import Figure
from perfmodel.mapping.roofline import FloatArray


@dataclass(frozen=True)
class Factor:
    """One thing that a fit of software finds, as a factor on figures.

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


def moved(
    figures: Mapping[str, Figure], factors: Mapping[Factor, FloatArray]
) -> dict[str, FloatArray]:
    """Return figures by path at values of the factors.

    Args:
        figures: by path in a run.
        factors: each an array of shape (variants,).
    """
    found: dict[str, FloatArray] = {}
    for path, figure in figures.items():
        for factor, values in factors.items():
            if factor.moves(path):
                found[path] = found.get(path, figure.typical) * values
    return found
