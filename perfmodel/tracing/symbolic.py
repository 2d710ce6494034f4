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

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations, permutations
from typing import Any

import numpy as np
import sympy
import torch
from sympy.core.relational import Relational
from torch.utils import _pytree as pytree
from torch.utils._sympy.printers import PythonPrinter

from perfmodel.errors import TraceError
from perfmodel.tracing.arguments import arguments, state_leaves
from perfmodel.tracing.forward import run
from perfmodel.tracing.program import Program
from perfmodel.tracing.size_plan import Axes, Number, SizePlan
from perfmodel.tracing.tracing import assemble
from perfmodel.workload.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.parametric import (
    Case,
    Dimension,
    ParametricWorkload,
    with_sizes,
)
from perfmodel.workload.workload import Workload


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
    plan = SizePlan(name, module, args, named, sizes)
    model = _Model(
        plan,
        numbers={
            "batch": plan.number("batch", plan.batch() if batch is None else batch),
            "tokens": plan.number("tokens", tokens),
            "context": plan.number("context", context),
        },
        phase=phase,
        assemble=partial(
            assemble,
            name=name,
            module=module,
            batch=1,
            allow_unmodelled=allow_unmodelled,
            state=state_leaves(name, module, args, named, state),
        ),
        earlier={tuple(spec.shape for spec in workload.inputs): workload for workload in known},
    )
    found: list[_Traced] = []
    for count in range(len(plan.defaults) + 1):
        for ones in combinations(plan.defaults, count):
            _merge(found, model.traced(plan.example_sizes(frozenset(ones))))
    for sizes_asked in plan.points(cover or {}):
        if not any(region.condition(sizes_asked) for case in found for region in case.regions):
            _merge(found, model.traced(sizes_asked))
    return ParametricWorkload(
        name=name,
        dimensions=tuple(
            _dimension(dimension, default, found, (maximum or {}).get(dimension))
            for dimension, default in plan.defaults.items()
        ),
        cases=tuple(_written(plan, case) for case in found),
    )


# -- one run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Region:
    """Sizes of which some statements are true.

    Attributes:
        bounds: the least and the largest size of each dimension; None: unbounded.
        decided: what else is true of them.
    """

    bounds: Mapping[str, tuple[int, int | None]]
    decided: frozenset[sympy.Basic] = frozenset()

    @property
    def condition(self) -> Condition:
        """That sizes are in this region."""
        texts = [text_of(statement) for statement in self.decided]
        for name, (least, most) in self.bounds.items():
            if least == most:
                texts.append(f"{name} == {least}")
            else:
                texts += [f"{name} >= {least}"] + ([] if most is None else [f"{name} <= {most}"])
        return Condition(" and ".join(sorted(texts)))

    def where(self, statement: sympy.Basic) -> _Region:
        """The part of it in which ``statement`` is true, too."""
        if statement == sympy.true:
            return self
        if isinstance(statement, sympy.Ge | sympy.Le | sympy.Eq):
            left, right = statement.args
            if right.is_Integer and str(left) in self.bounds:
                least, most = self.bounds[left.name]
                if not isinstance(statement, sympy.Le):
                    least = max(least, int(right))
                if not isinstance(statement, sympy.Ge):
                    most = min(int(right), most or int(right))
                return replace(self, bounds={**self.bounds, left.name: (least, most)})
        return replace(self, decided=self.decided | {statement})


@dataclass(frozen=True)
class _Traced:
    """What the module asks for in some regions.

    Attributes:
        workload: a size is a number or a sympy expression in the symbols of dimensions.
        ones: the dimensions that are 1 in it.
        regions: where it holds, any of them.
    """

    workload: Workload
    ones: frozenset[str]
    regions: list[_Region]

    def covers(self, special: _Traced) -> bool:
        """Whether it says what ``special`` does, where that holds."""
        if not self.ones <= special.ones:
            return False
        at = {_symbol(name): sympy.Integer(1) for name in special.ones - self.ones}
        placed = cache(lambda size: _expanded(size.xreplace(at)))
        return with_sizes(self.workload, placed, np.object_) == special.workload


@dataclass(frozen=True)
class _Model:
    """What is traced, and what is said of it.

    Attributes:
        plan: the arguments of its forward at any sizes.
        numbers, phase: fields of the workload, see :func:`trace_parametric`.
        assemble: makes the workload of a program.
        earlier: workloads traced before, by the shapes of the inputs.
    """

    plan: SizePlan
    numbers: Mapping[str, Expression]
    phase: str | None
    assemble: Callable[..., Workload]
    earlier: Mapping[Any, Workload]

    def traced(self, sizes: Mapping[str, int]) -> _Traced:
        """What the module asks for around ``sizes``; a dimension of 1 is fixed."""
        plan = self.plan
        ones = frozenset(name for name, size in sizes.items() if size == 1)
        region = _Region({name: (1, 1) if name in ones else (2, None) for name in sizes})
        args, named = plan.inputs(sizes)
        axes = plan.symbolic_axes(ones)
        if not axes:
            leaves = pytree.tree_leaves((args, named))
            shapes = (tuple(leaf.shape) for leaf in leaves if isinstance(leaf, torch.Tensor))
            workload = self.earlier.get(tuple(shapes))
            if workload is not None:
                return _Traced(workload, ones, [region])
        program = run(plan.model, plan.module, args, named, axes)
        if axes:
            symbols = _Symbols(plan, program, sizes, axes)
            with symbols.open():
                workload = symbols.named(self.assemble(program, symbolic=True))
            region = symbols.narrowed(region)
        else:
            workload = self.assemble(program)
        for name, (least, most) in region.bounds.items():
            if least == most and name not in ones:
                raise TraceError(
                    f"{plan.model}: the forward allows no other {name} than {least}; leave it out "
                    "of the named dimensions"
                )
        numbers = {field: _in_symbols(number, sizes) for field, number in self.numbers.items()}
        return _Traced(replace(workload, phase=self.phase, **numbers), ones, [region])


