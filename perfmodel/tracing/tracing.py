"""Tracing: a PyTorch module and example inputs go in, a Workload comes out.

The forward runs eagerly on tensors without contents: nothing is computed and no weight is
allocated. Operators are not decomposed, so convolutions, linear layers, norms and attention stay
whole, each one kernel.
"""

from __future__ import annotations

import functools
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import Any, Final, TypeVar

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.tracing import inputs, masks, placeholders
from perfmodel.tracing.program import Program
from perfmodel.tracing.recording import Recording, record
from perfmodel.tracing.repeating import Unlike, few_passes
from perfmodel.tracing.running import Runner, eager_branches, uncompiled
from perfmodel.tracing.stand_in import StandIns, check
from perfmodel.tracing.trace_errors import explain
from perfmodel.tracing.values import Values
from perfmodel.tracing.version import TRACER_VERSION
from perfmodel.vocabulary import families
from perfmodel.workload.workload import InputSpec, Workload

_Kept = TypeVar("_Kept")

#: What an argument may be beside tensors, and lists, tuples and dicts of them.
_PLAIN: Final = (bool, int, float, complex, str, type(None), torch.dtype, torch.device)

#: Warnings of PyTorch that say nothing to the user of a trace.
_EXPECTED_WARNINGS: Final = (
    # Recurrent layers, and caches of masks, set attributes while they run; all are put back.
    r"(?s).*assigned during export.*",
)
#: Where PyTorch tells of a failure that is reported as a TraceError.
_NOISY_LOGGERS: Final = (
    "torch._subclasses.fake_tensor",
    "torch.fx.experimental.symbolic_shapes",
)


def trace(
    module: torch.nn.Module,
    example_inputs: Any = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    batch: int | None = None,
    allow_unmodelled: bool = False,
    allow_masks: bool = False,
    state: Collection[str] = (),
) -> Workload:
    """What one forward of ``module`` asks for, in eval mode, at the shapes of the example inputs.

    Shapes and types of the inputs count, and values of small integers (docs/tracing.md); they and
    the module may be on any device, meta included. The module and the inputs are left as they were,
    and what the forward returns does not matter.

    Args:
        module: any module whose forward does not depend on the values of other tensors.
        example_inputs: a tensor, or a tuple or list of positional arguments of any type.
        kwargs: keyword arguments of the forward.
        name: of the workload; the module's class name by default.
        batch: samples in the inputs; by default the first dimension of the first tensor.
        allow_unmodelled: charge operators without a formula for their bytes only, and list them in
            :attr:`Workload.unmodelled`, instead of raising.
        allow_masks: where a mask of unknown values selects elements (``x[mask]``), take all of
            them, an upper bound, and say so in the workload, instead of raising.
        state: names of arguments of the forward whose tensors outlive the run, such as a KV cache;
            the module updates them in place.

    A multiply-accumulate counts as 2 FLOPs.

    Raises:
        TraceError: the forward fails or depends on values, an argument is of the wrong type, or one
            named in ``state`` is not passed.
        UnmodelledOperator: operators without a formula, all of them named.
    """
    name, args, named = arguments(module, example_inputs, kwargs, name)
    batch = batch_of(name, batch, [args, named])
    persistent = state_leaves(name, module, args, named, state)

    program = run(name, module, args, named, allow_masks=allow_masks)
    return assemble(
        program, name, module, batch=batch, allow_unmodelled=allow_unmodelled, state=persistent
    )


