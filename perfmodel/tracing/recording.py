"""From an exported graph to the columns of a Workload.

The one idea: a tensor is its storage. Every value in the graph carries shape, strides and the
identity of its storage, so a view is a result that shares the storage of an argument, whatever the
operator is called, and ``reshape`` or ``contiguous`` is a copy exactly when it makes a new storage.
An access counts the distinct elements a view touches: a dimension of stride 0 counts once.

A size may be a symbol (``torch.SymInt``), and what is computed from it is one, too, then. A
comparison of symbols is decided as the traced sizes decide it, and noted by the shape environment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import numpy as np
import torch
from torch import fx
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from perfmodel.errors import TraceError, UnmodelledOperator
from perfmodel.tracing import control_flow, copying, decomposing, operators
from perfmodel.tracing.control_flow import Body
from perfmodel.tracing.operators import Call, Cost, Formula
from perfmodel.tracing.repeating import Mark
from perfmodel.tracing.trace_errors import unknown_size
from perfmodel.vocabulary import families
from perfmodel.workload.workload import (
    INPUT,
    KINDS,
    OUTPUT,
    WEIGHT,
    Accesses,
    IntArray,
    Kernels,
    Tensors,
)

_WEIGHTS: Final = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_UNKNOWN: Final = ("", "")
_NO_LOOPS: Final = (0, 0, 0, 0)
_INT64_MAX: Final = 2**63 - 1


#: A part of a storage: its first element and how many there are.
_Block = tuple[int, int]
#: Where a kernel touches something: tensor, role, and the part of a weight.
_Place = tuple[int, int, _Block | None]
#: Name, kind, elements, bytes of each, and whether they are floating-point numbers.
_Row = tuple[str, int, int, int, bool]


@dataclass(frozen=True)
class Recording:
    """The tables of a Workload, the operators in it that have no formula, and what was assumed."""

    tensors: Tensors
    kernels: Kernels
    accesses: Accesses
    unmodelled: tuple[str, ...]
    notes: tuple[str, ...] = ()


def record(
    program: Any,
    name: str,
    *,
    allow_unmodelled: bool,
    state: frozenset[str] = frozenset(),
    symbolic: bool = False,
    iterations: int | None = None,
) -> Recording:
    """The kernels of ``program`` in graph order, with the tensors they access.

    ``state`` names the placeholders of arguments that outlive a run. ``symbolic``: the columns of
    sizes are arrays of objects, integers and ``torch.SymInt``. ``iterations``: how often the body
    of a ``while_loop`` runs.
    Raises :class:`~perfmodel.errors.UnmodelledOperator` naming every operator without a formula
    (``allow_unmodelled``: charges their bytes instead).
    """
    recorder = Recorder(name, iterations)
    specs = program.graph_signature.input_specs
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, specs, strict=True):
        kind = "weight" if spec.kind in _WEIGHTS else "state" if node.name in state else "input"
        recorder.declare(node.meta.get("val"), spec.target or node.name, kind)
    recorder.run(program.graph_module)
    if recorder.unmodelled and not allow_unmodelled:
        raise UnmodelledOperator(name, recorder.unmodelled)
    return recorder.finish(np.object_ if symbolic else np.int64)


@dataclass(frozen=True, slots=True)
class _Operator:
    """What is the same for all calls of one overload."""

    name: str
    formula: Formula | None = None
    free: bool = False
    arguments: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    #: ``out`` arguments: written, never read.
    out: frozenset[str] = frozenset()


def _operator(target: Any) -> _Operator:
    arguments = target._schema.arguments
    name = operator_name(target)
    return _Operator(
        name=operators.canonical(name),
        formula=operators.find(name),
        free=name in operators.FREE,
        arguments=tuple(a.name for a in arguments),
        written=frozenset(
            a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write
        ),
        out=frozenset(a.name for a in arguments if a.is_out),
    )


def operator_name(target: Any) -> str:
    """Namespace and name of an operator without its overload, as formulas are registered."""
    return str(target._schema.name).replace("::", ".")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A state of the recorder to which it can return."""

    kernels: int
    accesses: int
    tensors: int
    names: dict[str, int]
    alias: dict[int, int]
    unmodelled: dict[str, list[str]]
    notes: dict[str, None]