class _Symbols:
    """The symbols that PyTorch made of sizes in one run, and the dimensions they stand for.

    The shape environment of the run keeps what was decided between its symbols.

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
        self._meaning: dict[sympy.Symbol, sympy.Expr] = {}
        places = [(leaf, axis) for leaf, open_axes in axes.items() for axis in open_axes]
        for leaf, axis in places:
            size, expression = program.sized[leaf].shape[axis], plan.axes[leaf][axis]
            if not isinstance(size, torch.SymInt):
                raise TraceError(
                    f"{plan.model}: an axis of {expression.text} = {int(size)} stays fixed; "
                    "give example inputs in which it is larger"
                )
            self._environment = size.node.shape_env
            # Before replacements, by which the run may have found two to be equal.
            self._meaning[size.node._expr] = sympy.sympify(_in_symbols(expression, sizes))

    @contextmanager
    def open(self) -> Iterator[None]:
        """While this is open, decisions between symbols are noted, after the run too."""
        frozen, self._environment.frozen = self._environment.frozen, False
        try:
            yield
        finally:
            self._environment.frozen = frozen

    def named(self, workload: Workload) -> Workload:
        """``workload`` with the symbols of the run in its sizes as those of the dimensions."""
        named = cache(lambda symbols: _expanded(symbols.xreplace(self._meaning)))
        return with_sizes(workload, lambda size: named(size.node.expr), np.object_)

    def narrowed(self, region: _Region) -> _Region:
        """The part of ``region`` in which everything is decided as it was in the run."""
        environment = self._environment
        decided: list[sympy.Basic] = [guard.expr for guard in environment.guards]
        for symbol, value in environment.replacements.items():
            decided.append(sympy.Eq(symbol, value, evaluate=False))
        for symbol, values in environment.var_to_range.items():
            if symbol in self._meaning:
                decided.append(sympy.Ge(symbol, values.lower, evaluate=False))
                if values.upper.is_Integer:
                    decided.append(sympy.Le(symbol, values.upper, evaluate=False))
        for statement in decided:
            region = region.where(_tidy(statement.xreplace(self._meaning)))
        return region


# -- arithmetic of symbols -----------------------------------------------------------------------


def _symbol(name: str) -> sympy.Symbol:
    """What stands for the dimension called ``name`` in sympy's expressions."""
    return sympy.Symbol(name, integer=True, positive=True)


def _in_symbols(expression: Expression, sizes: Mapping[str, int]) -> Any:
    """``expression`` in the symbols of dimensions, or a number; those of 1 in ``sizes`` are 1."""
    values = {n: sympy.Integer(1) if size == 1 else _symbol(n) for n, size in sizes.items()}
    return _expanded(sympy.sympify(expression.exactly(values)))


def _expanded(expression: sympy.Expr) -> Any:
    """``expression`` multiplied out, or the number that it is."""
    found = sympy.expand(expression)
    return int(found) if found.is_Integer else found


def _tidy(statement: sympy.Basic) -> sympy.Basic:
    """A comparison of whole numbers, with a number alone on the right and its bound included."""
    if isinstance(statement, Relational):
        statement = statement.func(*map(sympy.expand, statement.args))
    if not isinstance(statement, Relational):
        return statement
    if statement.lhs.is_Integer:
        statement = statement.reversed
    left, right = statement.args
    if right.is_Integer and isinstance(statement, sympy.Gt):
        return sympy.Ge(left, right + 1, evaluate=False)
    if right.is_Integer and isinstance(statement, sympy.Lt):
        return sympy.Le(left, right - 1, evaluate=False)
    return statement


def text_of(expression: sympy.Basic) -> str:
    """``expression`` as Python writes it.

    What is no whole-number arithmetic (a size scaled by a fraction) is refused by
    :mod:`perfmodel.workload.expressions`, which reads it.
    """
    return "0 == 1" if expression == sympy.false else str(PythonPrinter().doprint(expression))


# -- the result ----------------------------------------------------------------------------------


def _merge(found: list[_Traced], case: _Traced) -> None:
    """Add ``case``, to the regions of one that says the same if there is one."""
    for other in found:
        if other.covers(case):
            other.regions.extend(case.regions)
            return
    found.append(case)


def _dimension(name: str, default: int, found: Sequence[_Traced], maximum: int | None) -> Dimension:
    """A dimension with the range of all regions; ``maximum`` bounds it further."""
    bounds = [region.bounds[name] for case in found for region in case.regions]
    ends = [most for _, most in bounds if most is not None]
    limits = [max(ends)] if len(ends) == len(bounds) else []
    if maximum is not None:
        limits.append(maximum)
    return Dimension(name, default, min(least for least, _ in bounds), min(limits, default=None))


def _written(plan: SizePlan, case: _Traced) -> Case:
    """``case`` with the sizes and conditions written down."""
    written = cache(lambda size: Expression(text_of(size), plan.defaults))
    try:
        where = tuple(region.condition for region in _joined(case.regions))
        return Case(where, with_sizes(case.workload, written, np.object_))
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
                return _joined(
                    [*rest, replace(lower, bounds={**lower.bounds, name: (least, most)})]
                )
    return list(regions)
