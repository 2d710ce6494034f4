"""Derived figures and constraints: arithmetic on columns, as text, and nothing else.

``cores.count * 2.5 + cache.l3 / 1e6`` and ``power.tdp <= 400 and latency_ms < 5`` are Python's own
grammar. Only numbers, columns, operators and a few functions are evaluated; no code runs.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from perfmodel.errors import PerfmodelError, UnknownName

_BINARY: Final[dict[type[ast.operator], Callable[..., Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_COMPARE: Final[dict[type[ast.cmpop], Callable[..., Any]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "ceil": np.ceil,
    "floor": np.floor,
}


class Expression:
    """A text that has been read and checked.

    Attributes:
        text: as it was written.
        names: columns that it reads, dots included.

    Raises:
        PerfmodelError: anything but arithmetic and comparisons.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refused("is no arithmetic") from None
        self.names = tuple(dict.fromkeys(self._read(self._tree)))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def value(self, columns: Mapping[str, Any]) -> Any:
        """Return the value at ``columns``, arrays of one shape or numbers by name.

        Raises:
            UnknownName: a column that is not there.
        """
        for name in self.names:
            if name not in columns:
                raise UnknownName(f"column in {self.text!r}", name, columns)
        with np.errstate(all="ignore"):
            return self._value(self._tree, columns)

    def _value(self, node: ast.expr, columns: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=(int() | float()) as value):
                # As a float: powers of integers have no bound, and none of negative ones.
                return np.float64(value)
            case ast.Name() | ast.Attribute():
                return columns[_dotted(node) or ""]
            case ast.BinOp(left=left, op=op, right=right):
                return _BINARY[type(op)](self._value(left, columns), self._value(right, columns))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self._value(operand, columns))
            case ast.UnaryOp(op=op, operand=operand):
                sign = -1 if isinstance(op, ast.USub) else 1
                return np.multiply(sign, self._value(operand, columns))
            case ast.BoolOp(op=joined, values=parts):
                join = np.logical_and if isinstance(joined, ast.And) else np.logical_or
                return functools.reduce(join, [self._value(part, columns) for part in parts])
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [self._value(side, columns) for side in (left, *comparators)]
                found = [_COMPARE[type(ops[i])](sides[i], sides[i + 1]) for i in range(len(ops))]
                return functools.reduce(np.logical_and, found)
            case ast.Call(func=ast.Name(id=name), args=args):
                return _FUNCTIONS[name](*(self._value(arg, columns) for arg in args))
        raise AssertionError(node)  # _read has refused all else.

    def _read(self, node: ast.AST) -> Iterator[str]:
        """Yield the columns below ``node``; refuse what is no arithmetic."""
        match node:
            case ast.Constant(value=value) if isinstance(value, (int, float)):
                if not abs(value) <= sys.float_info.max:
                    raise self._refused("holds a number that is too large")
            case ast.Name() | ast.Attribute():
                if (name := _dotted(node)) is None:
                    raise self._refused("names no column")
                yield name
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                yield from (name for side in (left, right) for name in self._read(side))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
                yield from self._read(operand)
            case ast.BoolOp(values=values):
                yield from (name for value in values for name in self._read(value))
            case ast.Compare(left=left, ops=ops, comparators=sides) if all(
                type(op) in _COMPARE for op in ops
            ):
                yield from (name for side in (left, *sides) for name in self._read(side))
            case ast.Call(func=ast.Name(id=called), args=args, keywords=[]) if (
                called in _FUNCTIONS and len(args) == (2 if called in ("min", "max") else 1)
            ):
                yield from (name for arg in args for name in self._read(arg))
            case _:
                raise self._refused("is more than arithmetic on columns")

    def _refused(self, why: str) -> PerfmodelError:
        return PerfmodelError(
            f"{self.text!r} {why}: write numbers, columns, + - * / ** and comparisons, and, or, "
            f"not, {', '.join(sorted(_FUNCTIONS))}"
        )


def _dotted(node: ast.AST) -> str | None:
    """``cores.count`` from its tree; None where it is anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            above = _dotted(value)
            return None if above is None else f"{above}.{attribute}"
    return None
