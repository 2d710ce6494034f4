"""Nested tables of figures whose names another room defines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from perfmodel.figures import quantity
from perfmodel.figures.faults import Fault
from perfmodel.figures.figure import Expect, Figure, Origin

#: Keys that make a table a figure rather than a table of figures.
_LEAF = frozenset(("value", "low", "typical", "high"))


class _Tables:
    """Pydantic annotation: tables of figures to any depth, each figure in whatever unit it has."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Validate by :func:`_figures`, with the :class:`Origin` that is the context."""
        from perfmodel.figures.schemas import of_values

        return of_values(_figures)


#: Tables of figures, by name, to any depth.
FigureTables = Annotated[Mapping[str, Any], _Tables()]


def _figures(raw: Any, origin: Origin | None) -> Any:
    if isinstance(raw, Figure):
        return raw
    if isinstance(raw, Mapping) and not _LEAF & raw.keys():
        return {str(name): _figures(value, origin) for name, value in raw.items()}
    texts = raw.values() if isinstance(raw, Mapping) else [raw]
    unit = next((_unit(text) for text in texts if isinstance(text, str) and _unit(text)), "")
    return Expect(unit, "3").figure(raw, origin)


def _unit(text: str) -> str:
    """The SI unit of what a quantity is of; raises the error of a figure for an unknown one."""
    try:
        return quantity.si_unit(text)
    except quantity.QuantityError:
        return ""


def leaves(tables: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Figure]]:
    """Yield every figure of ``tables`` with its dotted path below ``prefix``."""
    for name, child in tables.items():
        path = f"{prefix}.{name}"
        if isinstance(child, Figure):
            yield path, child
        elif isinstance(child, Mapping):
            yield from leaves(child, path)
        else:
            raise Fault(repr(child), "a figure or a table of figures")


def put(tree: dict[str, Any], path: str, value: object) -> None:
    """Set what is at a dotted path of nested tables; make tables that are missing on the way."""
    *parents, leaf = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields by dotted path as nested tables: ``{"a.b": 1}`` is ``{"a": {"b": 1}}``."""
    tree: dict[str, Any] = {}
    for path, value in fields.items():
        put(tree, path, value)
    return tree
