"""Which measured points belong together when some are left out of a fit: groups.toml."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from perfmodel.evidence.cases import Case
from perfmodel.figures.files import read_shipped
from perfmodel.figures.record import Record


class _Groups(Record):
    desktops: tuple[str, ...]
    unfitted: tuple[str, ...]
    machines: Mapping[str, str]
    models: Mapping[str, str]


@functools.cache
def _groups() -> _Groups:
    return read_shipped(_Groups, __file__, "groups.toml")


def machine_group(case: Case) -> str:
    """Return what is left out with a point's machine: itself and its other names."""
    own = case.group.machine
    return _named(own, _groups().machines) or own


def model_group(case: Case) -> str:
    """Return what is left out with a point's model: all its resolutions, lengths and relatives."""
    own = case.row.subject
    return _named(own, _groups().models) or re.sub(r"_\d+(x\d+)?$", "", own)


def on_desktop(case: Case) -> bool:
    """Return whether a point was measured on a desktop."""
    return case.group.machine in _groups().desktops


def is_fitted(case: Case) -> bool:
    """Return whether the figures of software were fitted to a point, among others.

    Single products and microbenchmarks are for fits of a machine.
    """
    return case.row.model is not None and case.group.name not in _groups().unfitted


def _named(name: str, patterns: Mapping[str, str]) -> str | None:
    return next((to for pattern, to in patterns.items() if fnmatchcase(name, pattern)), None)
