"""Records: the immutable parts of a description.

They are plain objects. What a file says is checked once, by Pydantic, when it is read
(:mod:`perfmodel.figures.checking`); who uses a description does not wait for Pydantic's import.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, field
from typing import Any, ClassVar, Final, NoReturn, Self, dataclass_transform

from perfmodel.figures.figure import Expect, Figure


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Record:
    """Base of all parts: fields as of a frozen dataclass, without the time that making one takes.

    A subclass declares its fields by annotations; all are given by name.
    """

    #: Whether the tree of a description keeps this part whole, like a figure.
    whole: ClassVar[bool] = False
    #: Defaults of the fields, in order; MISSING of those that have none.
    _fields: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = {
            name: cls.__dict__.get(name, MISSING)
            for name, hint in inspect.get_annotations(cls).items()
            if not str(hint).startswith("ClassVar")
        }
        cls._fields = {**cls._fields, **own}
        KINDS[f"{cls.__module__}:{cls.__qualname__}"] = cls

    def __init__(self, **values: Any) -> None:
        held = self.__dict__
        for name, default in self._fields.items():
            if name in values:
                held[name] = values.pop(name)
            elif default is MISSING:
                raise TypeError(f"{type(self).__name__}: missing {name!r}")
            elif isinstance(default, Field):
                make: Any = default.default_factory
                held[name] = make()
            else:
                held[name] = default
        if values:
            raise TypeError(f"{type(self).__name__}: no field {next(iter(values))!r}")

    @classmethod
    def completed(cls, raw: Any, origin: Any) -> Any:
        """Return what a file says, ``raw``, with what it says elsewhere; raises a Fault."""
        return raw

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from perfmodel.figures.schemas import of_record

        required = [name for name, default in cls._fields.items() if default is MISSING]
        return of_record(cls, hints_of(cls), required, cls.completed, handler)

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with the fields of ``update``, which are not checked."""
        return type(self)(
            **{name: getattr(self, name) for name in self._fields} | dict(update or {})
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({fields})"


#: Every kind of record by the name of its class.
KINDS: Final[dict[str, type[Record]]] = {}
_HINTS: Final[dict[type[Record], Mapping[str, Any]]] = {}


def fields_of(record: Record | type[Record]) -> tuple[str, ...]:
    """Return the names of the fields of a record, in order."""
    return tuple(record._fields)


def hints_of(record: type[Record]) -> Mapping[str, Any]:
    """Return the types of the fields of a record, with their annotations."""
    if record not in _HINTS:
        hints: dict[str, Any] = {}
        for kind in reversed(record.__mro__[:-1]):
            hints |= inspect.get_annotations(kind, eval_str=True)
        _HINTS[record] = {name: hints[name] for name in record._fields}
    return _HINTS[record]


def walk(node: Any, prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure in ``node`` with its dotted path below ``prefix``."""
    if isinstance(node, Figure):
        yield prefix, node
        return
    if isinstance(node, Record):
        items: Iterable[tuple[str, Any]] = ((n, getattr(node, n)) for n in fields_of(node))
    elif isinstance(node, Mapping):
        items = node.items()
    else:
        return
    for name, child in items:
        yield from walk(child, f"{prefix}.{name}" if prefix else name)


def expectation(record: type[Record], name: str) -> Expect | None:
    """The Expect of a figure field (optional or not), if it is one."""
    hint = hints_of(record)[name]
    stated = (item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Expect))
    return next(stated, None) or _expected(hint)


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
    for name in fields_of(node):
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
            for name in fields_of(node)
            if (value := getattr(node, name)) is not None
        }
    if isinstance(node, Mapping):
        return {name: tree_of(value) for name, value in node.items()}
    return node