def run(
    name: str,
    module: torch.nn.Module,
    args: tuple[Any, ...],
    named: dict[str, Any],
    axes: Mapping[int, Collection[int]] | None = None,
    *,
    allow_masks: bool = False,
    unrolled: bool = False,
) -> Program:
    """What one forward calls; ``axes`` of leaves (by position) have symbols for sizes.

    ``unrolled``: all passes of long loops are run, too.
    Raises :class:`~perfmodel.errors.TraceError` if the forward fails or depends on values.
    """
    environment = ShapeEnv(tracked_fakes=[])
    stand_ins = StandIns(FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True))
    try:
        found = inputs.tensors(module, args, named)
        for leaf, chosen in (axes or {}).items():
            inputs.symbolic(stand_ins, found[leaf][0][1], sorted(chosen), environment, leaf)
        if axes:
            for leaf, tensors in enumerate(found):
                for _, tensor in tensors:
                    inputs.track(environment, stand_ins.of(tensor), leaf)
        with _settings(), stand_ins.inside(module) as walk:
            before, sizes = walk.tensors(), walk.remembered()
            once = functools.partial(
                _run_once,
                stand_ins,
                module,
                args,
                named,
                found,
                allow_masks=allow_masks,
                unrolled=unrolled or bool(axes),
            )
            runner = once()
            kept, grown = walk.tensors(), walk.remembered()
            if kept.keys() - before.keys() or grown != sizes:
                # The module, or a cache of its functions, keeps tensors for the next run. If that
                # run finds all that it needs, it is the one that counts; else each run is like the
                # first.
                again = once(kept.values(), runner.results())
                if (walk.tensors().keys(), walk.remembered()) == (kept.keys(), grown):
                    runner = again
    except Unlike:
        return run(name, module, args, named, axes, allow_masks=allow_masks, unrolled=True)
    except Exception as error:
        raise TraceError(f"{name}: {explain(error, module)}") from error
    leaves = [tuple(path for path, _ in tensors) for tensors in found]
    notes = (masks.note(runner.masked),) if runner.masked else ()
    return Program(runner.steps, runner.specs, leaves, runner.values.read, notes)


def returned(
    name: str, module: torch.nn.Module, named: dict[str, Any], keep: Callable[..., _Kept]
) -> _Kept:
    """What ``keep`` takes of a forward, which it is called with: its arguments, what it returned.

    The tensors that it sees have no contents, and the arguments are as they were afterwards.
    Raises :class:`~perfmodel.errors.TraceError` as :func:`run` does.
    """
    stand_ins = StandIns(FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True))
    found: list[_Kept] = []

    def forward(**own: Any) -> None:
        found.append(keep(own, module(**own)))

    try:
        with _settings(), stand_ins.inside(module):
            tensors = inputs.tensors(module, (), named)
            _run_once(stand_ins, module, (), named, tensors, unrolled=False, forward=forward)
    except Exception as error:
        raise TraceError(f"{name}: {explain(error, module)}") from error
    return found[0]


def _run_once(
    stand_ins: StandIns,
    module: torch.nn.Module,
    args: tuple[Any, ...],
    named: dict[str, Any],
    found: list[list[tuple[str, torch.Tensor]]],
    kept: Iterable[torch.Tensor] = (),
    earlier: frozenset[int] = frozenset(),
    *,
    unrolled: bool,
    allow_masks: bool = False,
    forward: Callable[..., object] | None = None,
) -> Runner:
    """What one forward calls of a module that holds stand-ins.

    ``kept``: what it keeps from a run before, whose results have the ids ``earlier``.
    ``forward`` is what is called instead of the module itself.
    """
    values = Values(stand_ins)
    runner = Runner(stand_ins, values, allow_masks, earlier)
    with stand_ins.inside(args, named) as walk:
        _declare_weights(runner, stand_ins, values, module)
        for tensors in found:
            for path, tensor in tensors:
                made = stand_ins.of(tensor)
                runner.declare(made, InputKind.USER_INPUT, path)
                values.keep(tensor, made, path)
        for tensor in kept:
            runner.constant(tensor)
        own_args, own_named = walk.roots
        with (
            stand_ins.mode,
            torch._C._AutoDispatchBelowAutograd(),
            eager_branches(values),
            uncompiled(),
            runner.modules(module),
            runner.casts(),
            nullcontext() if unrolled else few_passes(runner, module),
            runner,
        ):
            (forward or module)(*own_args, **own_named)
    return runner


def _declare_weights(
    runner: Runner, stand_ins: StandIns, values: Values, module: torch.nn.Module
) -> None:
    """Say which stand-ins are parameters, buffers and attributes, by their path in ``module``."""
    for path, made in module.named_parameters():
        runner.declare(made, InputKind.PARAMETER, path)
    for path, made in module.named_buffers():
        runner.declare(made, InputKind.BUFFER, path)
        values.keep(stand_ins.original(made), made, path)
    for prefix, part in module.named_modules():
        for path, made in inputs.attributes(part):
            if not runner.knows(made):
                whole = f"{prefix}.{path}" if prefix else path
                runner.declare(made, InputKind.CONSTANT_TENSOR, whole)
                values.keep(stand_ins.original(made), made, whole)


