"""Finding and reading descriptions of software: the catalogue's, and the user's own.

One TOML file describes one software, and adding one takes no code. A file can rest on another by
``base = "ID"`` (or a path relative to it) and state only what differs.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Final

from perfmodel.errors import MachineError
from perfmodel.figures.checking import validated
from perfmodel.figures.files import extended, file_of, id_of, merged, read_description, referred
from perfmodel.figures.record import tree_of
from perfmodel.figures.remembering import remembered
from perfmodel.software.schema import Software

_CATALOG: Final = Path(__file__).parent / "catalog"
_EXPECTED: Final = "a TOML file that describes software, see docs/software.md"


@functools.cache
def catalogue() -> tuple[str, ...]:
    """Return the ids of all software that comes with perfmodel, sorted."""
    return tuple(sorted(path.stem for path in _CATALOG.glob("*.toml")))


def load_software(software: str | os.PathLike[str] | Software) -> Software:
    """Return software by catalogue id or from a TOML file; a :class:`Software` as it is.

    Raises:
        UnknownName: neither an id (the nearest is suggested) nor a path.
        MachineError: the file is not a valid description.
    """
    if isinstance(software, Software):
        return software
    text = os.fspath(software)
    if isinstance(software, str) and text in catalogue():
        return _from_catalogue(text)
    return _load(file_of(software, "software", catalogue()), text, ())


@functools.cache
def _from_catalogue(name: str) -> Software:
    path = _CATALOG / f"{name}.toml"
    return remembered(Software, path, lambda: _load(path, path.name, ()))


def _load(path: Path, shown: str, chain: tuple[Path, ...]) -> Software:
    """The software in ``path``; ``chain`` holds the files that rest on it, against circles."""
    tree, origin = read_description(path, shown, _EXPECTED)
    chain = extended(chain, path, shown)
    tree.setdefault("id", id_of(path, "software"))
    base = tree.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise MachineError(f"{shown}: base: {base!r}; expected an id of software or a path")
        if base in catalogue():
            below = _from_catalogue(base)
        else:
            file = referred(path, base, shown, "base", "software", catalogue())
            below = _load(file, str(file), chain)
        tree = merged(tree_of(below), tree)
    return validated(Software, tree, origin)
