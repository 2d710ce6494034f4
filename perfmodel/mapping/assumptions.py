"""What the mapping assumes of every CPU and software: assumptions.toml."""

from __future__ import annotations

import functools
from typing import Final

from perfmodel.figures import record
from perfmodel.figures.figure import Expect, Figure, Fraction
from perfmodel.figures.files import read_shipped
from perfmodel.figures.record import Record

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
    return read_shipped(_Assumptions, __file__, "assumptions.toml")


def figures() -> dict[str, Figure]:
    """Return every assumed figure by its dotted path."""
    return {USABLE_CACHE: _assumptions().cache.usable}


def settable() -> dict[str, Expect]:
    """Return what each of :func:`figures` may be, by the same paths."""
    found = dict(record.settable(_assumptions().cache, f"{PREFIX}cache"))
    return {path: found[path] for path in figures()}
