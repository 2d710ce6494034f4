"""Checking what a description says: a record, or one line that names what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from perfmodel.errors import MachineError
from perfmodel.figures.figure import Origin, nearest
from perfmodel.figures.record import Record, expectation, fields_of, hints_of

R = TypeVar("R", bound=Record)
_ADAPTERS: Final[dict[type[Record], Any]] = {}


def validated(record: type[R], tree: Any, origin: Origin) -> R:
    """``tree`` as a ``record``; every fault becomes one line naming file, field and expectation.

    Raises:
        MachineError: with the most telling fault, and the number of further ones.
    """
    from pydantic import ValidationError

    try:
        checked: R = _adapter(record).validate_python(tree, context=origin)
        return checked
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # A misspelt field is both unknown and missing: the first tells more.
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    raise MachineError(f"{origin.file}: {_sentence(record, dict(first))}{more}")


def _adapter(record: type[Record]) -> Any:
    """Pydantic's validator of a kind of record."""
    if record not in _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


def _sentence(record: type[Record], fault: dict[str, Any]) -> str:
    """One pydantic error as "field: found; expected what"."""
    context = fault.get("ctx", {})
    steps = [str(step) for step in fault["loc"] if step != "[key]"]
    steps += context.get("path", ())
    field = ".".join(steps) or "the file"
    kind = fault["type"]
    if kind == "fault":
        return f"{field}: {context['found']}; expected {context['expected']}"
    if kind == "extra_forbidden":
        fields = _fields(record, steps[:-1])
        hint = nearest(steps[-1], fields) or f"; expected one of {', '.join(fields)}"
        return f"{field}: unknown field{hint}"
    if kind == "missing":
        return f"{field}: missing; expected {_wanted(record, steps)}"
    found = repr(fault["input"])
    found = found if len(found) <= 60 else f"{found[:57]}..."
    if kind == "literal_error":
        return f"{field}: {found}; expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        letters = "letters, digits, _ . and -" if field == "id" else "lower-case letters, digits, _"
        return f"{field}: {found}; expected a name of {letters}"
    message = fault["msg"]
    return f"{field}: {found}; expected {_EXPECTED.get(kind, message[:1].lower() + message[1:])}"


#: Pydantic's error types that a person meets, in the words of this file format.
_EXPECTED: Final = {
    "dict_type": "a table",
    "mapping_type": "a table",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "greater_than_equal": "a whole number of at least 1",
    "too_short": "at least one entry",
}


def _child(record: type[Record], step: str) -> tuple[type[Record] | None, bool]:
    """Type of the part called ``step``, and whether it is a table of named parts."""
    hint: Any = hints_of(record).get(step)
    if hasattr(hint, "__metadata__"):
        hint = hint.__origin__
    options = [hint, *getattr(hint, "__args__", ())]
    parts = [item for item in options if isinstance(item, type) and issubclass(item, Record)]
    named = getattr(hint, "__origin__", None) is Mapping
    return (parts[0] if parts else None), named


def _part(record: type[Record], steps: list[str]) -> type[Record] | None:
    """Type of the record that a path of field names and table keys leads to."""
    current: type[Record] | None = record
    key_follows = False
    for step in steps:
        if step.isdigit():  # an entry of a list is of the list's type
            continue
        if key_follows or current is None:
            key_follows = False
            continue
        current, key_follows = _child(current, step)
    return current


def _fields(record: type[Record], steps: list[str]) -> list[str]:
    part = _part(record, steps)
    return list(fields_of(part)) if part else []


def _wanted(record: type[Record], steps: list[str]) -> str:
    """What a missing field should hold."""
    parent = _part(record, steps[:-1])
    if parent is None or steps[-1] not in fields_of(parent):
        return "a value"
    expect = expectation(parent, steps[-1])
    if expect is not None:
        return expect.description
    part, named = _child(parent, steps[-1])
    if part is not None and not named:
        return f"a table with {', '.join(fields_of(part))}"
    choices = getattr(hints_of(parent)[steps[-1]], "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return f"one of {', '.join(choices)}"
    return "a table" if named else "a text or list"
