"""From an exported graph to the columns of a Workload.

A tensor is its storage (:mod:`perfmodel.tracing.ledger`): ``reshape`` or ``contiguous`` is a copy
exactly when it makes a new storage.

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
from perfmodel.tracing import control_flow, decomposing, operators
from perfmodel.tracing.control_flow import Body
from perfmodel.tracing.ledger import Ledger, Place
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.overloads import Operator, operator_name, overload
from perfmodel.tracing.rows import recorded
from perfmodel.tracing.trace_errors import unknown_size
from perfmodel.tracing.views import is_unknown, least, tensors_in, values_of, view_of
from perfmodel.vocabulary import families
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Accesses, Kernels, Tensors

_WEIGHTS: Final = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_NO_LOOPS: Final = (0, 0, 0, 0)
_NO_GEMM: Final = (
    "{}: its formula states multiply-accumulates without loops (gemm), which are charged as "
    "operations on vectors"
)


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


class Recorder(Ledger):
    """Makes the tables, one node after the other.

    Attributes:
        iterations: how often the body of a loop runs that ends by a value.
    """

    def __init__(self, model: str, iterations: int | None = None) -> None:
        super().__init__(model)
        self.iterations = iterations
        self._operators: dict[Any, Operator] = {}

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

        touched: dict[Place, dict[object, int]] = {}
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
