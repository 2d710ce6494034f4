"""What the mapping assumes of every CPU and software: assumptions.toml."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from perfmodel.figures import record
from perfmodel.figures.figure import Expect, Figure, Fraction
from perfmodel.figures.files import read_description
from perfmodel.figures.record import Record, validated

#: What the paths of these figures begin with, to tell them from a machine's.
PREFIX: Final = "assumptions."
#: Path of the share of a cache's capacity that tensors can count on.
USABLE_CACHE: Final = "assumptions.cache.usable"


class _Cache(Record):
    usable: Fraction


class _Assumptions(Record):
    cache: _Cache
    uncalibrated_error: Mapping[Literal["networks", "generation"], Mapping[str, Fraction]]


@functools.cache
def _assumptions() -> _Assumptions:
    file = resources.files("perfmodel.mapping").joinpath("assumptions.toml")
    tree, origin = read_description(Path(str(file)), "assumptions.toml", "a file of perfmodel")
    return validated(_Assumptions, tree, origin)


def figures() -> dict[str, Figure]:
    """Return every assumed figure by its dotted path."""
    return {USABLE_CACHE: _assumptions().cache.usable}


def settable() -> dict[str, Expect]:
    """Return what each of :func:`figures` may be, by the same paths."""
    found = dict(record.settable(_assumptions().cache, f"{PREFIX}cache"))
    return {path: found[path] for path in figures()}


def uncalibrated_error(software: str, *, generates: bool) -> float:
    """Return the mean absolute relative error of latencies from vendors' figures alone.

    Args:
        software: its id; one that nobody measured is taken for the worst known.
        generates: whether the model generates text.
    """
    table = _assumptions().uncalibrated_error["generation" if generates else "networks"]
    found = table.get(software)
    return found.typical if found else max(figure.typical for figure in table.values())
