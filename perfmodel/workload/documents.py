"""JSON documents of a kind and a version: checked, and refused by the name of file and field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from perfmodel.errors import WorkloadFormatError

_Kind = TypeVar("_Kind", bound=BaseModel)


class Model(BaseModel):
    """A part of a document; strict: neither 1.0 nor true nor "1" is an integer."""

    model_config = ConfigDict(strict=True, extra="forbid")


def checked(
    model: type[_Kind], document: Any, source: str, kind: str, newest: int, context: Any = None
) -> _Kind:
    """``document`` as a ``model`` of format ``kind`` and version ``newest``.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and
    what was expected there.
    """
    _check_version(document, source, kind, newest)
    try:
        return model.model_validate(document, context=context)
    except ValidationError as error:
        fail(source, *_first_problem(error))


def fail(source: str, field: str, message: str) -> NoReturn:
    """Raise the error that names file, field and expectation."""
    raise WorkloadFormatError(f"{source}: {field}: {message}")


def _check_version(document: object, source: str, kind: str, newest: int) -> None:
    """Tell another kind of file, or another release's, before complaining of its fields."""
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


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """Field and expectation of the first thing pydantic found wrong."""
    problem = error.errors(include_url=False)[0]
    field = ""
    for part in problem["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    if problem["type"] == "missing":
        return field, "expected this field, it is missing"
    if problem["type"] == "extra_forbidden":
        return field, "not a field of this format version"
    if problem["type"] == "size":
        return field, problem["msg"]
    message = problem["msg"].removeprefix("Input should be ")
    return field, f"expected {message}, found {show(problem['input'])}"


def show(value: object, limit: int = 40) -> str:
    """``value`` as JSON, cut short for a message."""
    # An integer of over 4,300 digits refuses to be printed.
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = json.dumps(value, default=repr, skipkeys=True)
    return text if len(text) <= limit else text[:limit] + "..."
