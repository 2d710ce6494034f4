"""What a CPU file that rests on another takes over from it, and what of that cannot be meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perfmodel.figures.figure import Figure
from perfmodel.machine.catalog import IDENTITY, base_of, load_machine
from perfmodel.machine.schema import BANDWIDTH_PARTS, Machine

#: Figures that belong to one chip.
_OF_THE_CHIP: Final = ("power.tdp", "power.idle", "power.limit")
#: What the largest memory depends on; a part of the cores is a part of a machine.
_MODULES: Final = ("cores.count", *(f"memory.{part}" for part in BANDWIDTH_PARTS))
#: Those that a CPU may be without.
_OPTIONAL: Final = ("power.limit", "memory.capacity")


@dataclass(frozen=True)
class Inheritance:
    """What a file takes over.

    Attributes:
        base: id of the machine it rests on.
        figures: those it takes over, by dotted path.
        doubts: one line for each of them that cannot be meant.
        left_out: the list price of the base, where this is another chip and states none.
    """

    base: str
    figures: Mapping[str, Figure]
    doubts: tuple[str, ...]
    left_out: Figure | None = None


def inheritance(file: str | os.PathLike[str]) -> Inheritance | None:
    """Return what the CPU file at ``file`` takes over from its base; None where it has none.

    Raises:
        MachineError: the file, or what it rests on, is not a valid description.
    """
    path = Path(file)
    tree, below = base_of(path)
    if below is None:
        return None
    machine, theirs = load_machine(path), below.figures()
    taken = {
        figure: value
        for figure, value in machine.figures().items()
        if figure in theirs and not _states(tree, figure)
    }
    without = tree.get("without", ())
    price = below.price.launch if machine.price.launch is None else None
    return Inheritance(
        below.id,
        taken,
        tuple(_doubts(machine, below, taken)),
        None if "price.launch" in without else price,
    )


def _states(tree: Mapping[str, Any], figure: str) -> bool:
    """Whether the file itself states the ``figure``, or names the core that it is of."""
    core = tree.get("core")
    if figure.startswith("core.") and isinstance(core, Mapping) and "base" in core:
        return True
    node: Any = tree
    for step in figure.split("."):
        if not isinstance(node, Mapping):
            return True
        if step not in node:
            return False
        node = node[step]
    return True


def _doubts(machine: Machine, below: Machine, taken: Mapping[str, Figure]) -> list[str]:
    ours, theirs = machine.figures(), below.figures()

    def differing(paths: tuple[str, ...]) -> list[str]:
        return [path for path in paths if ours[path].typical != theirs[path].typical]

    causes = dict.fromkeys(_OF_THE_CHIP, differing(IDENTITY))
    causes["memory.capacity"] = differing(_MODULES)
    found = []
    for path, others in causes.items():
        if path in taken and others:
            found.append(
                f"{path}: {taken[path]} is that of {below.id}, whose {' and '.join(others)} "
                f"{'differs' if len(others) == 1 else 'differ'}: state it"
                + (f', or without = ["{path}"]' if path in _OPTIONAL else "")
            )
    return found
