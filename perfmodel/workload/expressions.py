"""Sizes as arithmetic on named dimensions: ``197*batch``, read from text and evaluated exactly.

The language is a corner of Python's: whole numbers, names of dimensions, ``+ - * // % **``, ``min``
and ``max``; a condition adds comparisons, ``and``, ``or`` and ``not``. A quotient that is rounded
up is written ``-(-a // b)``. A text is parsed, never executed: anything outside the language is
refused when it is read.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Final

from perfmodel.errors import PerfmodelError
from perfmodel.workload.documents import show

#: Longest text that is read, and most bits of an intermediate result: far beyond what a size needs,
#: small enough that no file can keep the reader busy.
_LONGEST: Final = 20_000
_BITS: Final = 512
_LARGEST: Final = 2**63 - 1

_Value = Callable[[Mapping[str, Any]], Any]

_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {"min": min, "max": max}


class ExpressionError(PerfmodelError):
    """A text that is no expression of the language, or has no value at the sizes given."""


def _number(node: ast.expr, names: set[str]) -> _Value:
    """The function that ``node`` stands for; adds the dimensions it reads to ``names``."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            if value.bit_length() > _BITS:
                raise ExpressionError("holds a number that is too large")
            return lambda sizes: value
        case ast.Name(id=name):
            names.add(name)
            return operator.itemgetter(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _applied(operator.neg, [operand], names)
        case ast.BinOp(op=ast.Pow(), left=base, right=ast.Constant(value=int(exponent))):
            return _applied(partial(_power, exponent=exponent), [base], names)
        case ast.BinOp(op=operation, left=left, right=right) if type(operation) in _ARITHMETIC:
            return _applied(_ARITHMETIC[type(operation)], [left, right], names)
        case ast.Call(func=ast.Name(id=function), args=[_, _, *_] as arguments, keywords=[]) if (
            function in _FUNCTIONS
        ):
            return _applied(_FUNCTIONS[function], arguments, names)
    raise ExpressionError(f"{show(ast.unparse(node))} is not integer arithmetic")


def _truth(node: ast.expr, names: set[str]) -> _Value:
    """As :func:`_number`, of a condition."""
    match node:
        case ast.Compare(left=left, ops=[operation], comparators=[right]) if (
            type(operation) in _COMPARISONS
        ):
            return _applied(_COMPARISONS[type(operation)], [left, right], names)
        case ast.BoolOp(op=operation, values=values):
            parts = [_truth(value, names) for value in values]
            join = all if isinstance(operation, ast.And) else any
            return lambda sizes: join(part(sizes) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _truth(operand, names)
            return lambda sizes: not inner(sizes)
    raise ExpressionError(f"{show(ast.unparse(node))} is not a condition")


def _applied(compute: Callable[..., Any], nodes: Iterable[ast.expr], names: set[str]) -> _Value:
    """``compute`` of the numbers that ``nodes`` stand for."""
    parts = [_number(node, names) for node in nodes]
    return lambda sizes: compute(*[part(sizes) for part in parts])


def _power(base: Any, exponent: int) -> Any:
    if isinstance(base, int) and base.bit_length() * exponent > _BITS:
        raise OverflowError("too large")
    return base**exponent


class _Parsed:
    """A text of the language.

    Attributes:
        text: as it was written.
        names: the dimensions it depends on.

    Raises :class:`ExpressionError` if the text is not of the language, or depends on dimensions
    that are not among ``allowed``.
    """

    _read: ClassVar[staticmethod[[ast.expr, set[str]], _Value]]

    def __init__(self, text: str, allowed: Collection[str] | None = None) -> None:
        if len(text) > _LONGEST:
            raise ExpressionError(f"{text[:40]}...: longer than {_LONGEST:,} characters")
        self.text = text
        names: set[str] = set()
        try:
            # Only parsed: the tree is walked, and holds nothing that is run.
            self._value = self._read(ast.parse(text.strip(), mode="eval").body, names)
        except ExpressionError as error:
            raise ExpressionError(f"{show(text)}: {error}") from None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ExpressionError(f"{show(text)} is not an expression") from None
        self.names = frozenset(names)
        if allowed is not None and (unknown := sorted(names.difference(allowed))):
            known = ", ".join(sorted(allowed))
            raise ExpressionError(f"expected the dimensions {known}, found {unknown[0]}")

    def exactly(self, sizes: Mapping[str, Any]) -> Any:
        """Its value by the arithmetic of what ``sizes`` holds, symbols included.

        Raises :class:`ExpressionError` for a division by zero.
        """
        try:
            return self._value(sizes)
        except (ZeroDivisionError, OverflowError) as error:
            raise ExpressionError(f"{self.text} has no value ({error})") from None


class Expression(_Parsed):
    """A whole number that depends on named dimensions."""

    _read = staticmethod(_number)

    def __call__(self, sizes: Mapping[str, int]) -> int:
        """Its value, from 0 to 2**63 - 1; raises :class:`ExpressionError` where it has none."""
        value = self.exactly(sizes)
        if not 0 <= value <= _LARGEST:
            raise ExpressionError(f"{self.text} is {show(value)}: not a size of at most 63 bits")
        return int(value)


class Condition(_Parsed):
    """A statement about named dimensions, such as ``tokens <= 512``."""

    _read = staticmethod(_truth)

    def __call__(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds; raises :class:`ExpressionError` for a division by zero."""
        return bool(self.exactly(sizes))