def assemble(
    program: Program,
    name: str,
    module: torch.nn.Module,
    *,
    batch: int,
    allow_unmodelled: bool,
    state: Collection[int],
    symbolic: bool = False,
) -> Workload:
    """The workload of a ``module`` that was run; ``state`` are leaves of its arguments by position.

    ``symbolic``: sizes are kept as the symbols they are, in arrays of objects.
    """
    recording = record(
        program,
        name,
        allow_unmodelled=allow_unmodelled,
        state=frozenset(path for leaf in state for path in program.leaves[leaf]),
        symbolic=symbolic,
        iterations=_iterations(name, module),
    )
    return Workload(
        name=name,
        batch=batch,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        inputs=input_specs(program),
        tensors=recording.tensors,
        kernels=recording.kernels,
        accesses=recording.accesses,
        provenance={
            **provenance(),
            **_boundary(module),
            **_values(program),
            **assumptions(recording, (*program.notes, *_window(module, recording))),
        },
        unmodelled=recording.unmodelled,
    )


def arguments(
    module: torch.nn.Module,
    example_inputs: Any,
    kwargs: Mapping[str, Any] | None,
    name: str | None,
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """What the trace is called, and the arguments of the forward by position and by name.

    Raises :class:`~perfmodel.errors.TraceError` for what cannot be traced, or passed.
    """
    if not isinstance(module, torch.nn.Module):
        raise TraceError(
            f"expected a torch.nn.Module to trace, not {_type(module)}; for a saved workload use "
            "perfmodel.load_workload"
        )
    name = type(module).__name__ if name is None else name
    if isinstance(module, torch.jit.ScriptModule):
        raise TraceError(f"{name}: is compiled TorchScript; pass the original nn.Module instead")
    packed = [path for path, part in module.named_modules() if _is_packed(part)]
    if packed:
        raise TraceError(
            f"{name}: {packed[0] or 'it'} is a quantised module, whose weights are packed in an "
            "object without tensors; trace the float model and choose --precision int8 (or w8)"
        )
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, tuple | list):
        hint = "pass keyword arguments as kwargs=" if isinstance(example_inputs, Mapping) else ""
        raise TraceError(
            f"{name}: example inputs must be a tensor, or a tuple or list of arguments, not "
            f"{_type(example_inputs)}" + (f"; {hint}" if hint else "")
        )
    if kwargs is not None and not (
        isinstance(kwargs, Mapping) and all(isinstance(key, str) for key in kwargs)
    ):
        raise TraceError(f"{name}: kwargs must be a dict of argument names, not {_type(kwargs)}")
    args, named = tuple(example_inputs), dict(kwargs or {})
    try:
        for tensor in inputs.inside([args, named]):
            check(tensor)
    except TraceError as error:
        raise TraceError(f"{name}: {error}") from None
    placeholders.check(name, module, args, named)
    for place, leaf in pytree.tree_flatten_with_path((args, named))[0]:
        if isinstance(leaf, np.ndarray | set | frozenset) or type(leaf) is object:
            way_out = "torch.from_numpy(...)" if hasattr(leaf, "__array__") else "a torch.Tensor"
            where = "kwargs" if place[0].idx else "example inputs"
            where += "".join(str(key) for key in place[1:])
            raise TraceError(f"{name}: {where} is {_type(leaf)}; pass {way_out}")
    return name, args, named


def state_leaves(
    name: str,
    module: torch.nn.Module,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    state: Collection[str],
) -> list[int]:
    """Positions, among all leaves of the arguments, of those that belong to ``state``."""
    if not state:
        return []
    positional = list(inspect.signature(module.forward).parameters)
    found: dict[str, list[int]] = {argument: [] for argument in state}
    for leaf, (place, _) in enumerate(pytree.tree_flatten_with_path((args, named))[0]):
        argument = place[1].key if place[0].idx else positional[place[1].idx]
        if argument in found:
            found[argument].append(leaf)
    missing = sorted(argument for argument, leaves in found.items() if not leaves)
    if missing:
        raise TraceError(
            f"{name}: state {', '.join(missing)} is not among the arguments passed, which are "
            f"{', '.join([*positional[: len(args)], *named]) or 'none'}"
        )
    return [leaf for leaves in found.values() for leaf in leaves]


