"""Descriptions in TOML: reading one with its sources, and laying one over another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perfmodel._files import read_toml
from perfmodel.errors import MachineError
from perfmodel.figures.figure import Origin


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
