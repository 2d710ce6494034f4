"""Copies of a pass of a loop in the tables of a recorder: kernels, accesses and tensors of its own.

Two passes were recorded, the second like the first. In copy j every row of the second is j passes
further: its kernels, the tensors that it made, and those of the pass before that it reads. Other
tensors stay. Names are numbered on as if all passes had been recorded, and a part of a weight that
moved between the two passes moves on by the same step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: A label, its number, and the position of a result among several.
_NUMBERED: Final = re.compile(r"(?P<label>.*)#(?P<number>\d+)(?P<position>:\d+)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Passes:
    """The rows of two passes, one behind the other, and where in the tables they begin.

    ``kernels``, ``accesses`` and ``tensors`` hold as many rows of the first as of the second.
    """

    kernels: list[Any]
    accesses: list[Any]
    tensors: list[Any]
    first_tensor: int


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows to append to the tables, and how much further each label is numbered."""

    kernels: list[Any]
    accesses: list[Any]
    tensors: list[Any]
    numbers: dict[str, int]


def copies(passes: Passes, count: int) -> Copies:
    """``count`` copies of the second of two passes."""
    kernels = list(_named(passes.kernels, count))
    tensors = list(_named(passes.tensors, count))
    size, rows = len(passes.kernels) // 2, len(passes.tensors) // 2
    half = len(passes.accesses) // 2
    pairs = list(zip(passes.accesses[:half], passes.accesses[half:], strict=True))
    steps = [
        (
            kernel,
            tensor,
            rows if tensor >= passes.first_tensor else 0,
            (role, elements),
            block,
            block[0] - before[4][0] if block and before[4] else 0,
        )
        for before, (kernel, tensor, role, elements, block) in pairs
    ]
    accesses = [
        (
            kernel + j * size,
            tensor + j * step,
            *rest,
            block and (block[0] + j * move, block[1]),
        )
        for j in range(1, count + 1)
        for kernel, tensor, step, rest, block, move in steps
    ]
    return Copies(kernels, accesses, tensors, _numbers(passes.kernels, count))


def _split(name: str) -> tuple[str, int, str]:
    found = _NUMBERED.fullmatch(name)
    if found is None:  # the first of its name, or a part of the model
        return name, 1, ""
    return found["label"], int(found["number"]), found["position"] or ""


def _steps(rows: list[Any]) -> list[tuple[str, int, str, int, tuple[Any, ...]]]:
    """Of the second pass label, number and position, its step from the first, what is no name."""
    half = len(rows) // 2
    found = []
    for (earlier, *_), (name, *rest) in zip(rows[:half], rows[half:], strict=True):
        (_, before, _), (label, number, position) = _split(earlier), _split(name)
        found.append((label, number, position, number - before, tuple(rest)))
    return found


def _named(rows: list[Any], count: int) -> Iterator[Any]:
    steps = _steps(rows)
    for j in range(1, count + 1):
        for label, number, position, step, rest in steps:
            yield (f"{label}#{number + j * step}{position}" if step else label, *rest)


def _numbers(rows: list[Any], count: int) -> dict[str, int]:
    return {label: count * step for label, _, _, step, _ in _steps(rows)}