def batch_of(name: str, batch: int | None, arguments: list[Any]) -> int:
    """``batch``, or the first dimension of the first tensor; TraceError if that says nothing."""
    if batch is None:
        tensors = list(inputs.inside(arguments))
        if not tensors:
            raise TraceError(f"{name}: no tensor among the inputs tells the batch; pass batch=")
        batch = tensors[0].shape[0] if tensors[0].ndim else 1
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise TraceError(f"{name}: batch must be a whole number of at least 1, not {batch!r}")
    return batch


@contextmanager
def _settings() -> Iterator[None]:
    """No fused inference path of MultiheadAttention, and not a word from the machinery.

    When a forward fails, PyTorch logs tracebacks; the TraceError says it in one line. What a
    successful forward writes to stderr is passed on.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    levels = {logger: logger.level for logger in map(logging.getLogger, _NOISY_LOGGERS)}
    stderr = io.StringIO()
    torch.backends.mha.set_fastpath_enabled(False)
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), redirect_stderr(stderr), _one_convolution():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
        sys.stderr.write(stderr.getvalue())
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def _one_convolution() -> Iterator[None]:
    """Leave the libraries of convolutions out of sight.

    Which of them PyTorch would take depends on the batch, and what a convolution returns does not.
    """
    enabled = torch._C._get_mkldnn_enabled()
    # Not mkldnn.flags(), which sets precisions, too, and warns of it.
    torch._C._set_mkldnn_enabled(False)
    try:
        with torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def input_specs(program: torch.export.ExportedProgram) -> tuple[InputSpec, ...]:
    """The tensors that the user passes to ``program``."""
    values = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    return tuple(
        InputSpec(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name in program.graph_signature.user_inputs
        if isinstance(name, str) and isinstance(value := values.get(name), torch.Tensor)
    )


def _values(program: Program) -> dict[str, str]:
    """The values that decided a branch, a number or a size."""
    if not program.read:
        return {}
    return {"values": "; ".join(f"{name} = {text}" for name, text in sorted(program.read.items()))}


def _boundary(module: torch.nn.Module) -> dict[str, str]:
    """What a module that stands for a part of a model says of the rest (docs/tracing.md)."""
    said = getattr(module, "perfmodel_boundary", None)
    return {"boundary": said} if isinstance(said, str) else {}


def _iterations(name: str, module: torch.nn.Module) -> int | None:
    """How often a loop runs that ends by a value, as the module says of itself."""
    said = getattr(module, "perfmodel_iterations", None)
    if said is not None and (isinstance(said, bool) or not isinstance(said, int) or said < 0):
        raise TraceError(f"{name}: perfmodel_iterations must be a whole number, not {said!r}")
    return said


def _is_packed(part: torch.nn.Module) -> bool:
    """Whether ``part`` is of PyTorch's modules that run quantised operators.

    Beside them are those that a model holds to be quantised later, and that run on floats.
    """
    if type(part).__name__ in ("FloatFunctional", "FXFloatFunctional"):
        return False
    place = type(part).__module__
    return place.startswith(("torch.ao.nn", "torch.nn")) and "quantized" in place.split(".")


def _window(module: torch.nn.Module, recording: Recording) -> tuple[str, ...]:
    """What is to be said of attention that looks at the last tokens only."""
    attention = recording.kernels.family == families.CODE[families.ATTENTION]
    keys = recording.kernels.gemm[attention, 2].tolist()
    windows = [getattr(part, "sliding_window", None) for part in module.modules()]
    own = {w for w in windows if isinstance(w, int) and not isinstance(w, bool) and w > 0}
    if not own or not any(isinstance(key, int) and key > min(own) for key in keys):
        return ()
    listed = ", ".join(str(window) for window in sorted(own))
    return (
        f"attention with a window of {listed} tokens is charged all scores, as PyTorch runs it",
    )


def assumptions(recording: Recording, more: tuple[str, ...] = ()) -> dict[str, str]:
    """What the formulas assumed where shapes do not say everything, and what else is to be said."""
    notes = (*recording.notes, *more)
    return {"assumptions": "; ".join(notes)} if notes else {}


def provenance() -> dict[str, str]:
    """Versions that a trace made now depends on."""
    versions = {"tracer": str(TRACER_VERSION), "torch": str(torch.__version__)}
    for library in ("torchvision", "transformers"):
        if library in sys.modules:
            versions[library] = str(sys.modules[library].__version__)
    return versions


def _type(value: object) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
