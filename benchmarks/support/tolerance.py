"""What counts as a difference between a stored and a new JSON document.

Floats are equal within a relative tolerance; they are compared, never rounded, so no value sits on
a rounding boundary. Everything else (integers, labels, keys, lengths, types) is equal or different.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

#: Wide enough for a different NumPy build or CPU, far below any change of a formula or a figure.
RELATIVE_TOLERANCE: Final = 1e-6

Path: TypeAlias = tuple[str | int, ...]


class Absent(Enum):
    """Stands for a value that only the other document has."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True)
class Difference:
    """One place at which two documents differ; ``old`` or ``new`` may be :data:`ABSENT`."""

    path: Path
    old: object
    new: object


def close(old: float, new: float, relative: float = RELATIVE_TOLERANCE) -> bool:
    """Whether two floats are equal within ``relative`` of the larger magnitude.

    A NaN equals nothing, itself included: an estimate that is not a number is never as recorded.
    An infinity equals only itself, and zero only zero.
    """
    return math.isclose(old, new, rel_tol=relative, abs_tol=0.0)


def differences(
    old: object, new: object, relative: float = RELATIVE_TOLERANCE, path: Path = ()
) -> Iterator[Difference]:
    """Every place at which ``new`` differs from ``old``, in the order of sorted keys.

    Both are parsed JSON. A subtree that only one of them has is one difference.
    """
    if type(old) is not type(new):
        yield Difference(path, old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _at(old.get(key, ABSENT), new.get(key, ABSENT), relative, (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _at(_item(old, index), _item(new, index), relative, (*path, index))
    elif isinstance(old, float) and isinstance(new, float):
        if not close(old, new, relative):
            yield Difference(path, old, new)
    elif old != new:
        yield Difference(path, old, new)


def _at(old: object, new: object, relative: float, path: Path) -> Iterator[Difference]:
    if old is ABSENT or new is ABSENT:
        yield Difference(path, old, new)
    else:
        yield from differences(old, new, relative, path)


def _item(items: list[object], index: int) -> object:
    return items[index] if index < len(items) else ABSENT


def nan_paths(document: object, path: Path = ()) -> Iterator[Path]:
    """Where ``document`` holds a NaN."""
    if isinstance(document, dict):
        for key in sorted(document):
            yield from nan_paths(document[key], (*path, key))
    elif isinstance(document, list):
        for index, item in enumerate(document):
            yield from nan_paths(item, (*path, index))
    elif isinstance(document, float) and math.isnan(document):
        yield path
