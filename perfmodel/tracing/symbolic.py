"""Tracing with named dimensions: one run for all batches and lengths.

The sizes of named dimensions are symbols while the module runs and while formulas are
evaluated, so each figure comes out as an expression. Wherever the run or a formula had to decide
between symbols, it did so for the traced sizes; the decisions are collected and become the
conditions under which the expressions hold.

A dimension of size 1 is different in kind: it broadcasts, and tensors with one are contiguous in
more ways. So each dimension is traced twice, at 1 and as a symbol of at least 2, and where both
agree they become one case. (PyTorch's ``backed_size_oblivious`` traces one symbol for both, with
the same counts; but in nearly every model of the zoo something is then decided by whether the size
is 1, and the model has to be traced there all the same, and some sizes become inexpressible.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations, permutations, product
from math import inf
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import sympy
import torch
from sympy.core.relational import Relational
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree
from torch.utils._sympy.printers import PythonPrinter

from perfmodel.errors import TraceError, UnknownName
from perfmodel.tracing.arguments import arguments, check_names, owners, state_leaves
from perfmodel.tracing.forward import run
from perfmodel.tracing.tracing import assemble
from perfmodel.workload.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.parametric import Case, Dimension, ParametricWorkload, with_sizes
from perfmodel.workload.workload import Workload

#: What the axes of a tensor are: the name of a dimension, an expression in names, or (a number or
#: None) fixed. Axes at the end that are not mentioned are fixed.
Axes: TypeAlias = Sequence[str | int | None]
#: A number, or an expression in names.
Number: TypeAlias = str | int

#: Sizes that stand for a dimension of 1 in a symbolic trace: different ones, rare in models.
_STAND_FOR_ONE: Final = (2, 3, 5, 7, 11, 13)
#: A comparison that leaves its bound out as one of whole numbers that includes it.
_INCLUSIVE: Final = {sympy.Gt: (sympy.Ge, 1), sympy.Lt: (sympy.Le, -1)}


def trace_parametric(
    module: torch.nn.Module,
    example_inputs: Any = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    sizes: Axes | Mapping[str, Axes | Sequence[Axes]] = ("batch",),
    name: str | None = None,
    batch: Number | None = None,
    phase: str | None = None,
    tokens: Number = 0,
    context: Number = 0,
    allow_unmodelled: bool = False,
    state: Collection[str] = (),
    maximum: Mapping[str, int] | None = None,
    cover: Mapping[str, Iterable[int]] | None = None,
    known: Iterable[Workload] = (),
) -> ParametricWorkload:
    """What one forward of ``module`` asks for, as expressions in named dimensions of its inputs.

    Args:
        module, example_inputs, kwargs, name, allow_unmodelled, state: as for
            :func:`perfmodel.trace`.
        sizes: what the axes of the tensor arguments are. One list for all of them:
            ``("batch", "tokens")``; or one for each argument, by name:
            ``{"ids": ("batch", "tokens"), "mask": ("batch", "past + tokens")}``. Arguments and axes
            that are not mentioned are fixed, as is one called None. An argument that holds several
            tensors takes one list for all, or a list of lists.
        batch: samples in one run, an expression; by default the dimension of that name, or else
            the first axis of the first tensor.
        phase, tokens, context: fields of the workload, see :class:`perfmodel.Workload`; the
            numbers may be expressions.
        maximum: the largest size of a dimension that makes sense to ask for, where the forward
            itself would take more, such as a position beyond those that were trained.
        cover: sizes at which the result must hold, by dimension. A forward that takes another
            branch above some length is traced again there; without this, the other branch is left
            out, and asking for it an error.
        known: workloads traced before from the same module; one whose inputs fit a case is taken
            for it rather than traced again.

    A multiply-accumulate counts as 2 FLOPs.

    Raises:
        TraceError: the forward fails, depends on values, or allows only one size of a dimension; or
            ``sizes`` does not fit the arguments.
        UnmodelledOperator: operators without a formula, all of them named.
    """
    name, args, named = arguments(module, example_inputs, kwargs, name)
    plan = _Arguments(name, owners(module, args, named), args, named, sizes)
    samples = plan.batch() if batch is None else batch
    given = {"batch": samples, "tokens": tokens, "context": context}
    numbers = {field: plan.number(field, number) for field, number in given.items()}
    make = partial(
        assemble,
        name=name,
        module=module,
        batch=1,
        allow_unmodelled=allow_unmodelled,
        state=state_leaves(name, module, args, named, state),
    )
    earlier = {tuple(spec.shape for spec in workload.inputs): workload for workload in known}
    found: list[tuple[Workload, list[_Region]]] = []

    def add(sizes: Mapping[str, int]) -> None:
        at = {n: sympy.Integer(1) if size == 1 else _symbol(n) for n, size in sizes.items()}
        workload, region = _traced(plan, module, sizes, at, make, earlier)
        fields: Any = {field: _in_symbols(number, at) for field, number in numbers.items()}
        _merge(found, replace(workload, phase=phase, **fields), region)

    for count in range(len(plan.defaults) + 1):
        for ones in combinations(plan.defaults, count):
            add(plan.example_sizes(ones))
    for point in plan.points(cover or {}):
        if not any(region.condition(point) for _, regions in found for region in regions):
            add(point)
    dimensions = []
    for dimension, default in plan.defaults.items():
        bounds = [region.bounds[dimension] for _, regions in found for region in regions]
        end = min(max(most or inf for _, most in bounds), (maximum or {}).get(dimension, inf))
        least, most = min(least for least, _ in bounds), None if end == inf else int(end)
        dimensions.append(Dimension(dimension, default, least, most))
    cases = tuple(_written(plan, workload, regions) for workload, regions in found)
    return ParametricWorkload(name, tuple(dimensions), cases)


# -- the arguments -------------------------------------------------------------------------------


class _Arguments:
    """Which axis of which argument is what, and how large everything is in the examples.

    Attributes:
        model: what the trace is called; every error starts with it.
        axes: by leaf of the arguments and axis, what its size is where that is not fixed.
        defaults: the size of each dimension in the examples.

    Raises :class:`~perfmodel.errors.TraceError` where ``sizes`` does not fit the arguments.
    """

    def __init__(
        self,
        model: str,
        passed: Sequence[str],
        args: tuple[Any, ...],
        named: dict[str, Any],
        sizes: Axes | Mapping[str, Axes | Sequence[Axes]],
    ) -> None:
        self.model = model
        self.axes: dict[tuple[int, int], Expression] = {}
        self._leaves, self._tree = pytree.tree_flatten((args, named))
        if by_name := isinstance(sizes, Mapping):
            check_names(f"{model}: sizes:", sizes, passed)
        seen: Counter[str] = Counter()
        for leaf, (owner, tensor) in enumerate(zip(passed, self._leaves, strict=True)):
            if isinstance(tensor, torch.Tensor):
                given: Any = sizes.get(owner, ()) if isinstance(sizes, Mapping) else sizes
                if given and isinstance(given[0], list | tuple):
                    given = given[seen[owner]] if seen[owner] < len(given) else ()
                seen[owner] += 1
                if isinstance(given, str):
                    self._fail(f"sizes: expected a list of axes, such as ({given!r},)")
                if by_name and len(given) > tensor.ndim:
                    self._fail(f"sizes: {owner} has {tensor.ndim} axes, {len(given)} are named")
                for axis, (size, actual) in enumerate(zip(given, tensor.shape, strict=False)):
                    place = f"sizes: axis {axis} of {owner}"
                    if isinstance(size, str) and (read := self._expression(place, size)).names:
                        self.axes[leaf, axis] = read
                    elif isinstance(size, int) and size != actual:
                        self._fail(f"{place} is {actual}, not {size}")
        if not self.axes:
            self._fail("no tensor argument has a named dimension")
        self.defaults = self._defaults(passed)

    def _fail(self, message: str) -> NoReturn:
        raise TraceError(f"{self.model}: {message}")

    def _expression(
        self, place: str, text: str, allowed: Collection[str] | None = None
    ) -> Expression:
        try:
            return Expression(text, allowed)
        except ExpressionError as error:
            self._fail(f"{place}: {error}")

    def _defaults(self, passed: Sequence[str]) -> dict[str, int]:
        actual = {place: int(self._leaves[place[0]].shape[place[1]]) for place in self.axes}
        found: dict[str, int] = {}
        for place, expression in self.axes.items():
            if expression.names == {expression.text.strip()}:
                found.setdefault(expression.text.strip(), actual[place])
        for place, expression in self.axes.items():
            if missing := sorted(expression.names - found.keys()):
                self._fail(f"sizes: no axis is called {missing[0]!r} alone, so its size is unknown")
            if (size := expression.exactly(found)) != actual[place]:
                self._fail(
                    f"sizes: axis {place[1]} of {passed[place[0]]} is {actual[place]}, but "
                    f"{expression.text} is {size}"
                )
        if min(found.values()) < 1:
            self._fail("a named dimension is 0 in the example inputs")
        return found

    def number(self, field: str, given: Number) -> Expression:
        """A field of the workload as an expression in the named dimensions."""
        return self._expression(field, str(given), self.defaults)

    def batch(self) -> Number:
        """Samples in one run, where it is not said."""
        if "batch" in self.defaults:
            return "batch"
        tensors = (pair for pair in enumerate(self._leaves) if isinstance(pair[1], torch.Tensor))
        leaf, first = next(tensors)
        if (leaf, 0) in self.axes:
            return self.axes[leaf, 0].text
        return int(first.shape[0]) if first.ndim else 1

    def example_sizes(self, ones: Collection[str]) -> dict[str, int]:
        """Sizes to trace at: ``ones`` at 1, the others above it and different from each other.

        Equal ones would make a comparison of two dimensions look decided.
        """
        chosen = dict.fromkeys(ones, 1)
        for name, default in self.defaults.items():
            if name not in ones:
                wanted = (default, *_STAND_FOR_ONE) if default > 1 else _STAND_FOR_ONE
                chosen[name] = next(size for size in wanted if size not in chosen.values())
        return chosen

    def points(self, cover: Mapping[str, Iterable[int]]) -> Iterator[dict[str, int]]:
        """Every combination of the sizes to cover, the other dimensions as in the examples.

        Raises :class:`~perfmodel.errors.UnknownName` for a dimension that there is not.
        """
        for name in cover:
            if name not in self.defaults:
                raise UnknownName(f"dimension of {self.model}", name, self.defaults)
        choices = [list(cover.get(name, ())) or [size] for name, size in self.defaults.items()]
        for chosen in product(*choices):
            yield dict(zip(self.defaults, chosen, strict=True))

    def at(self, sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments at ``sizes``, by position and by name, without contents."""
        shapes = {leaf: list(self._leaves[leaf].shape) for leaf, _ in self.axes}
        for (leaf, axis), expression in self.axes.items():
            shapes[leaf][axis] = expression(sizes)
        leaves = list(self._leaves)
        for leaf, shape in shapes.items():
            leaves[leaf] = _resized(leaves[leaf], shape)
        args, named = pytree.tree_unflatten(leaves, self._tree)
        return args, named


