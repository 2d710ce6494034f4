"""The symbols that PyTorch makes of sizes, read as expressions in named dimensions.

The shape environment of a run keeps what was decided between its symbols; read in dimensions,
the decisions are the conditions under which the sizes hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.tracing.program import Program
from perfmodel.tracing.size_plan import SizePlan
from perfmodel.workload.parametric.expressions import Expression


def symbol_of(name: str) -> sympy.Symbol:
    """What stands for the dimension called ``name`` in sympy's expressions."""
    return sympy.Symbol(name, integer=True, positive=True)


class DimensionSymbols:
    """The symbols of one run, and the dimensions that they stand for.

    Args:
        plan: says what each axis is.
        program: run on the arguments at ``sizes``.
        sizes: of the dimensions, by name.
        ones: the dimensions that are fixed at 1.
        axes: by leaf of the arguments, those that had symbols for sizes.

    Raises :class:`~perfmodel.errors.TraceError` if the export made a fixed size of one of ``axes``.
    """

    def __init__(
        self,
        plan: SizePlan,
        program: Program,
        sizes: Mapping[str, int],
        ones: frozenset[str],
        axes: Mapping[int, Sequence[int]],
    ) -> None:
        self._environment = _environment(program)
        self._names = {
            name: sympy.Integer(1) if name in ones else symbol_of(name) for name in plan.defaults
        }
        self._open = [symbol_of(name) for name in plan.defaults if name not in ones]
        self._meaning: dict[sympy.Symbol, sympy.Expr] = {}
        self._cache: dict[sympy.Basic, Any] = {}
        if self._environment is None:
            raise TraceError(
                f"{plan.model}: the forward allows one size only of {', '.join(plan.defaults)}"
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
                # Before replacements, by which the export may have found two to be equal.
                self._meaning[size.node._expr] = sympy.sympify(self.of_dimensions(expression))

    def of_dimensions(self, expression: Expression) -> Any:
        """An expression in names as one in sympy's symbols, or a number."""
        value = sympy.expand(sympy.sympify(expression.exactly(self._names)))
        return int(value) if value.is_Integer else value

    def open(self) -> Any:
        """While this is open, decisions between symbols are noted, after the export too."""
        return _Unfrozen(self._environment)

    def named(self, value: Any) -> Any:
        """A document with expressions in the dimensions in place of symbols."""
        if isinstance(value, dict):
            return {key: self.named(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.named(item) for item in value]
        if isinstance(value, torch.SymInt):
            return self._translate(value.node.expr)
        return value

    def _translate(self, expression: sympy.Basic) -> Any:
        found = self._cache.get(expression)
        if found is None:
            found = expression.xreplace(self._meaning)
            if isinstance(found, sympy.Expr):
                found = sympy.expand(found)
            found = int(found) if isinstance(found, sympy.Integer) else found
            self._cache[expression] = found
        return found

    def conditions(self) -> frozenset[sympy.Basic]:
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
        unique: set[sympy.Basic] = set()
        for condition in found:
            condition = condition.xreplace(self._meaning)
            if isinstance(condition, sympy.core.relational.Relational):
                left, right = (sympy.expand(side) for side in condition.args)
                if left == right and condition.rel_op in ("==", "<=", ">="):
                    continue
                condition = _tidy(condition.func, left, right)
            if condition == sympy.true:
                continue
            unique.add(condition)
        return frozenset(self._without_weaker(unique))

    def _without_weaker(self, conditions: set[sympy.Basic]) -> list[sympy.Basic]:
        """Without lower bounds of a dimension that another one exceeds."""
        least = {symbol: self._least(symbol, conditions) for symbol in self._open}
        kept = []
        for condition in conditions:
            symbol = condition.args[0] if condition.args else None
            weaker = (
                isinstance(condition, sympy.Ge)
                and symbol in least
                and condition.args[1].is_Integer
                and int(condition.args[1]) < least[symbol]
            )
            if not weaker:
                kept.append(condition)
        return kept

    @staticmethod
    def _least(symbol: sympy.Symbol, conditions: Iterable[sympy.Basic]) -> int:
        bounds = [
            int(c.args[1])
            for c in conditions
            if isinstance(c, sympy.Ge) and c.args[0] == symbol and c.args[1].is_Integer
        ]
        return max([1, *bounds])

    def bounds(self, conditions: Iterable[sympy.Basic]) -> dict[str, tuple[int, int | None]]:
        """The range of each dimension that is a symbol."""
        conditions = list(conditions)
        found: dict[str, tuple[int, int | None]] = {}
        for symbol in self._open:
            equal = [
                int(c.args[1])
                for c in conditions
                if isinstance(c, sympy.Eq) and c.args[0] == symbol and c.args[1].is_Integer
            ]
            most = equal + [
                int(c.args[1])
                for c in conditions
                if isinstance(c, sympy.Le) and c.args[0] == symbol and c.args[1].is_Integer
            ]
            least = max([self._least(symbol, conditions), *equal])
            found[str(symbol)] = (least, min(most) if most else None)
        return found


def _tidy(relation: Any, left: sympy.Expr, right: sympy.Expr) -> sympy.Basic:
    """A comparison of whole numbers, with a number alone on the right and its bound included."""
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


class _Unfrozen:
    """A shape environment that notes decisions, although its export is over."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def __enter__(self) -> None:
        self._frozen = self._environment.frozen
        self._environment.frozen = False

    def __exit__(self, *_: object) -> None:
        self._environment.frozen = self._frozen


def _environment(program: Program) -> Any:
    """The shape environment of the symbols in ``program``; None if it has no symbols left."""
    for node in program.graph.nodes:
        for value in pytree.tree_leaves(node.meta.get("val")):
            sizes = value.shape if isinstance(value, torch.Tensor) else (value,)
            for size in sizes:
                if isinstance(size, torch.SymInt):
                    return size.node.shape_env
    return None
