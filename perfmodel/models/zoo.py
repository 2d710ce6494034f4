"""Named models and the inputs they are traced with.

Naming a model imports nothing: a spec is plain data plus a builder that imports its library when it
is called. Builders construct on torch's meta device, so no weight is allocated and nothing is
downloaded.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from perfmodel import _installed, cache, sources
from perfmodel._collecting import seldom
from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName, WorkloadFormatError
from perfmodel.models import huggingface_models, torchvision_models
from perfmodel.models.spec import ModelInput, ModelSpec, Run
from perfmodel.tracing.version import TRACER_VERSION

if TYPE_CHECKING:
    import torch

    from perfmodel.workload.parametric import ParametricWorkload
    from perfmodel.workload.workload import Workload


_LISTED: Final = {
    spec.name: spec
    for spec in (
        *(torchvision_models.SPECS[name] for name in torchvision_models.LISTED),
        *huggingface_models.SPECS,
    )
}
_SPECS: Final = {**_LISTED, **torchvision_models.SPECS}

#: The rooms whose code decides what is in a trace.
_ROOMS: Final = ("models", "tracing", "workload", "vocabulary")
#: The argument that is a KV cache, in every model that has one.
CACHE_ARGUMENT: Final = "cache"
#: The models that are compared when none are named: those of the published table.
DEFAULT_MODELS: Final = (
    "resnet50",
    "deeplabv3_resnet50",
    "vit_b_16",
    "vit_l_16",
    "convnext_large",
)


def names() -> tuple[str, ...]:
    """The models that are listed, in the order in which tables show them. Imports no torch.

    :func:`spec` knows all others of torchvision, too.
    """
    return tuple(_LISTED)


def known() -> tuple[str, ...]:
    """The names of all models, listed or not. Imports no torch."""
    return tuple(_SPECS)


def knows(name: str) -> bool:
    """Whether ``name`` is that of a model, listed or not. Imports no torch."""
    return name in _SPECS


def spec(name: str) -> ModelSpec:
    """The model called ``name``: one of :func:`names`, or any other of torchvision.

    Raises :class:`~perfmodel.errors.UnknownName` with the nearest.
    """
    try:
        return _SPECS[name]
    except KeyError:
        raise UnknownName("model", name, _SPECS) from None


def build(
    name: str,
    batch: int = 1,
    *,
    phase: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The module in eval mode and its example inputs, both on the meta device.

    The inputs are tensors; a model with a KV cache takes a list of (keys, values) as its last one.
    Options and errors are those of :meth:`ModelSpec.run`; further raises
    :class:`~perfmodel.errors.UnknownName` for an unknown model, and
    :class:`~perfmodel.errors.PerfmodelError` for a library that is not installed.
    """
    chosen = spec(name)
    return build_run(chosen, chosen.run(batch, phase, tokens, context))


def build_run(chosen: ModelSpec, run: Run) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """The module of ``chosen`` for ``run``, and its example inputs; see :func:`build`."""
    module = chosen.build(run).to("meta").eval()
    import torch

    def example(argument: ModelInput) -> torch.Tensor:
        dtype = getattr(torch, argument.dtype)
        return torch.empty((run.batch, *argument.shape), dtype=dtype, device="meta")

    inputs: tuple[Any, ...] = tuple(map(example, chosen.input_specs(run)))
    cached = [(example(keys), example(values)) for keys, values in chosen.cache(run)]
    return module, (*inputs, cached) if cached else inputs


def workload(
    name: str,
    batch: int = 1,
    *,
    phase: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    refresh: bool = False,
) -> Workload:
    """The traced model at ``batch`` samples, from the disk cache where it holds a current trace.

    A hit imports no torch. An entry that is corrupt, or of other library versions or another
    tracer, is traced anew; ``refresh`` does so in any case.

    Args:
        name: see :func:`names`.
        phase: "prefill" or "decode" of a model that generates; by default its prefill.
        tokens: of each sample, for a model that takes tokens: the prompt, or an encoder's input.
        context: in decode, the length of the KV cache, new token included.

    Raises what :func:`build` and :func:`perfmodel.tracing.tracing.trace` raise.
    """
    from perfmodel.workload.workload import Workload

    chosen = spec(name)
    run = chosen.run(batch, phase, tokens, context)
    key = cache_key(chosen, run)
    if not refresh and (stored := cache.load(key)) is not None:
        try:
            return Workload.from_dict(stored, own=True)
        except WorkloadFormatError:
            pass  # It is our own cache: trace again rather than trouble the user.
    if not refresh and (known := _cached_parametric(chosen, run, ("batch",))) is not None:
        try:
            return known.at(batch=run.batch)
        except UncoveredSize:
            pass  # Its forward differs at this batch.

    traced = trace_run(chosen, run)
    cache.store(key, traced.to_dict())
    return traced


@seldom()
def trace_run(chosen: ModelSpec, run: Run) -> Workload:
    """The trace of ``chosen`` in ``run``, without the disk cache; see :func:`workload`."""
    from perfmodel.tracing.tracing import trace

    module, inputs = build_run(chosen, run)
    state = (CACHE_ARGUMENT,) if chosen.cache(run) else ()
    traced = trace(module, inputs, name=chosen.name, batch=run.batch, state=state)
    if run.phase is None:
        return traced
    return replace(traced, phase=run.phase, tokens=run.tokens, context=run.context)


