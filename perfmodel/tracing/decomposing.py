"""What an operator without a formula is made of: the operators that PyTorch itself runs for it.

An operator that PyTorch composes of others (``CompositeImplicitAutograd``) runs on a CPU exactly as
those. Of other operators PyTorch knows a decomposition in Python, which its compilers use; its
kernels move at least as many bytes as the one that a CPU runs. The calls are found by running the
operator on the tensors without contents that the trace holds already.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch._decomp import decomposition_table
from torch._guards import detect_fake_mode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

#: Of the decompositions in Python, a workload repeats that one was taken.
DECOMPOSED: Final = "{name} has no formula and is counted as what PyTorch decomposes it into"


@dataclass(frozen=True, slots=True)
class Part:
    """One call among those that an operator is made of."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Parts:
    """The calls that an operator is made of, in order, and what it returns.

    ``composite``: a CPU runs these calls; else they stand for a kernel of its own.
    """

    calls: tuple[Part, ...]
    result: Any
    composite: bool


def parts(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Parts | None:
    """What ``target`` is made of when it is called so; None where PyTorch does not say.

    ``result`` is what the call returned: tensors without contents, which belong to the same mode.
    """
    composite = _composes(target)
    body: Callable[..., Any] | None = target.decompose if composite else _in_python(target)
    if body is None:
        return None
    mode = detect_fake_mode((args, kwargs, result))
    listener = _Listener()
    try:
        with torch.no_grad(), mode or nullcontext(), listener:
            returned = body(*args, **kwargs)
    # It may read values, or not be written for these arguments; then it is no help.
    except Exception:
        return None
    if returned is NotImplemented:
        return None
    if not _alike(returned, result):
        return None
    return Parts(tuple(listener.calls), returned, composite)


def _composes(target: Any) -> bool:
    try:
        return bool(target._can_decompose())
    except (AttributeError, RuntimeError):
        return False


def _in_python(target: Any) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = decomposition_table.get(target)
    return found


def _alike(left: Any, right: Any) -> bool:
    """Whether both hold tensors of the same shapes in the same order."""
    shapes = [
        [tuple(leaf.shape) for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
        for value in (left, right)
    ]
    return shapes[0] == shapes[1]


class _Listener(TorchDispatchMode):  # type: ignore[misc]
    """Notes every operator that is called below."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Part] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.calls.append(Part(func, args, kwargs, result))
        return result
