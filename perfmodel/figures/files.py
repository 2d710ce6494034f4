"""Descriptions in TOML: reading one with its sources, and laying one over another."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, UnknownName
from perfmodel.figures.checking import R, validated
from perfmodel.figures.figure import Origin
from perfmodel.figures.remembering import remembered


def read_description(path: Path, shown: str, expected: str) -> tuple[dict[str, Any], Origin]:
    """Return the TOML table in ``path`` without its sources, and the origin of its figures.

    Args:
        shown: what errors call the file.
        expected: what it should have been, for an error where there is no such file.

    Raises:
        MachineError: not readable, not TOML, or ``[sources]`` that are no citations.
    """
    tree = read_toml(path, shown, MachineError, expected)
    sources = tree.pop("sources", {})
    if not isinstance(sources, dict):
        raise MachineError(f"{shown}: sources: {sources!r}; expected a table of key = citation")
    for key, citation in sources.items():
        if not isinstance(citation, str) or not citation.strip():
            raise MachineError(f"{shown}: sources.{key}: {citation!r}; expected a citation as text")
    return tree, Origin(shown, sources)


def read_shipped(record: type[R], module: str, name: str) -> R:
    """Return the record that a TOML file of perfmodel's own describes.

    Args:
        module: ``__file__`` of the module that it lies beside.

    Raises:
        MachineError: as :func:`read_description`, or a field that does not fit.
    """
    path = Path(module).with_name(name)

    def read() -> R:
        tree, origin = read_description(path, name, "a file of perfmodel")
        return validated(record, tree, origin)

    return remembered(record, path, read)


def file_of(given: str | os.PathLike[str], kind: str, valid: tuple[str, ...]) -> Path:
    """Return the file that a caller means by ``given``, which is no id of a catalogue.

    Args:
        kind: what errors call the thing described: "CPU", "software".
        valid: the ids of the catalogue.

    Raises:
        UnknownName: a text that looks like an id, where there is no such file.
    """
    path = Path(given)
    if isinstance(given, str) and not (
        path.suffix == ".toml" or len(path.parts) > 1 or path.is_file()
    ):
        raise UnknownName(kind, given, valid)
    return path


def referred(
    path: Path, name: str, shown: str, field: str, kind: str, valid: tuple[str, ...]
) -> Path:
    """Return the file that ``name`` in the file ``path`` means: a path relative to it.

    Raises:
        MachineError: it looks like an id, and there is no such file.
    """
    file = path.parent / name
    if not name.endswith(".toml") and not file.is_file():
        raise MachineError(f"{shown}: {field}: {UnknownName(kind, name, valid)}")
    return file


def id_of(path: Path, otherwise: str) -> str:
    """Return the id of a description that states none: the name of its file, in an id's letters."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip("_.-") or otherwise


def extended(chain: tuple[Path, ...], path: Path, shown: str) -> tuple[Path, ...]:
    """Return ``chain`` (the files that rest on this one) with ``path``.

    Raises:
        MachineError: ``path`` is in it, so that a file rests on itself.
    """
    resolved = path.resolve()
    if resolved in chain:
        raise MachineError(f"{shown}: rests on itself through base or core")
    return (*chain, resolved)


def merged(below: Any, above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``above`` laid over ``below``: tables are merged, anything else is replaced.

    The figures of ``below`` are already Figure objects, not tables, so they are replaced whole.
    """
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[name] = merged(under, value) if both else value
    return result