class Recorder:
    """Makes the tables, one node after the other."""

    def __init__(self, model: str, iterations: int | None = None) -> None:
        self.model = model
        #: How often the body of a loop runs that ends by a value.
        self.iterations = iterations
        self.unmodelled: dict[str, list[str]] = {}
        self.notes: dict[str, None] = {}
        # Storages: what is known of each, and its row once a kernel has touched it.
        self._known: dict[int, tuple[str, str]] = {}
        self._alias: dict[int, int] = {}
        self._row: dict[int, int] = {}
        self._tensors: list[_Row] = []
        self._kernels: list[tuple[str, str, int, int, int, tuple[int, int, int, int]]] = []
        self._accesses: list[tuple[int, int, int, int, _Block | None]] = []
        self._names: dict[str, int] = {}
        self._operators: dict[Any, _Operator] = {}
        #: Ends of the tables where passes of loops began.
        self._passes: list[tuple[int, int, int]] = []
        # A storage is known by its address, which nobody else may get while we record.
        self._alive: list[object] = []

    # Storages and tensors

    def _storage(self, value: torch.Tensor) -> int:
        try:
            key: int = value.untyped_storage()._cdata
        except NotImplementedError as error:
            raise TraceError(
                f"{self.model}: the program holds calls inside torch.vmap, whose tensors have no "
                "storage of their own; trace the module instead"
            ) from error
        return self._alias.get(key, key)

    def declare(self, value: object, name: str, kind: str) -> None:
        """Say what the storage of ``value`` is; the first to say so of a shared one is believed."""
        if isinstance(value, torch.Tensor):
            self._known.setdefault(self._storage(value), (name, kind))

    def _is_weight(self, value: torch.Tensor) -> bool:
        return self._known.get(self._storage(value), _UNKNOWN)[1] == "weight"

    def _tensor(self, value: torch.Tensor) -> int:
        """The row of the storage of ``value``."""
        storage = self._storage(value)
        row = self._row.get(storage)
        if row is None:
            row = self._row[storage] = len(self._tensors)
            name, kind = self._known[storage]
            itemsize = value.element_size()
            elements = value.untyped_storage().nbytes() // itemsize
            # Complex values keep their traced size: no precision policy speaks of them.
            # Numbers of one byte (FP8) are formats that a program carries itself, like INT8.
            floating = value.dtype.is_floating_point and itemsize > 1
            self._tensors.append((name, KINDS.index(kind), elements, itemsize, floating))
        return row

    # Nodes

    def run(self, module: fx.GraphModule) -> None:
        """Record the nodes of ``module`` in order."""
        for node in module.graph.nodes:
            if node.op in ("call_function", "mark"):
                self._node(node, module)

    def _node(self, node: fx.Node, module: fx.GraphModule) -> None:
        target = node.target
        if node.op == "mark":
            self._pass(target)
            return
        results = list(_tensors_in(node.meta.get("val")))
        if any(_is_unknown(size) for result in results for size in result.shape):
            stack = node.meta.get("stack_trace")
            raise TraceError(f"{self.model}: {unknown_size(str(target), stack)}")
        if not hasattr(target, "_schema"):
            name = getattr(target, "__name__", str(target))
            formula = operators.find(f"higher_order.{name}")
            if formula is not None or not control_flow.record(self, name, node, module):
                self._without_schema(_Operator(f"higher_order.{name}", formula), node, results)
            return
        args = tuple(map(_values, node.args))
        kwargs = {name: _values(value) for name, value in node.kwargs.items()}
        self._call(target, args, kwargs, node.meta.get("val"), node)

    def _call(
        self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any, node: fx.Node
    ) -> None:
        """Record a call of ``target`` that returned ``value``, on behalf of ``node``."""
        operator = self._operators.get(target)
        if operator is None:
            operator = self._operators[target] = _operator(target)
        results = list(_tensors_in(value))
        arguments = {**dict(zip(operator.arguments, args, strict=False)), **kwargs}
        passed = {self._storage(tensor) for tensor in _tensors_in(list(arguments.values()))}
        new = [result for result in results if self._storage(result) not in passed]
        if operator.free or _onto_itself(operator, arguments):
            for result in new:
                self.declare(result, self._label(operator, node), "activation")
        elif operators.is_identity(operator.name, arguments):
            for result in new:
                self._unite(result, next(_tensors_in(list(arguments.values()))))
        elif new or operator.written:
            if operator.formula is None and self._decompose(target, args, kwargs, value, node):
                return
            call = Call(
                arguments,
                tuple(tuple(result.shape) for result in results),
                in_place=bool(operator.written - operator.out),
                weights=frozenset(
                    name
                    for name, value in arguments.items()
                    if any(self._is_weight(tensor) for tensor in _tensors_in(value))
                ),
            )
            self._kernel(operator, node, call, new)
        # Otherwise it returns views of its arguments, or no tensor at all: a shape read, a check.

    def _decompose(
        self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any, node: fx.Node
    ) -> bool:
        """Record the calls that ``target`` is made of; False where PyTorch does not say them."""
        found = decomposing.parts(target, args, kwargs, value)
        if found is None:
            return False
        self._alive.append(found)
        for part in found.calls:
            if hasattr(part.target, "_schema"):
                self._call(part.target, part.args, part.kwargs, part.result, node)
        for outer, inner in zip(_tensors_in(value), _tensors_in(found.result), strict=True):
            self._unite(outer, inner)
        if not found.composite:
            self.note(decomposing.DECOMPOSED.format(name=operator_name(target)))
        return True

    def note(self, text: str) -> None:
        """Have the workload say ``text``, once."""
        self.notes[text] = None

    def _without_schema(
        self, operator: _Operator, node: fx.Node, results: list[torch.Tensor]
    ) -> None:
        """Python's own operators (getitem, arithmetic on sizes), and those that take functions."""
        names = operators.ARGUMENTS.get(operator.name)
        values = [_values(argument) for argument in node.args]
        arguments: dict[str, Any] = {"args": values}
        if names is not None:
            arguments = dict(zip(names, values, strict=False))
        arguments |= {name: _values(value) for name, value in node.kwargs.items()}
        tensors = list(_tensors_in(list(arguments.values())))
        passed = {self._storage(tensor) for tensor in tensors}
        new = [result for result in results if self._storage(result) not in passed]
        if new:
            shapes = tuple(tuple(result.shape) for result in results)
            self._kernel(operator, node, Call(arguments, shapes), new)

    # Functions that operators take

    def body(
        self, graph: fx.GraphModule | Body, operands: Iterable[Any], value: Any
    ) -> list[torch.Tensor]:
        """Record ``graph`` with these arguments, and return what it returns.

        The first of those are the tensors in ``value``.
        """
        if isinstance(graph, Body):
            for step in graph.steps:
                self._node(step, graph)
            returned = list(_tensors_in(graph.returned))
        else:
            inner = [n for n in graph.graph.nodes if n.op == "placeholder"]
            for placeholder, operand in zip(inner, operands, strict=True):
                self._unite(placeholder.meta.get("val"), _values(operand))
            self.run(graph)
            (output,) = (n for n in graph.graph.nodes if n.op == "output")
            returned = list(_tensors_in(_values(output.args[0])))
        for outer, result in zip(_tensors_in(value), returned, strict=False):
            self._unite(outer, result)
        return returned

    def store(self, node: fx.Node, part: torch.Tensor, whole: torch.Tensor) -> None:
        """Record the copy of ``part`` to a place in ``whole``."""
        cost = Cost(families.DATA_MOVEMENT, writes=part.numel())
        operator = _Operator("aten.copy", lambda call: cost)
        shapes = (tuple(whole.shape),)
        self._kernel(operator, node, Call({"src": part}, shapes), [whole])

    def mark(self) -> _Mark:
        """Where the tables end now."""
        return _Mark(
            len(self._kernels),
            len(self._accesses),
            len(self._tensors),
            dict(self._names),
            dict(self._alias),
            {name: list(places) for name, places in self.unmodelled.items()},
            dict(self.notes),
        )

    def since(self, mark: _Mark) -> tuple[int, int, int]:
        """FLOPs, other operations and elements touched since ``mark``."""
        kernels, accesses = self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        return (
            sum(kernel[3] for kernel in kernels),
            sum(kernel[4] for kernel in kernels),
            sum(access[3] for access in accesses),
        )

    def cut(self, mark: _Mark) -> None:
        """Forget what was recorded since ``mark``."""
        del self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        del self._tensors[mark.tensors :]
        self._row = {key: row for key, row in self._row.items() if row < mark.tensors}
        self._names, self._alias = dict(mark.names), dict(mark.alias)
        self.unmodelled = {name: list(places) for name, places in mark.unmodelled.items()}
        self.notes = dict(mark.notes)

    def repeat(self, mark: _Mark, count: int) -> None:
        """Have what was recorded since ``mark`` run ``count`` times in all."""
        if count < 1:
            self.cut(mark)
            return
        kernels, accesses = self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        for step in range(1, count):
            shift = step * len(kernels)
            self._kernels.extend((f"{row[0]}@{step + 1}", *row[1:]) for row in kernels)
            self._accesses.extend((row[0] + shift, *row[1:]) for row in accesses)

    def _pass(self, mark: Mark) -> None:
        """Note where a pass of a loop begins, and record the copies of the one before."""
        self._passes.append((len(self._kernels), len(self._accesses), len(self._tensors)))
        if not mark.copies:
            return
        self.note(mark.note)
        (k2, a2, t2), (k3, a3, t3), (k4, a4, t4) = self._passes[-3:]
        if (k4 - k3, a4 - a3, t4 - t3) != (k3 - k2, a3 - a2, t3 - t2):
            raise TraceError(f"{self.model}: passes of a loop differ that called the same")
        passes = copying.Passes(self._kernels[k2:], self._accesses[a2:], self._tensors[t2:], t2)
        made = copying.copies(passes, mark.copies)
        self._kernels += made.kernels
        self._accesses += made.accesses
        self._tensors += made.tensors
        for label, further in made.numbers.items():
            self._names[label] += further
        rows = t4 - t3
        moved = {
            storage: row + mark.copies * rows
            for storage, row in self._row.items()
            if t3 <= row < t4
        }
        for entry, others in mark.entries:
            self._alive.append(others)
            storage = self._storage(entry)
            for position, stand_in in enumerate(others):
                self._row[self._storage(stand_in)] = self._row[storage] + position * rows
                self._known[self._storage(stand_in)] = self._known[storage]
        # What the pass made is, from here on, what the last copy of it made.
        self._row |= moved

    def _unite(self, alias: object, original: object) -> None:
        if isinstance(alias, torch.Tensor) and isinstance(original, torch.Tensor):
            storage = self._storage(original)
            key = alias.untyped_storage()._cdata
            if key != storage:
                self._alias[key] = storage

    # Kernels

    def _label(self, operator: _Operator, node: fx.Node) -> str:
        """Module path and operator, numbered where a module calls the operator again."""
        path = _path(node)
        label = operator.name.rpartition(".")[2]
        label = f"{path}/{label}" if path else label
        count = self._names[label] = self._names.get(label, 0) + 1
        return label if count == 1 else f"{label}#{count}"

    def _cost(self, operator: _Operator, node: fx.Node, call: Call) -> Cost:
        if operator.formula is None:
            self.unmodelled.setdefault(operator.name, []).append(_path(node) or "the top level")
            return Cost(families.UNMODELLED)
        try:
            return operator.formula(call)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # An overload or a combination of arguments that the formula was not written for.
            raise TraceError(
                f"{self.model}: the formula of {node.target} does not fit its call at "
                f"{_path(node) or 'the top level'} ({type(error).__name__}: {error}); register a "
                "better one with @perfmodel.tracing.operators.register(..., replace=True)"
            ) from error

    def _kernel(
        self, operator: _Operator, node: fx.Node, call: Call, new: list[torch.Tensor]
    ) -> None:
        """Record one kernel; ``new`` are those of its results that are not views of arguments."""
        index, label = len(self._kernels), self._label(operator, node)
        cost = self._cost(operator, node, call)
        if cost.note:
            self.note(cost.note)
        family = families.CODE[cost.family]
        self._kernels.append(
            (label, operator.name, family, cost.flops, cost.vector_ops, cost.gemm or _NO_LOOPS)
        )

        touched: dict[_Place, dict[object, int]] = {}
        for name, value in call.arguments.items():
            for tensor in _tensors_in(value):
                self.declare(tensor, label, "activation")
                if name not in operator.out:
                    role = WEIGHT if self._is_weight(tensor) else INPUT
                    self._touch(touched, tensor, role, cost.reads.get(name))
                if name in operator.written:
                    self._touch(touched, tensor, OUTPUT, cost.writes)
        for position, result in enumerate(new):
            self.declare(result, f"{label}:{position}" if position else label, "activation")
            self._touch(touched, result, OUTPUT, cost.writes)
        for (row, role, block), views in touched.items():
            # Views of one storage may overlap: together they touch no more than all of it.
            elements = _least(sum(views.values()), self._tensors[row][2])
            self._accesses.append((index, row, role, elements, block))

    def _touch(
        self,
        touched: dict[_Place, dict[object, int]],
        value: torch.Tensor,
        role: int,
        limit: int | None,
    ) -> None:
        """Note that ``value`` is touched, ``limit`` elements at most; the same view only once."""
        elements = _distinct(value)
        if limit is not None:
            elements = _least(elements, limit)
        if elements == 0:
            return
        row = self._tensor(value)
        itemsize = self._tensors[row][3]
        if value.element_size() != itemsize:  # a view as another type
            elements = elements * value.element_size() // itemsize
        view = _view(value)
        block = _block(value) if role == WEIGHT else None
        views = touched.setdefault((row, role, block), {})
        views[view] = -_least(-elements, -views[view]) if view in views else elements

    def _check_totals(self, *columns: Iterable[int]) -> None:
        """Raise TraceError unless every total is exact as a 64-bit integer."""
        if max(map(sum, columns)) > _INT64_MAX:
            raise TraceError(
                f"{self.model}: operations or bytes are beyond what a 64-bit integer holds; trace "
                "it at a smaller batch"
            )

    def finish(self, integer: type[np.int64 | np.object_]) -> Recording:
        """The columns, those of sizes as arrays of ``integer``."""
        kernels = self._kernels
        tensors, accesses = _parted(self._tensors, self._accesses)
        names, kinds, elements, itemsizes, floating = _columns(tensors, 5)
        labels, operator, family, flops, vector_ops, gemm = _columns(kernels, 6)
        kernel, tensor, role, touched = _columns(accesses, 4)
        if integer is np.int64:
            moved = (itemsizes[row] * count for row, count in zip(tensor, touched, strict=True))
            self._check_totals(flops, vector_ops, moved, elements)
        return Recording(
            tensors=Tensors(
                name=names,
                kind=_integers(kinds),
                elements=_integers(elements, integer),
                itemsize=_integers(itemsizes),
                floating=np.array(floating, dtype=np.bool_),
            ),
            kernels=Kernels(
                name=labels,
                operator=operator,
                family=_integers(family),
                flops=_integers(flops, integer),
                vector_ops=_integers(vector_ops, integer),
                gemm=_integers(gemm, integer).reshape(-1, 4),
            ),
            accesses=Accesses(
                kernel=_integers(kernel),
                tensor=_integers(tensor),
                role=_integers(role),
                elements=_integers(touched, integer),
            ),
            unmodelled=tuple(sorted(self.unmodelled)),
            notes=tuple(self.notes),
        )


