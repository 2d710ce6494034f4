"""What is the same for all calls of one overload of an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perfmodel.tracing import operators
from perfmodel.tracing.operators import Formula


@dataclass(frozen=True, slots=True)
class Operator:
    """What is the same for all calls of one overload."""

    name: str
    formula: Formula | None = None
    free: bool = False
    arguments: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    #: ``out`` arguments: written, never read.
    out: frozenset[str] = frozenset()


def overload(target: Any) -> Operator:
    """The operator that an overload of PyTorch is, with the formula that is registered for it."""
    arguments = target._schema.arguments
    name = operator_name(target)
    return Operator(
        name=operators.canonical(name),
        formula=operators.find(name),
        free=name in operators.FREE,
        arguments=tuple(a.name for a in arguments),
        written=frozenset(
            a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write
        ),
        out=frozenset(a.name for a in arguments if a.is_out),
    )


def operator_name(target: Any) -> str:
    """Namespace and name of an operator without its overload, as formulas are registered."""
    return str(target._schema.name).replace("::", ".")
