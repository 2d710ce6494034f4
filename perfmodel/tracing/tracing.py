"""Tracing: a PyTorch module and example inputs go in, a Workload comes out.

The forward runs eagerly on tensors without contents: nothing is computed and no weight is
allocated. Operators are not decomposed, so convolutions, linear layers, norms and attention stay
whole, each one kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

import torch

from perfmodel.errors import TraceError
from perfmodel.tracing.arguments import arguments, batch_of, state_leaves
from perfmodel.tracing.forward import run
from perfmodel.tracing.program import Program
from perfmodel.tracing.recording import Recording, record
from perfmodel.tracing.version import TRACER_VERSION
from perfmodel.vocabulary import families
from perfmodel.workload.workload import InputSpec, Workload


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
