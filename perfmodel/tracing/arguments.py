"""The arguments of a forward as a trace takes them: checked, and which of them are state."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.tracing import inputs, placeholders
from perfmodel.tracing.stand_in import check


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
    found = owners(module, args, named)
    check_names(f"{name}: state", state, found)
    return [leaf for leaf, owner in enumerate(found) if owner in state]


def owners(module: torch.nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[str]:
    """The argument of the forward that each leaf of ``args`` and ``named`` belongs to."""
    positional = list(inspect.signature(module.forward).parameters)
    return [
        place[1].key if place[0].idx else positional[min(place[1].idx, len(positional) - 1)]
        for place, _ in pytree.tree_flatten_with_path((args, named))[0]
    ]


def check_names(what: str, names: Collection[str], passed: Collection[str]) -> None:
    """Raise TraceError, beginning with ``what``, for ``names`` that are not ``passed``."""
    missing = sorted(set(names).difference(passed))
    if missing:
        raise TraceError(
            f"{what} {', '.join(missing)} is not among the arguments passed, which are "
            f"{', '.join(dict.fromkeys(passed)) or 'none'}"
        )


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


def _is_packed(part: torch.nn.Module) -> bool:
    """Whether ``part`` is of PyTorch's modules that run quantised operators.

    Beside them are those that a model holds to be quantised later, and that run on floats.
    """
    if type(part).__name__ in ("FloatFunctional", "FXFloatFunctional"):
        return False
    place = type(part).__module__
    return place.startswith(("torch.ao.nn", "torch.nn")) and "quantized" in place.split(".")


def _type(value: object) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"
