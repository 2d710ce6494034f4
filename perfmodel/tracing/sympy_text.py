"""Sympy expressions, as torch makes them of symbolic sizes, in the language of expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import sympy
from torch.utils._sympy import functions as torch_functions

_SUM, _PRODUCT, _ATOM = 1, 2, 3
_Writer: TypeAlias = Callable[[Sequence[sympy.Basic]], tuple[str, int]]


class InexpressibleSize(ValueError):
    """A size that is not whole-number arithmetic, for example one scaled by a fraction."""


def text_of(expression: sympy.Basic) -> str:
    """``expression`` as :mod:`perfmodel.workload.parametric.expressions` reads it.

    Raises :class:`InexpressibleSize` for what that language does not have.
    """
    return _condition(expression) if _is_condition(expression) else _number(expression)[0]


def _is_condition(expression: sympy.Basic) -> bool:
    return isinstance(expression, sympy.logic.boolalg.Boolean) and not expression.is_Symbol


def _condition(expression: Any) -> str:
    if isinstance(expression, sympy.core.relational.Relational):
        left, right = (_number(side)[0] for side in expression.args)
        return f"{left} {expression.rel_op} {right}"
    if isinstance(expression, sympy.And | sympy.Or):
        word = " and " if isinstance(expression, sympy.And) else " or "
        return "(" + word.join(sorted(_condition(part) for part in expression.args)) + ")"
    if isinstance(expression, sympy.Not):
        return f"not ({_condition(expression.args[0])})"
    if expression == sympy.false:
        return "0 == 1"
    raise InexpressibleSize(f"a condition on sizes cannot be written down: {expression}")


def _number(expression: Any) -> tuple[str, int]:
    """Text and how tightly its outermost operator binds."""
    if isinstance(expression, sympy.Integer):
        return str(int(expression)), _ATOM if expression >= 0 else _SUM
    if isinstance(expression, sympy.Symbol):
        return str(expression.name), _ATOM
    if isinstance(expression, sympy.Add):
        terms = [_number(term)[0] for term in expression.as_ordered_terms()]
        return " + ".join(terms).replace("+ -", "- "), _SUM
    if isinstance(expression, sympy.Mul):
        if expression.as_coeff_Mul()[0] < 0:
            return f"-{_at_least(-expression, _PRODUCT)}", _SUM
        factors = [_at_least(factor, _PRODUCT) for factor in expression.as_ordered_factors()]
        return "*".join(factors), _PRODUCT
    if isinstance(expression, sympy.Pow | torch_functions.PowByNatural):
        base, exponent = expression.args
        if isinstance(exponent, sympy.Integer) and exponent >= 0:
            return f"{_at_least(base, _ATOM)}**{int(exponent)}", _PRODUCT
    arguments: Sequence[sympy.Basic] = expression.args
    for kind, write in _FUNCTIONS.items():
        if isinstance(expression, kind):
            return write(arguments)
    raise InexpressibleSize(f"a size cannot be written in whole-number arithmetic: {expression}")


def _at_least(expression: sympy.Basic, binding: int) -> str:
    text, own = _number(expression)
    # Both // and * bind alike, but a product of quotients needs its parentheses.
    return text if own >= binding and "//" not in text and "%" not in text else f"({text})"


def _infix(operator: str) -> _Writer:
    def write(arguments: Sequence[sympy.Basic]) -> tuple[str, int]:
        left, right = (_at_least(argument, _ATOM) for argument in arguments)
        return f"{left} {operator} {right}", _PRODUCT

    return write


def _call(function: str) -> _Writer:
    def write(arguments: Sequence[sympy.Basic]) -> tuple[str, int]:
        return f"{function}({', '.join(_number(argument)[0] for argument in arguments)})", _ATOM

    return write


_FUNCTIONS: Final[Mapping[type, _Writer]] = {
    torch_functions.FloorDiv: _infix("//"),
    torch_functions.CleanDiv: _infix("//"),
    torch_functions.Mod: _infix("%"),
    torch_functions.PythonMod: _infix("%"),
    sympy.Mod: _infix("%"),
    torch_functions.Min: _call("min"),
    torch_functions.Max: _call("max"),
    sympy.Min: _call("min"),
    sympy.Max: _call("max"),
}
