"""Tracing with named dimensions: one export for all batches and lengths.

The sizes of named dimensions are symbols while the module is exported and while formulas are
evaluated, so each figure comes out as an expression. Wherever the export or a formula had to decide
between symbols, it did so for the traced sizes; the decisions are collected and become the
conditions under which the expressions hold.

A dimension of size 1 is different in kind: it broadcasts, and tensors with one are contiguous in
more ways. So each dimension is traced twice, at 1 and as a symbol of at least 2, and where both
agree they become one case.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final, TypeAlias

import sympy
import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError, UnknownName, WorkloadFormatError
from perfmodel.workload import parametric_storage, storage
from perfmodel.workload.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.parametric import ParametricWorkload
from perfmodel.workload.sympy_text import InexpressibleSize, text_of
from perfmodel.workload.tracing import arguments, assemble, export, state_leaves
from perfmodel.workload.workload import Workload

#: What the axes of a tensor are: the name of a dimension, an expression in names, or (a number or
#: None) fixed. Axes at the end that are not mentioned are fixed.
Axes: TypeAlias = Sequence[str | int | None]
Number: TypeAlias = str | int

#: Sizes that stand for a dimension of 1 in a symbolic trace: different ones, rare in models.
_STAND_FOR_ONE: Final = (2, 3, 5, 7, 11, 13)


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
    plan = _Plan(name, module, args, named, sizes)
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

    merged: list[_Traced] = []
    names = tuple(plan.defaults)
    for count in range(len(names) + 1):
        for ones in combinations(names, count):
            _merge(merged, _case(plan, plan.example_sizes(frozenset(ones)), options, earlier))
    for sizes_asked in plan.points(cover or {}):
        if not any(case.holds(sizes_asked) for case in merged):
            _merge(merged, _case(plan, sizes_asked, options, earlier))
    document = _document(plan, merged, maximum or {})
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


class _Plan:
    """Which axis of which argument is what, and how large everything is in the examples."""

    def __init__(
        self,
        model: str,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        named: dict[str, Any],
        sizes: Axes | Mapping[str, Axes | Sequence[Axes]],
    ) -> None:
        self.model = model
        self.module = module
        self._leaves, self._tree = pytree.tree_flatten((args, named))
        paths = pytree.tree_flatten_with_path((args, named))[0]
        positional = list(inspect.signature(module.forward).parameters)
        owners = [
            place[1].key if place[0].idx else positional[min(place[1].idx, len(positional) - 1)]
            for place, _ in paths
        ]
        #: By leaf and axis, what the size of that axis is.
        self.axes: dict[int, dict[int, Expression]] = {}
        seen: dict[str, int] = {}
        for leaf, tensor in enumerate(self._leaves):
            if isinstance(tensor, torch.Tensor):
                given: Any = sizes.get(owners[leaf], ()) if isinstance(sizes, Mapping) else sizes
                place = seen[owners[leaf]] = seen.get(owners[leaf], -1) + 1
                if given and isinstance(given[0], list | tuple):
                    given = given[place] if place < len(given) else ()
                if isinstance(given, str):
                    self._fail(f"sizes: expected a list of axes, such as ({given!r},)")
                whole = isinstance(sizes, Mapping)
                self._name_axes(leaf, owners[leaf], tensor, given, must_fit=whole)
        if isinstance(sizes, Mapping):
            unknown = sorted(set(sizes) - set(owners))
            if unknown:
                self._fail(
                    f"sizes: {', '.join(unknown)} is not among the arguments passed, which are "
                    f"{', '.join(dict.fromkeys(owners)) or 'none'}"
                )
        if not self.axes:
            self._fail("no tensor argument has a named dimension")
        #: Size of each dimension in the examples.
        self.defaults = self._defaults(owners)

    def _fail(self, message: str) -> None:
        raise TraceError(f"{self.model}: {message}")

    def _name_axes(
        self, leaf: int, owner: str, tensor: torch.Tensor, given: Axes, *, must_fit: bool
    ) -> None:
        if must_fit and len(given) > tensor.ndim:
            self._fail(f"sizes: {owner} has {tensor.ndim} axes, {len(given)} are named")
        for axis, size in enumerate(given[: tensor.ndim]):
            if isinstance(size, str):
                try:
                    expression = Expression(size)
                except ExpressionError as error:
                    self._fail(f"sizes: axis {axis} of {owner}: {error}")
                if expression.names:
                    self.axes.setdefault(leaf, {})[axis] = expression
            elif isinstance(size, int) and size != tensor.shape[axis]:
                self._fail(f"sizes: axis {axis} of {owner} is {tensor.shape[axis]}, not {size}")

    def _defaults(self, owners: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        named = [
            (leaf, axis, expression)
            for leaf, axes in self.axes.items()
            for axis, expression in axes.items()
        ]
        for leaf, axis, expression in named:
            if expression.names == {expression.text.strip()}:
                found.setdefault(expression.text.strip(), int(self._leaves[leaf].shape[axis]))
        for leaf, axis, expression in named:
            missing = sorted(expression.names - found.keys())
            if missing:
                self._fail(f"sizes: no axis is called {missing[0]!r} alone, so its size is unknown")
            actual = int(self._leaves[leaf].shape[axis])
            if expression.exactly(found) != actual:
                self._fail(
                    f"sizes: axis {axis} of {owners[leaf]} is {actual}, but {expression.text} is "
                    f"{expression.exactly(found)}"
                )
        if min(found.values()) < 1:
            self._fail("a named dimension is 0 in the example inputs")
        return found

    def batch(self) -> Number:
        """Samples in one run, where it is not said."""
        if "batch" in self.defaults:
            return "batch"
        for leaf, tensor in enumerate(self._leaves):
            if isinstance(tensor, torch.Tensor):
                first = self.axes.get(leaf, {}).get(0)
                return first.text if first else int(tensor.shape[0]) if tensor.ndim else 1
        return 1

    def number(self, field: str, given: Number) -> Expression:
        """A field of the workload as an expression in the named dimensions."""
        try:
            expression = Expression(str(given))
        except ExpressionError as error:
            self._fail(f"{field}: {error}")
        if expression.names - self.defaults.keys():
            self._fail(
                f"{field}: expected the dimensions {', '.join(self.defaults)}, found {given}"
            )
        return expression

    def example_sizes(self, ones: frozenset[str]) -> dict[str, int]:
        """Sizes to trace at: ``ones`` at 1, the others above it and different from each other.

        Equal ones would make a comparison of two dimensions look decided.
        """
        chosen = dict.fromkeys(ones, 1)
        for name, default in self.defaults.items():
            if name not in ones:
                spare = (size for size in _STAND_FOR_ONE if size not in chosen.values())
                fits = default > 1 and default not in chosen.values()
                chosen[name] = default if fits else next(spare)
        return chosen

    def points(self, cover: Mapping[str, Iterable[int]]) -> Iterator[dict[str, int]]:
        """Every combination of the sizes to cover, the other dimensions as in the examples."""
        for name in cover:
            if name not in self.defaults:
                raise UnknownName(f"dimension of {self.model}", name, self.defaults)
        choices = [
            list(cover.get(name, ())) or [default] for name, default in self.defaults.items()
        ]
        for chosen in product(*choices):
            yield dict(zip(self.defaults, chosen, strict=True))

    def inputs(self, sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments at ``sizes``, without contents."""
        leaves = list(self._leaves)
        for leaf, axes in self.axes.items():
            shape = list(leaves[leaf].shape)
            for axis, expression in axes.items():
                shape[axis] = expression(sizes)
            leaves[leaf] = _resized(leaves[leaf], shape)
        args, named = pytree.tree_unflatten(leaves, self._tree)
        return args, named

    def symbolic_axes(self, ones: frozenset[str]) -> dict[int, list[int]]:
        """The axes whose size is not fixed where ``ones`` are 1, by leaf."""
        open_axes = {
            leaf: [axis for axis, expression in axes.items() if expression.names - ones]
            for leaf, axes in self.axes.items()
        }
        return {leaf: axes for leaf, axes in open_axes.items() if axes}


