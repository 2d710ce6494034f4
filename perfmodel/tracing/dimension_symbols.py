"""The symbols that PyTorch makes of sizes, read and written as expressions in named dimensions.

The shape environment of a run keeps what was decided between its symbols; read in dimensions,
the decisions are the conditions under which the sizes hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import sympy
import torch
from sympy.core.relational import Relational
from torch.utils import _pytree as pytree
from torch.utils._sympy.printers import PythonPrinter

from perfmodel.errors import TraceError
from perfmodel.tracing.program import Program
from perfmodel.tracing.size_plan import SizePlan
from perfmodel.workload.parametric.expressions import Expression

#: Conditions that hold together.
Region: TypeAlias = frozenset[sympy.Basic]


def symbol_of(name: str) -> sympy.Symbol:
    """What stands for the dimension called ``name`` in sympy's expressions."""
    return sympy.Symbol(name, integer=True, positive=True)


def is_one(name: str) -> sympy.Basic:
    """The condition that the dimension called ``name`` is 1."""
    return sympy.Eq(symbol_of(name), 1, evaluate=False)


class DimensionSymbols:
    """The symbols of one run, and the dimensions that they stand for.

    Args:
        plan: says what each axis is.
        program: run on the arguments at ``sizes``.
        sizes: of the dimensions, by name; those of 1 are fixed.
        axes: by leaf of the arguments, those that had symbols for sizes.

    Raises :class:`~perfmodel.errors.TraceError` if the run made a fixed size of one of ``axes``.
    """

    def __init__(
        self,
        plan: SizePlan,
        program: Program,
        sizes: Mapping[str, int],
        axes: Mapping[int, Sequence[int]],
    ) -> None:
        self._environment = _environment(program)
        self._open = [symbol_of(name) for name, size in sizes.items() if size > 1]
        self._names = {
            name: sympy.Integer(1) if size == 1 else symbol_of(name) for name, size in sizes.items()
        }
        self._meaning: dict[sympy.Symbol, sympy.Expr] = {}
        self._cache: dict[sympy.Basic, Any] = {}
        if self._environment is None:
            raise TraceError(
                f"{plan.model}: the forward allows one size only of {', '.join(sizes)}"
            )
        tensors = [
            leaf
            for leaf, value in enumerate(pytree.tree_leaves(plan.inputs(sizes)))
            if isinstance(value, torch.Tensor)
        ]
        tracked = [t.fake for t in self._environment.tracked_fakes or ()]
        fakes = [fake for fake in tracked if isinstance(fake, torch.Tensor)]
        for leaf, fake in zip(tensors, fakes, strict=True):
            for axis in axes.get(leaf, ()):
                size = fake.shape[axis]
                expression = plan.axes[leaf][axis]
                if not isinstance(size, torch.SymInt):
                    raise TraceError(
                        f"{plan.model}: an axis of {expression.text} = {int(size)} stays fixed; "
                        "give example inputs in which it is larger"
                    )
                # Before replacements, by which the run may have found two to be equal.
                self._meaning[size.node._expr] = sympy.sympify(self.of_dimensions(expression))

    def of_dimensions(self, expression: Expression) -> Any:
        """An expression in names as one in sympy's symbols, or a number."""
        value = sympy.expand(sympy.sympify(expression.exactly(self._names)))
        return int(value) if value.is_Integer else value

    @contextmanager
    def open(self) -> Iterator[None]:
        """While this is open, decisions between symbols are noted, after the run too."""
        frozen, self._environment.frozen = self._environment.frozen, False
        try:
            yield
        finally:
            self._environment.frozen = frozen

    def named(self, size: torch.SymInt) -> Any:
        """A symbol of the run as an expression in the dimensions, or a number."""
        expression = size.node.expr
        if expression not in self._cache:
            found = sympy.expand(expression.xreplace(self._meaning))
            self._cache[expression] = int(found) if found.is_Integer else found
        return self._cache[expression]

    def region(self) -> Region:
        """What was decided between symbols, and the ranges that were found for them."""
        environment = self._environment
        found: list[sympy.Basic] = [guard.expr for guard in environment.guards]
        for symbol, value in environment.replacements.items():
            found.append(sympy.Eq(symbol, value, evaluate=False))
        for symbol, values in environment.var_to_range.items():
            if symbol in self._meaning:
                found.append(sympy.Ge(symbol, values.lower, evaluate=False))
                if values.upper.is_Integer:
                    found.append(sympy.Le(symbol, values.upper, evaluate=False))
        found += [sympy.Ge(symbol, 2, evaluate=False) for symbol in self._open]
        fixed = [is_one(name) for name, size in self._names.items() if size == 1]
        tidy = {_tidy(condition.xreplace(self._meaning)) for condition in found}
        return frozenset(_without_weaker([*fixed, *(tidy - {sympy.true})]))


def _environment(program: Program) -> Any:
    """The shape environment of the symbols in ``program``; None if it has no symbols left."""
    for node in program.graph.nodes:
        for value in pytree.tree_leaves(node.meta.get("val")):
            sizes = value.shape if isinstance(value, torch.Tensor) else (value,)
            for size in sizes:
                if isinstance(size, torch.SymInt):
                    return size.node.shape_env
    return None


# -- conditions ----------------------------------------------------------------------------------


def _tidy(condition: sympy.Basic) -> sympy.Basic:
    """A comparison of whole numbers, with a number alone on the right and its bound included."""
    if not isinstance(condition, Relational):
        return condition
    relation = condition.func
    left, right = (sympy.expand(side) for side in condition.args)
    if left == right and condition.rel_op in ("==", "<=", ">="):
        return sympy.true
    if not (left.free_symbols or right.free_symbols):
        return relation(left, right)
    if left.is_Integer:
        turned = {sympy.Lt: sympy.Gt, sympy.Gt: sympy.Lt, sympy.Le: sympy.Ge, sympy.Ge: sympy.Le}
        relation, left, right = turned.get(relation, relation), right, left
    if right.is_Integer and relation is sympy.Gt:
        relation, right = sympy.Ge, right + 1
    elif right.is_Integer and relation is sympy.Lt:
        relation, right = sympy.Le, right - 1
    return relation(left, right, evaluate=False)


def _without_weaker(conditions: Sequence[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Without lower bounds of a dimension that another one exceeds."""
    for condition in conditions:
        if isinstance(condition, sympy.Ge):
            symbol, least = condition.args
            stronger = _numbers(sympy.Ge, symbol, conditions)
            if symbol.is_Symbol and least.is_Integer and least < max(stronger):
                continue
        yield condition


def _numbers(relation: Any, symbol: Any, conditions: Iterable[Any]) -> list[int]:
    """The numbers that ``symbol`` is compared with by ``relation``."""
    return [
        int(condition.args[1])
        for condition in conditions
        if isinstance(condition, relation)
        and condition.args[0] == symbol
        and condition.args[1].is_Integer
    ]


def bounds(name: str, region: Region) -> tuple[int, int | None]:
    """The least and the largest size of the dimension ``name`` in ``region``; None: unbounded."""
    symbol = symbol_of(name)
    equal = _numbers(sympy.Eq, symbol, region)
    most = equal + _numbers(sympy.Le, symbol, region)
    return max([1, *equal, *_numbers(sympy.Ge, symbol, region)]), min(most, default=None)


def text_of(expression: sympy.Basic) -> str:
    """``expression`` as Python writes it.

    What is no whole-number arithmetic (a size scaled by a fraction) is refused by
    :mod:`perfmodel.workload.parametric.expressions`, which reads it.
    """
    return "0 == 1" if expression == sympy.false else str(PythonPrinter().doprint(expression))