def _block(value: torch.Tensor) -> _Block | None:
    """First element and number of elements of a view without gaps; None of any other."""
    places = (value.storage_offset(), value.numel())
    if not value.is_contiguous() or not all(isinstance(place, int) for place in places):
        return None
    return places


def _parted(
    tensors: list[_Row], accesses: list[tuple[int, int, int, int, _Block | None]]
) -> tuple[list[_Row], list[tuple[int, int, int, int]]]:
    """A row for each part of a weight that is only ever read in parts which do not overlap.

    So are the experts of a mixture in one tensor, or queries, keys and values of attention. As one
    row, the parts would pass for the same elements read again.
    """
    blocks: dict[int, dict[_Block | None, int]] = {}
    for _, row, role, _, block in accesses:
        if role == WEIGHT:
            blocks.setdefault(row, {})[block] = row
    tensors = list(tensors)
    for row, found in blocks.items():
        if len(found) == 1 or None in found:
            continue
        ordered = sorted(block for block in found if block is not None)
        if any(a[0] + a[1] > b[0] for a, b in itertools.pairwise(ordered)):
            continue
        name, kind, elements, itemsize, floating = tensors[row]
        # Offsets count elements of the type that is read; a view as another type has its own.
        if ordered[-1][0] + ordered[-1][1] > elements:
            continue
        for place, block in enumerate(ordered):
            part = (f"{name}[{place}]", kind, block[1], itemsize, floating)
            if place:
                found[block] = len(tensors)
                tensors.append(part)
            else:
                tensors[row] = part
    merged: dict[tuple[int, int, int], int] = {}
    for kernel, row, role, elements, block in accesses:
        own = blocks[row][block] if role == WEIGHT else row
        key = (kernel, own, role)
        before = merged.get(key)
        total = elements if before is None else _least(before + elements, tensors[own][2])
        merged[key] = total
    return tensors, [(*key, elements) for key, elements in merged.items()]


