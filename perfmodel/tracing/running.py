"""Run a forward and note each operator that it calls.

The forward is run as PyTorch runs it eagerly: nothing says to it that it is exported or compiled,
so it takes the branches and makes the copies that it takes and makes on a CPU. Only its tensors
have no contents. What it returns does not matter.

Operators are seen above their decomposition: convolutions, linear layers, norms and attention stay
whole, because the dispatcher is told to skip the keys that decompose them (autograd and what is
with it). Casts that autocast makes are left out: the precision of an estimate says in what a
workload runs.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from perfmodel.tracing import control_flow, masks, shapes
from perfmodel.tracing.control_flow import Body
from perfmodel.tracing.program import Step, TensorSpec
from perfmodel.tracing.stand_in import StandIns
from perfmodel.tracing.trace_errors import VALUES_NEEDED, UnknownSize, here
from perfmodel.tracing.values import Values, tensors_in

_DEVICE: Final = torch.ops.prim.device.default
_LIFTS: Final = (torch.ops.aten.lift_fresh.default, torch.ops.aten.lift_fresh_copy.default)
#: Operators that may put a tensor on another device.
_PLACES: Final = frozenset(
    {
        torch.ops.aten.to, torch.ops.aten._to_copy, torch.ops.aten.zeros, torch.ops.aten.ones,
        torch.ops.aten.full, torch.ops.aten.arange, torch.ops.aten.empty, torch.ops.aten.randn,
    }
)  # fmt: skip
#: Frequent operators that are composed of others and always return a tensor of its own, or (a
#: dropout) what they were given.
_FRESH: Final = frozenset(
    {
        torch.ops.aten.linear, torch.ops.aten.conv1d, torch.ops.aten.conv2d, torch.ops.aten.conv3d,
        torch.ops.aten.matmul, torch.ops.aten.layer_norm, torch.ops.aten.batch_norm,
        torch.ops.aten.group_norm, torch.ops.aten.rms_norm, torch.ops.aten.softmax,
        torch.ops.aten.scaled_dot_product_attention, torch.ops.aten.dropout,
        torch.ops.aten.max_pool2d, torch.ops.aten.adaptive_avg_pool2d,
    }
)  # fmt: skip
_CASTS: Final = frozenset({torch.ops.aten.to, torch.ops.aten._to_copy})
#: More tensors than this in one argument are very many.
_MANY: Final = 64
#: Kinds of tensors whose operators are noted as they are; others say themselves what they call.
_OWN: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, FakeTensor)


class Runner(TorchDispatchMode):  # type: ignore[misc]  # torch is Any to mypy
    """Notes the operators that are called while it is entered."""

    supports_higher_order_operators = True

    def __init__(
        self,
        stand_ins: StandIns,
        values: Values,
        allow_masks: bool = False,
        earlier: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__()
        self._stand_ins = stand_ins
        #: Ids of what a run before returned: a cache may hold some of it.
        self._earlier = earlier
        self._allow_masks = allow_masks
        #: Where masks were read whose values are not known.
        self.masked: list[str] = []
        self.values = values
        self.steps: list[Step] = []
        self.specs: list[TensorSpec] = []
        self._declared: set[int] = set()
        self._path: list[dict[str, tuple[str, str]]] = [{}]
        self._constants = 0
        #: What autocast made, and of what.
        self._casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._autocast = 0

    # Tensors that were there before

    def declare(self, value: torch.Tensor, kind: InputKind, name: str) -> None:
        """Say what a tensor is that was there before."""
        for part in _plain(value):
            own = name if kind is InputKind.USER_INPUT else ""
            self.steps.append(Step(name=own, op="placeholder", meta={"val": part}))
            self.specs.append(TensorSpec(kind, name))
        self._declared.add(id(value))

    def knows(self, value: torch.Tensor) -> bool:
        """Whether it has been said what ``value`` is."""
        return id(value) in self._declared

    def constant(self, tensor: torch.Tensor) -> torch.Tensor:
        """The stand-in of a tensor that the forward has from elsewhere, or makes of numbers."""
        made = self._stand_ins.of(tensor)
        if id(made) not in self._declared:
            self.declare(made, InputKind.CONSTANT_TENSOR, f"lifted_tensor_{self._constants}")
            self._constants += 1
            self.values.constant(tensor, made)
        return made

    # Modules

    @contextmanager
    def modules(self, root: torch.nn.Module) -> Iterator[None]:
        """Know which module calls, by its path in ``root``."""
        paths: dict[int, dict[str, tuple[str, str]]] = {}
        for path, part in root.named_modules():
            paths[id(part)] = {path: (path, type(part).__name__)}
        original = torch.nn.Module.__call__

        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            self._path.append(paths.get(id(module), self._path[-1]))
            try:
                return original(module, *args, **kwargs)
            finally:
                self._path.pop()

        torch.nn.Module.__call__ = call
        try:
            yield
        finally:
            torch.nn.Module.__call__ = original

    # Operators

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """The result of ``func``, of which a step is made."""
        if func is _DEVICE:
            return args[0].device if not isinstance(args[0], FakeTensor) else args[0].fake_device
        if any(kind not in _OWN for kind in types):
            return NotImplemented
        kwargs = kwargs or {}
        if func in _LIFTS and not isinstance(args[0], FakeTensor):
            return self.constant(args[0])
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._higher_order(func, args, kwargs)
        args, kwargs = pytree.tree_map_only(torch.Tensor, self._known, (args, kwargs))
        if self._autocast and func.overloadpacket in _CASTS and args[0].is_floating_point():
            # The tensor itself, as far as is recorded.
            result = func(*args, **kwargs)
            self._casts[id(result)] = (result, self._uncast(args[0]))
            return result
        result = self.values.call(func, args, kwargs)
        if result is NotImplemented:
            try:
                result = shapes.result(func, args, kwargs)
                if result is NotImplemented and self._allow_masks:
                    result = self._all_selected(func, args)
                if result is NotImplemented:
                    fresh = _may_be_view(func) or _is_long(args)
                    with self._stand_ins.remembering(not fresh):
                        result = func(*args, **kwargs)
                check_sizes(func, result)
            except VALUES_NEEDED as error:
                return self._parts(func, args, kwargs, error)
            self.values.note(func, args, kwargs, result)
        _check(func, args, result, self.values)
        self._step(func, args, kwargs, result)
        return result

    def _all_selected(self, func: Any, args: tuple[Any, ...]) -> Any:
        """What reading by a mask returns if it selects everything, its place being noted."""
        result = masks.everything(func, args)
        if result is not NotImplemented:
            self.masked.append(here())
        return result

    def _parts(self, func: Any, args: Any, kwargs: Any, error: Exception) -> Any:
        """What ``func`` returns if the values that it needs are known to one of its parts."""
        before = len(self.steps), len(self.specs)
        with self:
            try:
                result = func.decompose(*args, **kwargs)
            except VALUES_NEEDED:
                result = NotImplemented
        if result is NotImplemented:
            del self.steps[before[0] :], self.specs[before[1] :]
            raise error
        return result

    def _known(self, tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, FakeTensor) and id(tensor) not in self._earlier:
            return tensor
        return self.constant(tensor)

    def _uncast(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._casts.get(id(tensor), (tensor, tensor))[1]

    @contextmanager
    def casts(self) -> Iterator[None]:
        """Know where autocast is on: what is called does not see it."""
        kind = torch.amp.autocast_mode.autocast
        enter, leave = kind.__enter__, kind.__exit__

        def entered(context: Any) -> Any:
            self._autocast += context._enabled and context.device == "cpu"
            return enter(context)

        def left(context: Any, *error: Any) -> Any:
            self._autocast -= context._enabled and context.device == "cpu"
            return leave(context, *error)

        kind.__enter__, kind.__exit__ = entered, left
        try:
            yield
        finally:
            kind.__enter__, kind.__exit__ = enter, leave

    def _step(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if self._casts:
            args, kwargs = pytree.tree_map_only(torch.Tensor, self._uncast, (args, kwargs))
        meta = {"val": result, "nn_module_stack": self._path[-1]}
        self.steps.append(Step(target=func, args=args, kwargs=kwargs, meta=meta))

    # Operators that take functions

    def _higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        run = control_flow.RUNS.get(func.__name__)
        if run is not None:
            result = run(self, func, args, kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        self._step(func, args, kwargs, result)
        return result

    def body(self, function: Any, *args: Any) -> Body:
        """What one call of ``function`` runs, as a body that can be repeated."""
        before = len(self.steps)
        with self:
            returned = function(*args)
        steps = self.steps[before:]
        del self.steps[before:]
        self.steps.extend(step for step in steps if step.op == "placeholder")
        return Body([step for step in steps if step.op != "placeholder"], returned)

    def call(self, function: Any, *args: Any) -> Any:
        """What ``function`` returns, all that it runs being noted."""
        with self:
            return function(*args)

    def results(self) -> frozenset[int]:
        """Ids of the tensors that operators returned."""
        return frozenset(
            id(value)
            for step in self.steps
            if step.op == "call_function"
            for value in tensors_in((step.meta["val"],), {})
        )

    def step(self, func: Any, args: Any, result: Any) -> None:
        """Note that ``func`` was called."""
        self._step(func, args, {}, result)


@functools.cache
def _may_be_view(func: Any) -> bool:
    """Whether ``func`` may return a view of an argument without its schema saying so.

    So may what is composed of others, such as an einsum that only permutes.
    """
    if func.overloadpacket in _FRESH or any(r.alias_info for r in func._schema.returns):
        return False
    composed = torch._C.DispatchKey.CompositeImplicitAutograd
    return bool(func.has_kernel_for_dispatch_key(composed))


def _check(func: Any, args: tuple[Any, ...], result: Any, values: Values) -> None:
    """Raise where a CPU would fail, and tensors without contents do not."""
    if func.overloadpacket in _PLACES:
        for value in tensors_in((result,), {}):
            if value.device.type not in ("cpu", "meta"):
                raise RuntimeError(f"{value.device} is not available")
    if func is torch.ops.aten.embedding.default:
        rows, largest = args[0].shape[0], values.largest(args[1])
        if largest is not None and isinstance(rows, int) and largest >= rows:
            raise IndexError(f"index {largest} into an embedding of {rows} rows")


def _is_long(args: tuple[Any, ...]) -> bool:
    """Whether an argument holds very many tensors: looking for a result takes longer then."""
    return any(isinstance(value, list) and len(value) > _MANY for value in args)


def check_sizes(func: Any, result: Any) -> None:
    """Raise UnknownSize if ``func`` returned a tensor of a size that depends on values."""
    for value in tensors_in((result,), {}):
        if any(isinstance(s, torch.SymInt) and free_unbacked_symbols(s) for s in value.shape):
            raise UnknownSize(func)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what is compiled as the functions it was compiled from."""
    original = torch.compile

    def compiled(model: Any = None, **_: Any) -> Any:
        return model if model is not None else lambda function: function

    def anything(operands: Any) -> None:
        """Let branches take dicts and lists: what is compiled has them flattened before."""

    cond: Any = sys.modules[type(torch.ops.higher_order.cond).__module__]
    validate = cond.validate_subgraph_args_types
    cond.validate_subgraph_args_types = anything
    torch.compile = compiled
    loaded = "torch._dynamo" in sys.modules
    stance = torch.compiler.set_stance("force_eager") if loaded else nullcontext()
    try:
        with stance:
            yield
    finally:
        torch.compile = original
        cond.validate_subgraph_args_types = validate


@contextmanager
def eager_branches(values: Values) -> Iterator[None]:
    """Let transformers take a mask whose values are known for what it is, not for a traced one."""
    place = sys.modules.get("transformers.utils.import_utils")
    original = getattr(place, "is_fake_tensor", None)
    if original is None:
        yield
        return

    def is_fake_tensor(value: Any) -> bool:
        return bool(original(value)) and values.of(value) is None

    place.is_fake_tensor = is_fake_tensor  # type: ignore[union-attr]
    try:
        yield
    finally:
        place.is_fake_tensor = original  # type: ignore[union-attr]


def _plain(value: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors that a tensor consists of: itself, or those of a subclass that wraps some."""
    if hasattr(value, "__tensor_flatten__") and not isinstance(value, FakeTensor):
        for name in value.__tensor_flatten__()[0]:
            yield from _plain(getattr(value, name))
    else:
        yield value
