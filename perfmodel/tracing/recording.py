"""From an exported graph to the columns of a Workload.

The one idea: a tensor is its storage. Every value in the graph carries shape, strides and the
identity of its storage, so a view is a result that shares the storage of an argument, whatever the
operator is called, and ``reshape`` or ``contiguous`` is a copy exactly when it makes a new storage.
An access counts the distinct elements a view touches: a dimension of stride 0 counts once.

A size may be a symbol (``torch.SymInt``), and what is computed from it is one, too, then. A
comparison of symbols is decided as the traced sizes decide it, and noted by the shape environment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import fx
from torch.export.graph_signature import InputKind

from perfmodel.errors import TraceError, UnmodelledOperator
from perfmodel.tracing import control_flow, copying, decomposing, operators
from perfmodel.tracing.control_flow import Body
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.overloads import Operator, operator_name, overload
from perfmodel.tracing.repeating import Mark
from perfmodel.tracing.rows import AccessRow, KernelRow, TensorRow, recorded
from perfmodel.tracing.trace_errors import unknown_size
from perfmodel.tracing.views import (
    Block,
    block_of,
    distinct,
    is_unknown,
    least,
    tensors_in,
    values_of,
    view_of,
)
from perfmodel.vocabulary import families
from perfmodel.workload.workload import (
    INPUT,
    KINDS,
    OUTPUT,
    WEIGHT,
    Accesses,
    Kernels,
    Tensors,
)

_WEIGHTS: Final = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_UNKNOWN: Final = ("", "")
_NO_LOOPS: Final = (0, 0, 0, 0)
_NO_GEMM: Final = (
    "{}: its formula states multiply-accumulates without loops (gemm), which are charged as "
    "operations on vectors"
)


#: Where a kernel touches something: tensor, role, and the part of a weight.
_Place = tuple[int, int, Block | None]


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
        self._tensors: list[TensorRow] = []
        self._kernels: list[KernelRow] = []
        self._accesses: list[AccessRow] = []
        self._names: dict[str, int] = {}
        self._operators: dict[Any, Operator] = {}
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
        results = list(tensors_in(node.meta.get("val")))
        if any(is_unknown(size) for result in results for size in result.shape):
            stack = node.meta.get("stack_trace")
            raise TraceError(f"{self.model}: {unknown_size(str(target), stack)}")
        if not hasattr(target, "_schema"):
            name = getattr(target, "__name__", str(target))
            formula = operators.find(f"higher_order.{name}")
            if formula is not None or not control_flow.record(self, name, node, module):
                self._without_schema(Operator(f"higher_order.{name}", formula), node, results)
            return
        args = tuple(map(values_of, node.args))
        kwargs = {name: values_of(value) for name, value in node.kwargs.items()}
        self._call(target, args, kwargs, node.meta.get("val"), node)

    def _call(
        self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any, node: fx.Node
    ) -> None:
        """Record a call of ``target`` that returned ``value``, on behalf of ``node``."""
        operator = self._operators.get(target)
        if operator is None:
            operator = self._operators[target] = overload(target)
        results = list(tensors_in(value))
        arguments = {**dict(zip(operator.arguments, args, strict=False)), **kwargs}
        passed = {self._storage(tensor) for tensor in tensors_in(list(arguments.values()))}
        new = [result for result in results if self._storage(result) not in passed]
        if operator.free or _onto_itself(operator, arguments):
            for result in new:
                self.declare(result, self._label(operator, node), "activation")
        elif operators.is_identity(operator.name, arguments):
            for result in new:
                self._unite(result, next(tensors_in(list(arguments.values()))))
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
                    if any(self._is_weight(tensor) for tensor in tensors_in(value))
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
        for outer, inner in zip(tensors_in(value), tensors_in(found.result), strict=True):
            self._unite(outer, inner)
        if not found.composite:
            self.note(decomposing.DECOMPOSED.format(name=operator_name(target)))
        return True

    def note(self, text: str) -> None:
        """Have the workload say ``text``, once."""
        self.notes[text] = None

    def _without_schema(
        self, operator: Operator, node: fx.Node, results: list[torch.Tensor]
    ) -> None:
        """Python's own operators (getitem, arithmetic on sizes), and those that take functions."""
        names = operators.ARGUMENTS.get(operator.name)
        values = [values_of(argument) for argument in node.args]
        arguments: dict[str, Any] = {"args": values}
        if names is not None:
            arguments = dict(zip(names, values, strict=False))
        arguments |= {name: values_of(value) for name, value in node.kwargs.items()}
        tensors = list(tensors_in(list(arguments.values())))
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
            returned = list(tensors_in(graph.returned))
        else:
            inner = [n for n in graph.graph.nodes if n.op == "placeholder"]
            for placeholder, operand in zip(inner, operands, strict=True):
                self._unite(placeholder.meta.get("val"), values_of(operand))
            self.run(graph)
            (output,) = (n for n in graph.graph.nodes if n.op == "output")
            returned = list(tensors_in(values_of(output.args[0])))
        for outer, result in zip(tensors_in(value), returned, strict=False):
            self._unite(outer, result)
        return returned

    def store(self, node: fx.Node, part: torch.Tensor, whole: torch.Tensor) -> None:
        """Record the copy of ``part`` to a place in ``whole``."""
        cost = Cost(families.DATA_MOVEMENT, writes=part.numel())
        operator = Operator("aten.copy", lambda call: cost)
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

    def _label(self, operator: Operator, node: fx.Node) -> str:
        """Module path and operator, numbered where a module calls the operator again."""
        path = _path(node)
        label = operator.name.rpartition(".")[2]
        label = f"{path}/{label}" if path else label
        count = self._names[label] = self._names.get(label, 0) + 1
        return label if count == 1 else f"{label}#{count}"

    def _cost(self, operator: Operator, node: fx.Node, call: Call) -> Cost:
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
        self, operator: Operator, node: fx.Node, call: Call, new: list[torch.Tensor]
    ) -> None:
        """Record one kernel; ``new`` are those of its results that are not views of arguments."""
        index, label = len(self._kernels), self._label(operator, node)
        cost = self._cost(operator, node, call)
        if cost.note:
            self.note(cost.note)
        if cost.flops and cost.gemm is None and cost.family in families.GEMM_FAMILIES:
            self.note(_NO_GEMM.format(operator.name))
        family = families.CODE[cost.family]
        self._kernels.append(
            (label, operator.name, family, cost.flops, cost.vector_ops, cost.gemm or _NO_LOOPS)
        )

        touched: dict[_Place, dict[object, int]] = {}
        for name, value in call.arguments.items():
            for tensor in tensors_in(value):
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
            elements = least(sum(views.values()), self._tensors[row][2])
            self._accesses.append((index, row, role, elements, block))

    def _touch(
        self,
        touched: dict[_Place, dict[object, int]],
        value: torch.Tensor,
        role: int,
        limit: int | None,
    ) -> None:
        """Note that ``value`` is touched, ``limit`` elements at most; the same view only once."""
        elements = distinct(value)
        if limit is not None:
            elements = least(elements, limit)
        if elements == 0:
            return
        row = self._tensor(value)
        itemsize = self._tensors[row][3]
        if value.element_size() != itemsize:  # a view as another type
            elements = elements * value.element_size() // itemsize
        view = view_of(value)
        block = block_of(value) if role == WEIGHT else None
        views = touched.setdefault((row, role, block), {})
        views[view] = -least(-elements, -views[view]) if view in views else elements

    def finish(self, integer: type[np.int64 | np.object_]) -> Recording:
        """The columns, those of sizes as arrays of ``integer``."""
        tables = recorded(self.model, self._tensors, self._kernels, self._accesses, integer)
        unmodelled = tuple(sorted(self.unmodelled))
        return Recording(*tables, unmodelled=unmodelled, notes=tuple(self.notes))


def _onto_itself(operator: Operator, arguments: dict[str, Any]) -> bool:
    """A copy whose source is its destination: torch.export ends ``self.buffer += 1`` with one."""
    return operator.name == "aten.copy" and view_of(arguments["self"]) == view_of(arguments["src"])


def _path(node: fx.Node) -> str:
    """Path of the module whose forward made the call, as in ``named_modules``."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    path: str = next(reversed(stack.values()))[0]
    return path
