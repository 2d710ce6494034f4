"""Records: the immutable parts of a description, and what is wrong with one in a single line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from perfmodel.errors import MachineError
from perfmodel.figures.figure import Expect, Figure, Origin, nearest


class Record(BaseModel):
    """Base of all parts: immutable, and an unknown field is an error."""

    #: Whether the tree of a description keeps this part whole, like a figure.
    whole: ClassVar[bool] = False

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the fields of ``update``, and nothing computed of the old ones.

        pydantic copies what a cached property holds, and its figures would stay the old ones.
        """
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


R = TypeVar("R", bound=Record)


def fault_at(path: tuple[str, ...], found: str, expected: str) -> PydanticCustomError:
    """An error found by a whole-record check, about the field at ``path`` below that record."""
    return PydanticCustomError(
        "consistency",
        "{found}; expected {expected}",
        {"found": found, "expected": expected, "path": path},
    )


def walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure in ``node`` with its dotted path below ``prefix``."""
    if isinstance(node, Figure):
        yield prefix, node
        return
    if isinstance(node, Record):
        items: Iterable[tuple[str, Any]] = ((n, getattr(node, n)) for n in type(node).model_fields)
    elif isinstance(node, Mapping):
        items = node.items()
    else:
        return
    for name, child in items:
        yield from walk(child, f"{prefix}.{name}" if prefix else name)


def expectation(record: type[Record], name: str) -> Expect | None:
    """The Expect of a figure field (optional or not), if it is one."""
    field = record.model_fields[name]
    for item in field.metadata:
        if isinstance(item, Expect):
            return item
    return _expected(field.annotation)


def _expected(annotation: Any) -> Expect | None:
    """The Expect inside an optional figure's annotation, or inside tables of figures."""
    for argument in getattr(annotation, "__args__", ()):
        for item in getattr(argument, "__metadata__", ()):
            if isinstance(item, Expect):
                return item
        if (found := _expected(argument)) is not None:
            return found
    return None


def settable(node: Record, prefix: str = "") -> Iterator[tuple[str, Expect]]:
    """Every path of a figure that is there or may be, with its expectation."""
    for name in type(node).model_fields:
        path = f"{prefix}.{name}" if prefix else name
        child = getattr(node, name)
        expect = expectation(type(node), name)
        if isinstance(child, Mapping):
            if expect is not None:
                yield from ((leaf, expect) for leaf, _ in walk(child, path))
            else:
                for key, value in child.items():
                    if isinstance(value, Record):
                        yield from settable(value, f"{path}.{key}")
        elif expect is not None:
            yield path, expect
        elif isinstance(child, Record):
            yield from settable(child, path)


def tree_of(node: Any) -> Any:
    """A record as nested dicts, figures and tiles kept whole; absent fields are left out."""
    if isinstance(node, Record) and not node.whole:
        return {
            name: tree_of(value)
            for name in type(node).model_fields
            if (value := getattr(node, name)) is not None
        }
    if isinstance(node, Mapping):
        return {name: tree_of(value) for name, value in node.items()}
    return node


def validated(record: type[R], tree: Any, origin: Origin) -> R:
    """``tree`` as a ``record``; every fault becomes one line naming file, field and expectation.

    Raises:
        MachineError: with the most telling fault, and the number of further ones.
    """
    try:
        return record.model_validate(tree, context=origin)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # A misspelt field is both unknown and missing: the first tells more.
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    raise MachineError(f"{origin.file}: {_sentence(record, dict(first))}{more}")


def _sentence(record: type[Record], fault: dict[str, Any]) -> str:
    """One pydantic error as "field: found; expected what"."""
    context = fault.get("ctx", {})
    steps = [str(step) for step in fault["loc"] if step != "[key]"]
    steps += context.get("path", ())
    field = ".".join(steps) or "the file"
    kind = fault["type"]
    if kind in ("figure", "consistency"):
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
    "model_type": "a table",
    "model_attributes_type": "a table",
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
    field = record.model_fields.get(step)
    if field is None:
        return None, False
    options = [field.annotation, *getattr(field.annotation, "__args__", ())]
    parts = [item for item in options if isinstance(item, type) and issubclass(item, Record)]
    named = getattr(field.annotation, "__origin__", None) is Mapping
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
    return list(part.model_fields) if part else []


def _wanted(record: type[Record], steps: list[str]) -> str:
    """What a missing field should hold."""
    parent = _part(record, steps[:-1])
    if parent is None or steps[-1] not in parent.model_fields:
        return "a value"
    expect = expectation(parent, steps[-1])
    if expect is not None:
        return expect.description
    part, named = _child(parent, steps[-1])
    if part is not None and not named:
        return f"a table with {', '.join(part.model_fields)}"
    choices = getattr(parent.model_fields[steps[-1]].annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return f"one of {', '.join(choices)}"
    return "a table" if named else "a text or list"
