"""Descriptions that come with perfmodel, kept in the cache as they were checked.

Reading one takes the import of Pydantic, which takes as long as all else that a command does; what
is kept is plain JSON of figures and records, as long as the files that made it are the same
(:func:`perfmodel.sources.made_of`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from perfmodel import cache, sources
from perfmodel.figures.figure import Figure
from perfmodel.figures.record import KINDS, Record, fields_of

R = TypeVar("R", bound=Record)

#: Rooms on which every description rests, beside its own.
_ROOMS: Final = ("figures", "vocabulary")


def remembered(kind: type[R], path: Path, read: Callable[[], R]) -> R:
    """Return what ``read`` makes of a file that comes with perfmodel, from the cache if it can."""
    if not path.is_relative_to(sources.PACKAGE):
        return read()
    room = path.relative_to(sources.PACKAGE).parts[0]
    key = {"kind": "descriptions", "name": path.stem, "path": str(path), "record": _name(kind)}
    made_of = _made_of(room)
    stored = cache.load(key)
    if stored is not None and stored.get("made_of") == made_of:
        try:
            found = _decoded(stored.get("description"))
        except (AttributeError, KeyError, TypeError, ValueError):
            found = None  # It is our own cache: read the file rather than trouble the user.
        if isinstance(found, kind):
            return found
    made = read()
    cache.store(key, {"made_of": made_of, "description": _encoded(made)}, quiet=True)
    return made


@functools.cache
def _made_of(room: str) -> str:
    """What the descriptions of a room are made of: its sources, and those that it rests on."""
    return sources.made_of(*dict.fromkeys((*_ROOMS, room)))


def _name(kind: type[Record]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _encoded(node: Any) -> Any:
    """A part of a description as JSON: an object of one key says which kind of part it is."""
    if isinstance(node, Figure):
        value = [node.low, node.typical, node.high, node.unit, node.confidence, node.source]
        return {"figure": value}
    if isinstance(node, Record):
        return {_name(type(node)): [_encoded(getattr(node, name)) for name in fields_of(node)]}
    if isinstance(node, Mapping):
        return {"table": [[name, _encoded(value)] for name, value in node.items()]}
    if isinstance(node, tuple):
        return [_encoded(value) for value in node]
    if node is None or isinstance(node, (str, int, float)):
        return node
    raise TypeError(f"{type(node).__name__} in a description")


def _decoded(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(_decoded(value) for value in node)
    if not isinstance(node, dict):
        return node
    ((name, value),) = node.items()
    if name == "figure":
        return Figure(*value)
    if name == "table":
        return {key: _decoded(item) for key, item in value}
    kind = KINDS[name]
    values = (_decoded(item) for item in value)
    return kind(**dict(zip(fields_of(kind), values, strict=True)))
