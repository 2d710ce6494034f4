"""Tracing: a PyTorch module and example inputs go in, a Workload comes out.

The forward is exported by ``torch.export`` on tensors without contents: nothing is computed and no
weight is allocated. The program is not decomposed, so convolutions, linear layers, norms and
attention stay whole, each one kernel.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import Any, Final

import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.workload.recording import record
from perfmodel.workload.stand_in import StandIns
from perfmodel.workload.trace_errors import explain
from perfmodel.workload.version import TRACER_VERSION
from perfmodel.workload.workload import InputSpec, Workload

#: What an argument may be beside tensors, and lists, tuples and dicts of them.
_PLAIN: Final = (bool, int, float, complex, str, type(None), torch.dtype, torch.device)

#: Warnings of torch.export that say nothing to the user of a trace.
_EXPECTED_WARNINGS: Final = (
    # Recurrent layers, and caches of masks, set attributes while they run; all are put back.
    r"(?s).*assigned during export.*",
)
#: Where torch.export tells of a failure that is reported as a TraceError.
_NOISY_LOGGERS: Final = (
    "torch._subclasses.fake_tensor",
    "torch.export._trace",
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
) -> Workload:
    """What one forward of ``module`` asks for, in eval mode, at the shapes of the example inputs.

    Only shapes and types of the inputs count; they and the module may be on any device, meta
    included. The module is left as it was.

    Args:
        module: any module whose forward does not depend on the values of tensors.
        example_inputs: a tensor, or a tuple or list of positional arguments.
        kwargs: keyword arguments of the forward.
        name: of the workload; the module's class name by default.
        batch: samples in the inputs; by default the first dimension of the first tensor.
        allow_unmodelled: charge operators without a formula for their bytes only, and list them in
            :attr:`Workload.unmodelled`, instead of raising.

    A multiply-accumulate counts as 2 FLOPs.

    Raises:
        TraceError: the forward fails or depends on values, or an argument is of the wrong type.
        UnmodelledOperator: operators without a formula, all of them named.
    """
    if not isinstance(module, torch.nn.Module):
        raise TraceError(
            f"expected a torch.nn.Module to trace, not {_type(module)}; for a saved workload use "
            "perfmodel.load_workload"
        )
    name = type(module).__name__ if name is None else name
    if isinstance(module, torch.jit.ScriptModule):
        raise TraceError(f"{name}: is compiled TorchScript; pass the original nn.Module instead")
    args, named = _arguments(name, example_inputs, kwargs)
    batch = _batch(name, batch, [*args, *named.values()])

    stand_ins = StandIns()
    try:
        with stand_ins.inside(module), _export_settings():
            program = torch.export.export(
                module, stand_ins.within(args), stand_ins.within(named), strict=False
            )
    except Exception as error:
        raise TraceError(f"{name}: {explain(error, module)}") from error
    recording = record(program, name, allow_unmodelled=allow_unmodelled)
    return Workload(
        name=name,
        batch=batch,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        inputs=_inputs(program),
        tensors=recording.tensors,
        kernels=recording.kernels,
        accesses=recording.accesses,
        provenance=_provenance(),
        unmodelled=recording.unmodelled,
    )


def _arguments(
    name: str, example_inputs: Any, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
    for place, leaf in pytree.tree_flatten_with_path((args, named))[0]:
        if not isinstance(leaf, (torch.Tensor, *_PLAIN)):
            way_out = "torch.from_numpy(...)" if hasattr(leaf, "__array__") else "a torch.Tensor"
            where = "kwargs" if place[0].idx else "example inputs"
            where += "".join(str(key) for key in place[1:])
            raise TraceError(f"{name}: {where} is {_type(leaf)}; pass {way_out}")
    return args, named


def _batch(name: str, batch: int | None, arguments: list[Any]) -> int:
    if batch is None:
        tensors = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]
        if not tensors:
            raise TraceError(f"{name}: no tensor among the inputs tells the batch; pass batch=")
        batch = tensors[0].shape[0] if tensors[0].ndim else 1
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise TraceError(f"{name}: batch must be a whole number of at least 1, not {batch!r}")
    return batch


@contextmanager
def _export_settings() -> Iterator[None]:
    """No fused inference path of MultiheadAttention, and not a word from torch.export itself.

    When a forward fails, torch.export logs tracebacks and prints the graph it has so far; the
    TraceError says it in one line. What a successful forward writes to stderr is passed on.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    levels = {logger: logger.level for logger in map(logging.getLogger, _NOISY_LOGGERS)}
    stderr = io.StringIO()
    torch.backends.mha.set_fastpath_enabled(False)
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), redirect_stderr(stderr):
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
        sys.stderr.write(stderr.getvalue())
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for logger, level in levels.items():
            logger.setLevel(level)


def _inputs(program: torch.export.ExportedProgram) -> tuple[InputSpec, ...]:
    values = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"
    }
    return tuple(
        InputSpec(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name in program.graph_signature.user_inputs
        if isinstance(name, str) and isinstance(value := values.get(name), torch.Tensor)
    )


def _provenance() -> dict[str, str]:
    versions = {"tracer": str(TRACER_VERSION), "torch": str(torch.__version__)}
    if "torchvision" in sys.modules:
        versions["torchvision"] = str(sys.modules["torchvision"].__version__)
    return versions


def _type(value: object) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
