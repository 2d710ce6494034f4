"""Tracing with named dimensions: one export for all batches and lengths.

The sizes of named dimensions are symbols while the module runs and while formulas are
evaluated, so each figure comes out as an expression. Wherever the export or a formula had to decide
between symbols, it did so for the traced sizes; the decisions are collected and become the
conditions under which the expressions hold.

A dimension of size 1 is different in kind: it broadcasts, and tensors with one are contiguous in
more ways. So each dimension is traced twice, at 1 and as a symbol of at least 2, and where both
agree they become one case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError, WorkloadFormatError
from perfmodel.tracing.dimension_symbols import DimensionSymbols
from perfmodel.tracing.parametric_document import document_of, written
from perfmodel.tracing.size_plan import Axes, Number, SizePlan
from perfmodel.tracing.traced_cases import TracedCase, merge
from perfmodel.tracing.tracing import arguments, assemble, run, state_leaves
from perfmodel.workload import storage
from perfmodel.workload.parametric import storage as parametric_storage
from perfmodel.workload.parametric.expressions import Expression
from perfmodel.workload.parametric.parametric import ParametricWorkload
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
    earlier = {_shapes(storage.to_dict(workload)): workload for workload in known}

    merged: list[TracedCase] = []
    names = tuple(plan.defaults)
    for count in range(len(names) + 1):
        for ones in combinations(names, count):
            merge(merged, _case(plan, plan.example_sizes(frozenset(ones)), options, earlier))
    for sizes_asked in plan.points(cover or {}):
        if not any(case.holds(sizes_asked) for case in merged):
            merge(merged, _case(plan, sizes_asked, options, earlier))
    document = document_of(plan, merged, maximum or {})
    try:
        return parametric_storage.from_dict(document, source=name)
    except WorkloadFormatError as error:  # A symbol is left that no dimension stands for.
        raise TraceError(f"{error}; name that axis, or trace the model at each size") from None


@dataclass(frozen=True)
class _Options:
    numbers: Mapping[str, Expression]
    phase: str | None
    allow_unmodelled: bool
    state: tuple[int, ...]


def _case(
    plan: SizePlan,
    sizes: Mapping[str, int],
    options: _Options,
    earlier: Mapping[Any, Workload],
) -> TracedCase:
    """What the module asks for around ``sizes``; a dimension of 1 is fixed."""
    ones = frozenset(name for name, size in sizes.items() if size == 1)
    args, named = plan.inputs(sizes)
    axes = plan.symbolic_axes(ones)
    batch = options.numbers["batch"](sizes)
    fixed = frozenset(f"{name} == 1" for name in ones)
    bounds: dict[str, tuple[int, int | None]] = dict.fromkeys(ones, (1, 1))
    if not axes:
        shapes = tuple(
            tuple(leaf.shape)
            for leaf in pytree.tree_leaves((args, named))
            if isinstance(leaf, torch.Tensor)
        )
        workload = earlier.get(shapes)
        if workload is None:
            program = run(plan.model, plan.module, args, named)
            workload = assemble(
                program,
                plan.model,
                plan.module,
                batch=batch,
                allow_unmodelled=options.allow_unmodelled,
                state=options.state,
            )
            document = storage.to_dict(workload) | {"phase": options.phase}
            document |= {field: number(sizes) for field, number in options.numbers.items()}
        else:
            document = storage.to_dict(workload)
        return TracedCase(document, ones, [fixed], bounds)

    program = run(plan.model, plan.module, args, named, axes)
    symbols = DimensionSymbols(plan, program, sizes, ones, axes)
    with symbols.open():
        workload = assemble(
            program,
            plan.model,
            plan.module,
            batch=batch,
            allow_unmodelled=options.allow_unmodelled,
            state=options.state,
            symbolic=True,
        )
        document = symbols.named(storage.to_dict(workload)) | {"phase": options.phase}
    for field, number in options.numbers.items():
        document[field] = symbols.of_dimensions(number)
    conditions = symbols.conditions()
    bounds |= symbols.bounds(conditions)
    for name, (least, most) in bounds.items():
        if name not in ones and least == most:
            raise TraceError(
                f"{plan.model}: the forward allows no other {name} than {least}; leave it out of "
                "the named dimensions"
            )
    texts = fixed | {written(plan.model, condition) for condition in conditions}
    return TracedCase(document, ones, [texts], bounds)


def _shapes(document: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(spec["shape"]) for spec in document["inputs"])