def _columns(rows: list[Any], width: int) -> list[tuple[Any, ...]]:
    # Not zip(*rows), which is slow for a million rows.
    return [tuple(map(itemgetter(column), rows)) for column in range(width)]


def _integers(values: tuple[Any, ...], integer: type[np.generic] = np.int64) -> IntArray:
    return np.array(values, dtype=integer)


def _values(argument: Any) -> Any:
    """An argument of a node with each node in it replaced by the value it stands for."""
    if isinstance(argument, fx.Node):
        return argument.meta.get("val")
    if isinstance(argument, list | tuple):
        return [_values(item) for item in argument]
    return argument


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)


def _onto_itself(operator: _Operator, arguments: dict[str, Any]) -> bool:
    """A copy whose source is its destination: torch.export ends ``self.buffer += 1`` with one."""
    return operator.name == "aten.copy" and _view(arguments["self"]) == _view(arguments["src"])


def _view(value: torch.Tensor) -> tuple[object, ...]:
    offset = value.storage_offset()
    if _is_unknown(offset):  # a row chosen by a value: which one costs the same
        offset = -1
    places = (offset, *value.shape, *value.stride())
    if any(isinstance(place, torch.SymInt) for place in places):
        # A symbol cannot be looked up in a dict, its expression can.
        places = tuple(getattr(getattr(place, "node", place), "expr", place) for place in places)
    return (value.untyped_storage()._cdata, *places)


def _is_unknown(size: object) -> bool:
    """Whether a size depends on values; other symbols are named dimensions."""
    return isinstance(size, torch.SymInt) and bool(free_unbacked_symbols(size))


def _least(left: Any, right: Any) -> Any:
    """The smaller one, of symbols by an expression: which one it is may differ by size."""
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_min(left, right)
    return min(left, right)


def _distinct(value: torch.Tensor) -> int:
    """Elements of ``value``, those along a dimension of stride 0 counted once."""
    elements = 1
    for size, stride in zip(value.shape, value.stride(), strict=True):
        if stride != 0 or size == 0:
            elements *= size
    return elements


def _path(node: fx.Node) -> str:
    """Path of the module whose forward made the call, as in ``named_modules``."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path: str = next(reversed(stack.values()))[0]
    return path
