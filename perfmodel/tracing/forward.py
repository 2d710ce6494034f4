"""One forward of a module on tensors without contents, and what it calls."""

from __future__ import annotations

import functools
import io
import logging
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import Any, Final, TypeVar

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from perfmodel.errors import TraceError
from perfmodel.tracing import inputs, masks
from perfmodel.tracing.program import Program
from perfmodel.tracing.repeating import Unlike, few_passes
from perfmodel.tracing.running import Runner, eager_branches, uncompiled
from perfmodel.tracing.stand_in import StandIns
from perfmodel.tracing.trace_errors import explain
from perfmodel.tracing.values import Values

_Kept = TypeVar("_Kept")


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
    environment = ShapeEnv()
    stand_ins = StandIns(FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True))
    try:
        found = inputs.tensors(module, args, named)
        sized = {
            leaf: inputs.symbolic(stand_ins, found[leaf][0][1], sorted(chosen), environment, leaf)
            for leaf, chosen in (axes or {}).items()
        }
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
    return Program(runner.steps, runner.specs, leaves, sized, runner.values.read, notes)


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
