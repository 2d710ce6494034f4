"""Formulas by the line: family, operations on each element, names of operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perfmodel.tracing.formula import Call, Cost, Formula, register


def add(formula: Formula, names: str) -> None:
    """Register ``formula`` for the operators of ATen in ``names``, parted by blanks."""
    register(*(f"aten.{name}" for name in names.split()))(formula)


def per_result(family: str, ops: int) -> Formula:
    """``ops`` operations on each element of the (first) result; twice as many on complex ones."""

    def formula(call: Call) -> Cost:
        return Cost(family, vector_ops=(2 if call.complex else 1) * ops * call.result_numel)

    return formula


def per_input(family: str, ops: int) -> Formula:
    """``ops`` operations on each element of the first tensor argument."""

    def formula(call: Call) -> Cost:
        return Cost(family, vector_ops=ops * call.numel(call.tensors()[0]))

    return formula


def table(
    kind: Callable[[str, int], Formula], family: str, rows: Sequence[tuple[int, str]]
) -> None:
    """Register rows of operations on an element, and names that have no formula of their own."""
    for ops, names in rows:
        add(kind(family, ops), names)


def log2(length: int) -> int:
    """The logarithm to base 2, rounded up; at least 1. By doubling: it also fits symbolic sizes."""
    steps, reach = 1, 2
    while reach < length:
        steps, reach = steps + 1, reach * 2
    return steps
