"""What may be guarded: a module, a factory, a name, a file or a workload; and its traced workload.

A module's trace is kept in the disk cache under a digest of its code and shapes
(:mod:`perfmodel.guard.fingerprint`), the tracer and the version of torch. A module whose changes
could not be seen is traced every time.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from perfmodel import cache, sources
from perfmodel.errors import PerfmodelError, WorkloadFormatError
from perfmodel.guard.documents import digest
from perfmodel.tracing.version import TRACER_VERSION
from perfmodel.workload import storage
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.scenario import Scenario

#: Methods that fill a tensor with random numbers.
_RANDOM: Final = ("normal_", "uniform_", "bernoulli_", "exponential_", "random_")
#: The log of torch that heeds its own level only.
_TRACE_LOG: Final = "torch.__trace"
_EXPECTED: Final = (
    "a torch.nn.Module with inputs=, a factory that returns (module, inputs), a name, a path, or a "
    "workload"
)


@dataclass(frozen=True)
class Subject:
    """A model to guard.

    Attributes:
        name: what its snapshot and the report call it.
        workload: its trace.
        module: digest of what was traced; None where only the trace is known.
        tracer: what traced it; empty where only the trace's own provenance says it.
        cached: whether the trace came from the disk cache.
        opaque: why its trace is not kept; empty where it is.
    """

    name: str
    workload: Workload
    module: str | None = None
    tracer: str = ""
    cached: bool = False
    opaque: str = ""


def subject(
    model: object,
    scenario: Scenario,
    *,
    inputs: object = None,
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Subject:
    """Return the model that ``model`` stands for, traced.

    Args:
        model: a :class:`torch.nn.Module` (with ``inputs``), a function that returns (module,
            inputs) or (module, args, kwargs), a :class:`~perfmodel.workload.workload.Workload`, or
            whatever ``perfmodel compare`` takes: a name, a path, FILE.py:FUNCTION.
        scenario: its batch, phase, tokens and context choose a run of a named model.
        inputs, kwargs: example inputs of a module.
        name: of the model; by default its own, its function's or its class's.

    Raises:
        PerfmodelError: what cannot be found, made or traced.
    """
    if isinstance(model, str | os.PathLike | Workload):
        if inputs is not None or kwargs is not None:
            raise PerfmodelError("inputs belong to a module; this model has its own")
        return _named(model, scenario, name)
    if not callable(model):
        raise PerfmodelError(f"cannot guard {_kind(model)}: expected {_EXPECTED}")
    if _is_module(model):
        if inputs is None and kwargs is None:
            raise PerfmodelError(
                f"{type(model).__name__}: a module needs example inputs: pass inputs=(...), or a "
                "factory that returns (module, inputs)"
            )
        made = (model, () if inputs is None else inputs, kwargs)
        return _traced(name or type(model).__name__, made, scenario)
    if inputs is not None or kwargs is not None:
        raise PerfmodelError("inputs belong to a module; this factory returns its own")
    label = name or str(getattr(model, "__name__", type(model).__name__))
    return _traced(label, _made(label, model, scenario), scenario)


def _named(model: Any, scenario: Scenario, name: str | None) -> Subject:
    from perfmodel.models import own
    from perfmodel.resolve import resolve_model

    sized = (scenario.phase, scenario.tokens, scenario.context) != (None, None, None)
    if isinstance(model, str) and own.is_factory(model) and not sized:
        label, function = own.named_function(model)
        label = name or label.replace(":", ".")
        return _traced(label, _made(label, function, scenario), scenario)
    source = resolve_model(model, scenario)
    with _quiet():
        workload = source.workload(scenario.batch)
    label = name or source.name.replace(":", ".")
    if isinstance(model, str) and source.fixed_batch is None and _zoo_knows(model):
        run = [model, workload.batch, workload.phase, workload.tokens, workload.context]
        libraries = {k: v for k, v in workload.provenance.items() if k not in ("tracer", "torch")}
        code = digest([run, libraries, sources_digest("models")])
        return Subject(label, workload, code, _tracer(workload.provenance))
    return Subject(label, workload)


def _zoo_knows(name: str) -> bool:
    from perfmodel.models import zoo

    return zoo.knows(name)


def _is_module(model: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _made(label: str, factory: Callable[..., Any], scenario: Scenario) -> tuple[Any, Any, Any]:
    """What a factory returns, checked; with its own errors left as they are for pytest to show."""
    import inspect

    try:
        takes_batch = "batch" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        takes_batch = False
    if scenario.batch is not None and not takes_batch:
        raise PerfmodelError(f"{label}: takes no batch, so its inputs choose it; leave batch= out")
    with _no_values_of_meta_tensors():
        made = factory(batch=scenario.batch or 1) if takes_batch else factory()
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not _is_module(made[0]):
        found = f"a tuple of {len(made)}" if isinstance(made, tuple) else _kind(made)
        raise PerfmodelError(
            f"{label}: returned {found}; it must return (module, example_inputs) or (module, args, "
            "kwargs)"
        )
    return made if len(made) == 3 else (*made, None)


def _no_values_of_meta_tensors() -> AbstractContextManager[object]:
    """Without the initialisation of weights that have no storage.

    It changes nothing, but torch comes to it by a way that imports its whole compiler.
    """
    if "torch" not in sys.modules:
        return nullcontext()
    import torch
    from torch.overrides import TorchFunctionMode

    methods = {getattr(torch.Tensor, name) for name in _RANDOM}
    functions = {f for name, f in vars(torch.nn.init).items() if name.endswith("_") and callable(f)}

    class WithoutValues(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in methods or func in functions:
                tensor = args[0] if args else (kwargs or {}).get("tensor")
                if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                    return tensor
            return func(*args, **(kwargs or {}))

    return WithoutValues()


def _traced(name: str, made: tuple[Any, Any, Any], scenario: Scenario) -> Subject:
    import torch

    from perfmodel.guard.fingerprint import Opaque, fingerprint

    module, args, kwargs = made
    if isinstance(args, torch.Tensor):
        args = (args,)
    tracer = _tracer({"torch": str(torch.__version__)})
    try:
        code = fingerprint(module, tuple(args), kwargs)
    except Opaque as reason:
        return Subject(name, _trace(name, module, args, kwargs), None, tracer, opaque=str(reason))
    key = {
        "kind": "guarded",
        "name": name,
        "module": code,
        "tracer": tracer,
        "format": storage.VERSION,
    }
    if (stored := cache.load(key)) is not None:
        try:
            return Subject(name, Workload.from_dict(stored), code, tracer, cached=True)
        except WorkloadFormatError:
            pass  # It is our own cache: trace again rather than trouble the user.
    workload = _trace(name, module, args, kwargs)
    cache.store(key, workload.to_dict())
    return Subject(name, workload, code, tracer)


def _trace(name: str, module: Any, args: Any, kwargs: Any) -> Workload:
    from perfmodel.tracing.tracing import trace

    with _quiet():
        return trace(module, args, kwargs=kwargs, name=name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's debug log, which pytest would keep and print below a test that fails."""
    before, own = logging.root.manager.disable, logging.getLogger(_TRACE_LOG)
    level = own.level
    logging.disable(max(before, logging.INFO))
    own.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logging.disable(before)
        own.setLevel(level)


def _tracer(provenance: Mapping[str, str]) -> str:
    release = provenance.get("torch", "?").partition("+")[0]
    return f"tracer {TRACER_VERSION} {tracer_digest()}, torch {release}"


def tracer_digest() -> str:
    """Return a digest of all that a trace of a module comes from.

    While the tracer is being changed its version stands still; a trace made by the code of an hour
    ago must not hide the change.
    """
    return sources_digest("tracing", "workload", "vocabulary")


def sources_digest(*rooms: str) -> str:
    """Return a digest of the sources of these rooms of the package."""
    return sources.digest(*rooms)[:12]


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