def _resized(tensor: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """An empty tensor of another shape whose axes lie in memory in the same order."""
    order = sorted(range(tensor.ndim), key=lambda axis: (-tensor.stride(axis), axis))
    made = torch.empty([shape[axis] for axis in order], dtype=tensor.dtype, device="meta")
    return made.permute([order.index(axis) for axis in range(tensor.ndim)])


# -- one run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Region:
    """Sizes of which some statements are true.

    Attributes:
        bounds: the least and the largest size of each dimension; None: unbounded.
        decided: what else is true of them.
    """

    bounds: Mapping[str, tuple[int, int | None]]
    decided: frozenset[str] = frozenset()

    @property
    def condition(self) -> Condition:
        """That sizes are in this region."""
        texts = list(self.decided)
        for name, (least, most) in self.bounds.items():
            if least == most:
                texts.append(f"{name} == {least}")
            else:
                texts += [f"{name} >= {least}"] + ([] if most is None else [f"{name} <= {most}"])
        return Condition(" and ".join(sorted(texts)))

    def where(self, statement: Any) -> _Region:
        """The part of it in which ``statement``, of sympy, is true, too."""
        if isinstance(statement, Relational):
            statement = statement.func(*map(sympy.expand, statement.args))
        if isinstance(statement, Relational):
            # A number alone is on the right, and a bound included.
            statement = statement.reversed if statement.lhs.is_Integer else statement
            kind, (left, right) = statement.func, statement.args
            if right.is_Integer:
                kind, more = _INCLUSIVE.get(kind, (kind, 0))
                statement = kind(left, right + more, evaluate=False)
                if str(left) in self.bounds and kind in (sympy.Ge, sympy.Le, sympy.Eq):
                    least, most = self.bounds[str(left)]
                    size = int(right + more)
                    if kind is not sympy.Le:
                        least = max(least, size)
                    if kind is not sympy.Ge:
                        most = min(size, most or size)
                    return replace(self, bounds={**self.bounds, str(left): (least, most)})
        decided = set() if statement == sympy.true else {text_of(statement)}
        return replace(self, decided=self.decided | decided)


def _traced(
    plan: _Arguments,
    module: torch.nn.Module,
    sizes: Mapping[str, int],
    at: Mapping[str, Any],
    make: Callable[..., Workload],
    earlier: Mapping[Any, Workload],
) -> tuple[Workload, _Region]:
    """What ``module`` asks for around ``sizes``, ``at`` in symbols, and where; 1 is fixed.

    Sizes in the workload are numbers or expressions of sympy. ``make``: it, of a program.
    ``earlier``: others, by the shapes of their inputs.
    """
    ones = {name for name, size in sizes.items() if size == 1}
    region = _Region({name: (1, 1) if name in ones else (2, None) for name in sizes})
    args, named = plan.at(sizes)
    places = [place for place, expression in plan.axes.items() if expression.names - ones]
    if not places:
        leaves = pytree.tree_leaves((args, named))
        shapes = tuple(tuple(leaf.shape) for leaf in leaves if isinstance(leaf, torch.Tensor))
        known = shapes in earlier
        return earlier[shapes] if known else make(run(plan.model, module, args, named)), region
    axes = {leaf: [axis for other, axis in places if other == leaf] for leaf, _ in places}
    program = run(plan.model, module, args, named, axes)
    meaning: dict[sympy.Symbol, sympy.Expr] = {}
    for leaf, axis in places:
        size, expression = program.sized[leaf].shape[axis], plan.axes[leaf, axis]
        if not isinstance(size, torch.SymInt):
            raise TraceError(
                f"{plan.model}: an axis of {expression.text} = {int(size)} stays fixed; "
                "give example inputs in which it is larger"
            )
        # Before replacements, by which the run may have found two to be equal.
        meaning[size.node._expr] = sympy.sympify(_in_symbols(expression, at))
    in_names = cache(lambda symbols: _expanded(symbols.xreplace(meaning)))
    made = make(program, symbolic=True)
    workload = with_sizes(made, lambda size: in_names(size.node.expr), np.object_)
    # Formulas decide between symbols, too.
    for statement in _decided(size.node.shape_env, meaning):
        region = region.where(statement.xreplace(meaning))
    for name, (least, most) in region.bounds.items():
        if least == most and name not in ones:
            raise TraceError(
                f"{plan.model}: the forward allows no other {name} than {least}; leave it out "
                "of the named dimensions"
            )
    return workload, region


def _decided(environment: ShapeEnv, meaning: Collection[sympy.Symbol]) -> Iterator[sympy.Basic]:
    """What a run decided between the symbols in ``meaning``."""
    yield from (guard.expr for guard in environment.guards)
    for symbol, value in environment.replacements.items():
        yield sympy.Eq(symbol, value, evaluate=False)
    for symbol, values in environment.var_to_range.items():
        if symbol in meaning:
            yield sympy.Ge(symbol, values.lower, evaluate=False)
            if values.upper.is_Integer:
                yield sympy.Le(symbol, values.upper, evaluate=False)


# -- cases of symbols ----------------------------------------------------------------------------


def _symbol(name: str) -> sympy.Symbol:
    """What stands for the dimension called ``name`` in sympy's expressions."""
    return sympy.Symbol(name, integer=True, positive=True)


def _in_symbols(expression: Expression, at: Mapping[str, Any]) -> Any:
    """``expression`` where dimensions have these values, of sympy; or the number that it is."""
    return _expanded(sympy.sympify(expression.exactly(at)))


def _expanded(expression: sympy.Expr) -> Any:
    """``expression`` multiplied out, or the number that it is."""
    found = sympy.expand(expression)
    return int(found) if found.is_Integer else found


def text_of(expression: sympy.Basic) -> str:
    """``expression`` as Python writes it.

    What is no whole-number arithmetic (a size scaled by a fraction) is refused by
    :mod:`perfmodel.workload.expressions`, which reads it.
    """
    return "0 == 1" if expression == sympy.false else str(PythonPrinter().doprint(expression))


def _merge(
    found: list[tuple[Workload, list[_Region]]], workload: Workload, region: _Region
) -> None:
    """Add a region, to those of a workload that asks for the same there if there is one."""
    ones = {_symbol(name): 1 for name, bounds in region.bounds.items() if bounds == (1, 1)}
    placed = cache(lambda size: _expanded(size.xreplace(ones)))
    for general, regions in found:
        if with_sizes(general, placed, np.object_) == workload:
            regions.append(region)
            return
    found.append((workload, [region]))


def _written(plan: _Arguments, workload: Workload, regions: Sequence[_Region]) -> Case:
    """A case with the sizes and conditions written down."""
    written = cache(lambda size: Expression(text_of(size), plan.defaults))
    try:
        where = tuple(region.condition for region in _joined(regions))
        return Case(where, with_sizes(workload, written, np.object_))
    except ExpressionError as error:
        # A fraction, or a symbol that no dimension stands for.
        raise TraceError(
            f"{plan.model}: {error}; name every axis that varies, or trace the model at each size"
        ) from None


def _joined(regions: Sequence[_Region]) -> list[_Region]:
    """Regions that differ in one dimension only, and meet there, as one."""
    for lower, upper in permutations(regions, 2):
        differing = [name for name in lower.bounds if lower.bounds[name] != upper.bounds[name]]
        if len(differing) == 1 and lower.decided == upper.decided:
            (name,) = differing
            (least, end), (start, most) = lower.bounds[name], upper.bounds[name]
            if end is not None and start == end + 1:
                rest = [region for region in regions if region not in (lower, upper)]
                whole = replace(lower, bounds={**lower.bounds, name: (least, most)})
                return _joined([*rest, whole])
    return list(regions)
