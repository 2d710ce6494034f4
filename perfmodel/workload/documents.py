"""JSON documents of a kind and a version: checked, and refused by the name of file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from perfmodel.errors import WorkloadFormatError


def fail(source: str, field: str, message: str) -> NoReturn:
    """Raise the error that names file, field and expectation."""
    raise WorkloadFormatError(f"{source}: {field}: {message}")


def check_kind(document: object, source: str, kind: str, newest: int) -> None:
    """Tell another kind of file, or another release's, before complaining of its fields.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``.
    """
    if not isinstance(document, Mapping) or document.get("format") != kind:
        raise WorkloadFormatError(
            f'{source}: not a workload file: expected a JSON object with "format": "{kind}"'
        )
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        fail(source, "version", f"expected the whole number {newest}, found {show(version)}")
    if version > newest:
        fail(
            source,
            "version",
            f"written by a newer perfmodel (format {version}, this release reads {newest}): "
            "upgrade perfmodel",
        )


def show(value: object, limit: int = 40) -> str:
    """``value`` as JSON, cut short for a message."""
    # An integer of over 4,300 digits refuses to be printed.
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = json.dumps(value, default=repr, skipkeys=True)
    return text if len(text) <= limit else text[:limit] + "..."
