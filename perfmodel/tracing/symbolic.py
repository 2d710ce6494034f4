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

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import sympy
import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.tracing.arguments import arguments, state_leaves
from perfmodel.tracing.dimension_symbols import (
    DimensionSymbols,
    Region,
    bounds,
    is_one,
    symbol_of,
    text_of,
)
from perfmodel.tracing.forward import run
from perfmodel.tracing.size_plan import Axes, Number, SizePlan
from perfmodel.tracing.tracing import assemble
from perfmodel.workload.parametric.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.parametric.parametric import (
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
    options = _Options(
        numbers={
            "batch": plan.number("batch", plan.batch() if batch is None else batch),
            "tokens": plan.number("tokens", tokens),
            "context": plan.number("context", context),
        },
        phase=phase,
        allow_unmodelled=allow_unmodelled,
        state=tuple(state_leaves(name, module, args, named, state)),
    )
    earlier = {tuple(spec.shape for spec in workload.inputs): workload for workload in known}

    found: list[_Traced] = []
    names = tuple(plan.defaults)
    for count in range(len(names) + 1):
        for ones in combinations(names, count):
            _merge(found, _traced(plan, plan.example_sizes(frozenset(ones)), options, earlier))
    for sizes_asked in plan.points(cover or {}):
        if not any(case.holds(sizes_asked) for case in found):
            _merge(found, _traced(plan, sizes_asked, options, earlier))
    return ParametricWorkload(
        name=name,
        dimensions=tuple(
            _dimension(dimension, default, found, (maximum or {}).get(dimension))
            for dimension, default in plan.defaults.items()
        ),
        cases=tuple(_case(plan, case) for case in found),
    )


@dataclass(frozen=True)
class _Options:
    numbers: Mapping[str, Expression]
    phase: str | None
    allow_unmodelled: bool
    state: tuple[int, ...]


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
    regions: list[Region]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at ``sizes``."""
        return any(
            all(Condition(text_of(condition))(sizes) for condition in region)
            for region in self.regions
        )

    def covers(self, special: _Traced) -> bool:
        """Whether it says what ``special`` does, where that holds."""
        if not self.ones <= special.ones:
            return False
        at = {symbol_of(name): sympy.Integer(1) for name in special.ones - self.ones}
        seen: dict[sympy.Expr, Any] = {}

        def placed(size: sympy.Expr) -> Any:
            if size not in seen:
                value = sympy.expand(size.xreplace(at))
                seen[size] = int(value) if value.is_Integer else value
            return seen[size]

        there = with_sizes(self.workload, placed, np.object_)
        return bool(there.to_dict() == special.workload.to_dict())


def _merge(found: list[_Traced], case: _Traced) -> None:
    """Add ``case``, to the regions of one that says the same if there is one."""
    for other in found:
        if other.covers(case):
            other.regions.extend(case.regions)
            return
    found.append(case)


def _traced(
    plan: SizePlan,
    sizes: Mapping[str, int],
    options: _Options,
    earlier: Mapping[Any, Workload],
) -> _Traced:
    """What the module asks for around ``sizes``; a dimension of 1 is fixed."""
    ones = frozenset(name for name, size in sizes.items() if size == 1)
    args, named = plan.inputs(sizes)
    axes = plan.symbolic_axes(ones)
    shapes = tuple(
        tuple(leaf.shape)
        for leaf in pytree.tree_leaves((args, named))
        if isinstance(leaf, torch.Tensor)
    )
    if not axes and shapes in earlier:
        return _Traced(earlier[shapes], ones, [frozenset(map(is_one, ones))])

    program = run(plan.model, plan.module, args, named, axes)
    known: dict[str, Any] = {
        "batch": options.numbers["batch"](sizes),
        "allow_unmodelled": options.allow_unmodelled,
        "state": options.state,
    }
    if not axes:
        workload = assemble(program, plan.model, plan.module, **known)
        numbers: dict[str, Any] = {name: n(sizes) for name, n in options.numbers.items()}
        workload = replace(workload, phase=options.phase, **numbers)
        return _Traced(workload, ones, [frozenset(map(is_one, ones))])

    symbols = DimensionSymbols(plan, program, sizes, axes)
    with symbols.open():
        workload = assemble(program, plan.model, plan.module, symbolic=True, **known)
        workload = with_sizes(workload, symbols.named, np.object_)
    numbers = {name: symbols.of_dimensions(n) for name, n in options.numbers.items()}
    region = symbols.region()
    for name in plan.defaults.keys() - ones:
        least, most = bounds(name, region)
        if least == most:
            raise TraceError(
                f"{plan.model}: the forward allows no other {name} than {least}; leave it out of "
                "the named dimensions"
            )
    return _Traced(replace(workload, phase=options.phase, **numbers), ones, [region])


# -- the result ----------------------------------------------------------------------------------


def _dimension(name: str, default: int, found: Sequence[_Traced], maximum: int | None) -> Dimension:
    """A dimension with the range of all regions; ``maximum`` bounds it further."""
    ranges = [bounds(name, region) for case in found for region in case.regions]
    largest = [most for _, most in ranges if most is not None]
    limits = [maximum] if maximum is not None else []
    if len(largest) == len(ranges):
        limits.append(max(largest))
    return Dimension(name, default, min(least for least, _ in ranges), min(limits, default=None))


def _case(plan: SizePlan, case: _Traced) -> Case:
    """``case`` with the sizes and conditions written down."""
    known: dict[sympy.Expr, Expression] = {}

    def written(size: sympy.Expr) -> Expression:
        if size not in known:
            known[size] = Expression(text_of(size))
            unknown = sorted(known[size].names - plan.defaults.keys())
            if unknown:  # A symbol is left that no dimension stands for.
                raise TraceError(
                    f"{plan.model}: expected the dimensions {', '.join(sorted(plan.defaults))}, "
                    f"found {unknown[0]}; name that axis, or trace the model at each size"
                )
        return known[size]

    try:
        where = tuple(
            Condition(" and ".join(sorted(map(text_of, region))))
            for region in _joined(case.regions)
        )
        return Case(where, with_sizes(case.workload, written, np.object_))
    except ExpressionError as error:
        raise TraceError(f"{plan.model}: {error}; trace it at each size") from None


def _joined(regions: Sequence[Region]) -> list[Region]:
    """Regions that meet at the border between a size of 1 and more, as one."""
    for one, more in permutations(regions, 2):
        if len(one - more) == len(more - one) == 1:
            (fixed,), (open_,) = one - more, more - one
            symbol = fixed.args[0]
            if fixed == sympy.Eq(symbol, 1, evaluate=False) and (
                open_ == sympy.Ge(symbol, 2, evaluate=False)
            ):
                rest = [region for region in regions if region not in (one, more)]
                return _joined([*rest, (one & more) | {sympy.Ge(symbol, 1, evaluate=False)}])
    return list(regions)
