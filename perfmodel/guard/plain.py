"""Plain JSON documents, and where two of them differ.

Floats are equal within a relative tolerance; they are compared, never rounded, so no value sits on
a rounding boundary. Everything else (integers, labels, keys, lengths, types) is equal or different.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from perfmodel.errors import PerfmodelError
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE, close

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

    @property
    def place(self) -> str:
        """The path as text: "cpus.epyc_9654.energy_j"."""
        return ".".join(map(str, self.path)) or "the whole"

    @property
    def size(self) -> float:
        """How large it is, in either direction; infinite but of two positive numbers."""
        numbers = [v for v in (self.old, self.new) if isinstance(v, int | float)]
        usable = len(numbers) == 2 and all(math.isfinite(v) and v > 0 for v in numbers)
        return abs(math.log(numbers[1] / numbers[0])) if usable else math.inf


def differences(
    old: object, new: object, relative: float = RELATIVE_TOLERANCE, path: Path = ()
) -> Iterator[Difference]:
    """Yield every place at which ``new`` differs from ``old``, in the order of sorted keys.

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


def require_plain(value: object, place: str = "the document") -> None:
    """Raise :class:`PerfmodelError` for what JSON does not have: a NumPy integer, a NaN, a tuple.

    ``place`` begins the message, which names where it is.
    """
    inner = "" if place == "the document" else f"{place}."
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise PerfmodelError(f"{place} has the key {key!r}, which is not text")
            require_plain(item, f"{inner}{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            require_plain(item, f"{inner}{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise PerfmodelError(f"{place} is {value}, which is never recorded")
    elif not (value is None or type(value) in (bool, int, float, str)):
        raise PerfmodelError(f"{place} is a {type(value).__name__}, which JSON does not have")