def _resized(tensor: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """An empty tensor of another shape whose axes lie in memory in the same order."""
    order = sorted(range(tensor.ndim), key=lambda axis: (-tensor.stride(axis), axis))
    made = torch.empty([shape[axis] for axis in order], dtype=tensor.dtype, device="meta")
    return made.permute([order.index(axis) for axis in range(tensor.ndim)])


@dataclass
class _Traced:
    """One case: a workload document with sympy expressions for sizes, and where it holds."""

    document: dict[str, Any]
    ones: frozenset[str]
    #: Each a set of conditions that hold together.
    regions: list[frozenset[str]]
    bounds: dict[str, tuple[int, int | None]]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at ``sizes``."""
        return any(all(Condition(text)(sizes) for text in region) for region in self.regions)

    def extend(self, other: _Traced) -> None:
        """Hold where ``other`` holds, too."""
        self.regions.extend(other.regions)
        for name, (least, most) in other.bounds.items():
            own_least, own_most = self.bounds[name]
            self.bounds[name] = min(least, own_least), _maximum([most, own_most])


def _merge(cases: list[_Traced], case: _Traced) -> None:
    """Add ``case``, to the region of one that says the same if there is one."""
    for other in cases:
        if _covers(other, case):
            other.extend(case)
            return
    cases.append(case)


def _case(
    plan: _Plan,
    sizes: Mapping[str, int],
    options: _Options,
    earlier: Mapping[Any, Workload],
) -> _Traced:
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
            program = export(plan.model, plan.module, args, named)
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
        return _Traced(document, ones, [fixed], bounds)

    program = export(plan.model, plan.module, args, named, axes)
    symbols = _Symbols(plan, program, sizes, ones, axes)
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
    texts = fixed | {_text(plan.model, condition) for condition in conditions}
    return _Traced(document, ones, [texts], bounds)


class _Symbols:
    """The symbols of one exported program, and the dimensions that they stand for."""

    def __init__(
        self,
        plan: _Plan,
        program: torch.export.ExportedProgram,
        sizes: Mapping[str, int],
        ones: frozenset[str],
        axes: Mapping[int, Sequence[int]],
    ) -> None:
        self._model = plan.model
        self._environment = _environment(program)
        self._names = {
            name: sympy.Integer(1) if name in ones else _symbol(name) for name in plan.defaults
        }
        self._open = [_symbol(name) for name in plan.defaults if name not in ones]
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


def _environment(program: torch.export.ExportedProgram) -> Any:
    """The shape environment of the symbols in ``program``; None if it has no symbols left."""
    for node in program.graph.nodes:
        for value in pytree.tree_leaves(node.meta.get("val")):
            sizes = value.shape if isinstance(value, torch.Tensor) else (value,)
            for size in sizes:
                if isinstance(size, torch.SymInt):
                    return size.node.shape_env
    return None


def _shapes(document: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(spec["shape"]) for spec in document["inputs"])


def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, integer=True, positive=True)


def _covers(general: _Traced, special: _Traced) -> bool:
    """Whether ``general``, where ``special`` holds, says the same."""
    if not general.ones <= special.ones:
        return False
    at = {_symbol(name): sympy.Integer(1) for name in special.ones - general.ones}
    return _same(general.document, special.document, at, {})


def _joined(regions: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Regions that meet at the border between a size of 1 and more, as one."""
    found = list(regions)
    for one, other in combinations(found, 2):
        only, beyond = sorted(one - other), sorted(other - one)
        for first, second in ((only, beyond), (beyond, only)):
            if len(first) == len(second) == 1 and first[0].endswith(" == 1"):
                name = first[0].removesuffix(" == 1")
                if second[0] == f"{name} >= 2":
                    rest = [region for region in found if region not in (one, other)]
                    return _joined([*rest, (one & other) | {f"{name} >= 1"}])
    return found


def _same(general: Any, special: Any, at: Mapping[Any, Any], seen: dict[Any, Any]) -> bool:
    if isinstance(general, dict):
        return (
            isinstance(special, dict)
            and general.keys() == special.keys()
            and all(_same(general[key], special[key], at, seen) for key in general)
        )
    if isinstance(general, list | tuple):
        return len(general) == len(special) and all(
            _same(one, other, at, seen) for one, other in zip(general, special, strict=True)
        )
    if isinstance(general, sympy.Expr):
        if general not in seen:
            value = sympy.expand(general.xreplace(at))
            seen[general] = int(value) if isinstance(value, sympy.Integer) else value
        general = seen[general]
    return bool(general == special)


def _document(plan: _Plan, cases: Sequence[_Traced], maximum: Mapping[str, int]) -> dict[str, Any]:
    return {
        "format": parametric_storage.FORMAT,
        "version": parametric_storage.VERSION,
        "name": plan.model,
        "dimensions": [
            {
                "name": name,
                "default": default,
                "minimum": min(case.bounds[name][0] for case in cases),
                "maximum": min(
                    (
                        bound
                        for bound in (
                            _maximum([case.bounds[name][1] for case in cases]),
                            maximum.get(name),
                        )
                        if bound is not None
                    ),
                    default=None,
                ),
            }
            for name, default in plan.defaults.items()
        ],
        "cases": [
            {
                "where": [" and ".join(sorted(region)) for region in _joined(case.regions)],
                "workload": _texts(plan.model, case.document, {}),
            }
            for case in cases
        ],
    }


def _maximum(bounds: Sequence[int | None]) -> int | None:
    known = [bound for bound in bounds if bound is not None]
    return max(known) if len(known) == len(bounds) else None


def _texts(model: str, value: Any, seen: dict[Any, str]) -> Any:
    if isinstance(value, dict):
        return {key: _texts(model, item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(model, item, seen) for item in value]
    if isinstance(value, sympy.Expr):
        if value not in seen:
            seen[value] = _text(model, value)
        return seen[value]
    return value


def _text(model: str, expression: sympy.Basic) -> str:
    try:
        return text_of(expression)
    except InexpressibleSize as error:
        raise TraceError(f"{model}: {error}; trace it at each size") from None