@seldom()
def parametric(
    name: str,
    dimensions: Sequence[str] = ("batch",),
    *,
    phase: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    refresh: bool = False,
) -> ParametricWorkload:
    """The model traced once for all sizes of ``dimensions``, from the disk cache where possible.

    Args:
        name, phase, tokens, context, refresh: see :func:`workload`; a number is the default size.
        dimensions: "batch", and "tokens" for a model that takes several of each sample.

    Raises:
        UnknownName: a dimension that the model does not have.
        TraceError: a model that does not export with symbolic sizes; :func:`workload` traces it at
            each size.

    Raises further what :func:`workload` raises.
    """
    chosen = spec(name)
    run = chosen.run(1, phase, tokens, context)
    known = ["batch"] + (["tokens"] if run.tokens and run.phase != "decode" else [])
    for dimension in dimensions:
        if dimension not in known:
            raise UnknownName(f"dimension of {name}", dimension, known)
    stored = None if refresh else _cached_parametric(chosen, run, dimensions)
    if stored is not None:
        return stored
    from perfmodel.tracing.symbolic import trace_parametric

    # One sample is a case of its own, and what a trace without dimensions gives.
    single = [workload(name, phase=phase, tokens=tokens, context=context, refresh=refresh)]
    module, inputs = build_run(chosen, run)
    traced = trace_parametric(
        module,
        inputs,
        name=name,
        sizes=_axes(chosen, run, module, dimensions),
        batch="batch" if "batch" in dimensions else 1,
        phase=run.phase,
        tokens=("tokens" if "tokens" in dimensions else run.tokens) if run.phase else 0,
        context=run.context if run.phase else 0,
        state=(CACHE_ARGUMENT,) if chosen.cache(run) else (),
        maximum={"tokens": chosen.longest} if chosen.longest else None,
        known=single,
    )
    cache.store(_parametric_key(chosen, run, dimensions), traced.to_dict())
    return traced


def _axes(
    chosen: ModelSpec, run: Run, module: torch.nn.Module, dimensions: Sequence[str]
) -> dict[str, list[list[str | None]]]:
    """For each argument of the forward and each tensor in it, what its axes are.

    An axis counts tokens if it grows by one with them.
    """
    longer = replace(run, tokens=run.tokens + 1)

    def axes(argument: ModelInput, grown: ModelInput) -> list[str | None]:
        named: list[str | None] = ["batch" if "batch" in dimensions else None]
        for size, other in zip(argument.shape, grown.shape, strict=True):
            named.append("tokens" if "tokens" in dimensions and other == size + 1 else None)
        return named

    pairs = zip(chosen.input_specs(run), chosen.input_specs(longer), strict=True)
    by_position: list[list[list[str | None]]] = [[axes(*pair)] for pair in pairs]
    layers = zip(chosen.cache(run), chosen.cache(longer), strict=True)
    cached = [axes(*pair) for layer, grown in layers for pair in zip(layer, grown, strict=True)]
    if cached:
        by_position.append(cached)
    names = inspect.signature(module.forward).parameters
    return dict(zip(names, by_position, strict=False))


def _cached_parametric(
    chosen: ModelSpec, run: Run, dimensions: Sequence[str]
) -> ParametricWorkload | None:
    from perfmodel.workload.parametric import ParametricWorkload

    stored = cache.load(_parametric_key(chosen, run, dimensions))
    if stored is None:
        return None
    try:
        return ParametricWorkload.from_dict(stored)
    except WorkloadFormatError:
        return None


def _parametric_key(chosen: ModelSpec, run: Run, dimensions: Sequence[str]) -> dict[str, object]:
    from perfmodel.workload import parametric

    return {
        **cache_key(chosen, replace(run, batch=1)),
        "kind": "parametric",
        "dimensions": list(dimensions),
        "parametric_format": parametric.VERSION,
    }


def cache_key(chosen: ModelSpec, run: Run | None = None) -> dict[str, object]:
    """Everything a trace of ``chosen`` depends on; imports neither torch nor its library.

    ``run`` is its default one where that is None.
    """
    from perfmodel.workload import storage

    run = chosen.run() if run is None else run
    return {
        "kind": "workload",
        "name": chosen.name,
        "inputs": [
            [[run.batch, *argument.shape], argument.dtype] for argument in chosen.input_specs(run)
        ],
        "phase": [run.phase, run.tokens, run.context],
        "versions": {
            library: _version(library, chosen.extra) for library in ("torch", chosen.library)
        },
        "tracer": TRACER_VERSION,
        "tracer_source": _source_digest(),
        "formulas": _overrides(),
        "format": storage.VERSION,
    }


def _version(library: str, extra: str) -> str:
    try:
        return _installed.version(library)
    except ModuleNotFoundError:
        raise PerfmodelError(
            f"this needs {library}, which is not installed: pip install 'perfmodel[{extra}]'"
        ) from None


def _overrides() -> dict[str, str]:
    """The formulas that are not perfmodel's own; there are none where nothing has loaded it."""
    formula = sys.modules.get("perfmodel.tracing.formula")
    return formula.overrides() if formula is not None else {}


def _source_digest() -> str:
    """Digest of the sources that a trace goes through: of models, tracing and workloads.

    While the tracer is being changed its version stands still; a trace made by the code of an hour
    ago must not hide the change.
    """
    return sources.digest(*_ROOMS)[:20]
