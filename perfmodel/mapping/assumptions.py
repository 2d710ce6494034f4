"""What the mapping assumes of every CPU and software: assumptions.toml."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Final

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
