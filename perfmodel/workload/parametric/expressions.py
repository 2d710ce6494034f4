"""Sizes as arithmetic on named dimensions: ``197*batch``, read from text and evaluated exactly.

The language is a corner of Python's: whole numbers, names of dimensions, ``+ - * // % **``, ``min``
and ``max``; a condition adds comparisons, ``and``, ``or`` and ``not``. A quotient that is rounded
up is written ``-(-a // b)``. A text is parsed, never executed: anything outside the language is
refused when it is read.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from perfmodel.errors import PerfmodelError

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


class _Parsed:
    """A text of the language.

    Attributes:
        text: as it was written.
        names: the dimensions it depends on.
    """

    def __init__(self, text: str, read: Callable[[ast.expr, set[str], str], _Value]) -> None:
        self.text = text
        names: set[str] = set()
        self._value = read(_parse(text), names, text)
        self.names = frozenset(names)

    def exactly(self, sizes: Mapping[str, Any]) -> Any:
        """Its value by the arithmetic of what ``sizes`` holds, symbols included.

        Raises :class:`ExpressionError` for a division by zero.
        """
        try:
            return self._value(sizes)
        except (ZeroDivisionError, OverflowError) as error:
            raise ExpressionError(f"{self.text} has no value ({error})") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class Expression(_Parsed):
    """A whole number that depends on named dimensions."""

    def __init__(self, text: str) -> None:
        """Parse ``text``; raises :class:`ExpressionError` if it is not of the language."""
        super().__init__(text, _number)

    def __call__(self, sizes: Mapping[str, int]) -> int:
        """Its value, from 0 to 2**63 - 1; raises :class:`ExpressionError` where it has none."""
        value = self.exactly(sizes)
        if not 0 <= value <= _LARGEST:
            raise ExpressionError(f"{self.text} is {_show(value)}: not a size of at most 63 bits")
        return int(value)


class Condition(_Parsed):
    """A statement about named dimensions, such as ``tokens <= 512``."""

    def __init__(self, text: str) -> None:
        """Parse ``text``; raises :class:`ExpressionError` if it is not of the language."""
        super().__init__(text, _truth)

    def __call__(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds; raises :class:`ExpressionError` for a division by zero."""
        return bool(self.exactly(sizes))


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ExpressionError(f"{text[:40]}...: longer than {_LONGEST:,} characters")
    try:
        # Only parsed: the tree is walked below, and holds nothing that is run.
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{_show(text)} is not an expression") from None


def _number(node: ast.expr, names: set[str], text: str) -> _Value:
    """The function that ``node`` stands for; adds the dimensions it reads to ``names``."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            if value.bit_length() > _BITS:
                raise ExpressionError(f"{_show(text)}: holds a number that is too large")
            return lambda sizes: value
        case ast.Name(id=name):
            names.add(name)
            return operator.itemgetter(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _number(operand, names, text)
            return lambda sizes: -inner(sizes)
        case ast.BinOp(op=ast.Pow(), left=base, right=ast.Constant(value=int(power))):
            return _power(_number(base, names, text), power)
        case ast.BinOp(op=operation, left=left, right=right) if type(operation) in _ARITHMETIC:
            compute = _ARITHMETIC[type(operation)]
            first, second = _number(left, names, text), _number(right, names, text)
            return lambda sizes: compute(first(sizes), second(sizes))
        case ast.Call(func=ast.Name(id=function), args=[_, _, *_] as arguments, keywords=[]) if (
            function in _FUNCTIONS
        ):
            choose = _FUNCTIONS[function]
            parts = [_number(argument, names, text) for argument in arguments]
            return lambda sizes: choose(part(sizes) for part in parts)
    raise ExpressionError(f"{_show(text)}: {_show(ast.unparse(node))} is not integer arithmetic")


def _power(base: _Value, power: int) -> _Value:
    def value(sizes: Mapping[str, Any]) -> Any:
        number = base(sizes)
        if isinstance(number, int) and number.bit_length() * power > _BITS:
            raise OverflowError("too large")
        return number**power

    return value


def _truth(node: ast.expr, names: set[str], text: str) -> _Value:
    match node:
        case ast.Compare(left=left, ops=[operation], comparators=[right]) if (
            type(operation) in _COMPARISONS
        ):
            compare = _COMPARISONS[type(operation)]
            first, second = _number(left, names, text), _number(right, names, text)
            return lambda sizes: compare(first(sizes), second(sizes))
        case ast.BoolOp(op=operation, values=values):
            parts = [_truth(value, names, text) for value in values]
            join = all if isinstance(operation, ast.And) else any
            return lambda sizes: join(part(sizes) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _truth(operand, names, text)
            return lambda sizes: not inner(sizes)
    raise ExpressionError(f"{_show(text)}: {_show(ast.unparse(node))} is not a condition")


def _show(value: object, limit: int = 60) -> str:
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = str(value)
    return text if len(text) <= limit else text[:limit] + "..."
