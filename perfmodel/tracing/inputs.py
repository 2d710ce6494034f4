"""The arguments of a forward: which tensors are in them, and what each is called.

An argument may be a tensor, a number, a container or an object of any type that holds some.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._guards import Source, dataclass_with_cached_hash
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    ShapeEnv,
    StatelessSymbolicContext,
)
from torch.utils import _pytree as pytree

from perfmodel.tracing.stand_in import ATOMS, StandIns, slots


def tensors(
    module: torch.nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]
) -> list[list[tuple[str, torch.Tensor]]]:
    """By leaf of the arguments, the tensors in it, each with a name made of the path to it.

    Most leaves are one tensor; an object that holds several is one leaf.
    Raises TypeError where the arguments do not fit the forward.
    """
    positional = _names(module, args, named)
    used: set[str] = set()
    found: list[list[tuple[str, torch.Tensor]]] = []
    for place, leaf in pytree.tree_flatten_with_path((args, dict(named)))[0]:
        first = place[1].key if place[0].idx else positional[place[1].idx]
        path = "_".join([first, *(_key(key) for key in place[2:])]).lower()
        seen: set[int] = set()
        found.append([(_unique(name, used), part) for name, part in _inside(path, leaf, seen)])
    return found


def inside(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in ``value``, whatever holds them."""
    for _, tensor in _inside("", value, set()):
        yield tensor


def attributes(part: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that a module holds as plain attributes, or in lists and dicts among them."""
    for name, value in part.__dict__.items():
        if name not in ("_parameters", "_buffers", "_modules"):
            if isinstance(value, torch.Tensor):
                yield name, value
            elif type(value) in (list, tuple, dict):
                for place, leaf in pytree.tree_flatten_with_path(value)[0]:
                    if isinstance(leaf, torch.Tensor):
                        yield ".".join([name, *(_key(key) for key in place)]), leaf


def symbolic(
    stand_ins: StandIns, tensor: torch.Tensor, axes: Sequence[int], environment: ShapeEnv, leaf: int
) -> torch.Tensor:
    """Let a tensor with symbols for the sizes of ``axes`` stand for ``tensor``, and return it."""
    kinds = [
        DimDynamic.DYNAMIC if axis in axes else DimDynamic.STATIC for axis in range(tensor.ndim)
    ]
    sizes, strides, _ = environment.create_symbolic_sizes_strides_storage_offset(
        tensor,
        _Argument(leaf),
        symbolic_context=StatelessSymbolicContext(
            dynamic_sizes=kinds, constraint_sizes=[None] * tensor.ndim
        ),
    )
    with stand_ins.mode:
        made = torch.empty_strided(sizes, strides, dtype=tensor.dtype)
    stand_ins.use(tensor, made)
    return made


@dataclass_with_cached_hash(frozen=True)
class _Argument(Source):  # type: ignore[misc]  # torch is Any to mypy
    """Where a symbol comes from."""

    leaf: int

    @property
    def _name_template(self) -> str:
        return f"argument_{self.leaf}"


def _names(module: torch.nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[str]:
    """What the forward calls each positional argument."""
    try:
        signature = inspect.signature(module.forward)
    except ValueError:  # a callable without a signature
        return [f"args_{position}" for position in range(len(args))]
    signature.bind(*args, **named)
    names: list[str] = []
    for name, value in signature.bind_partial(*args).arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{name}_{position}" for position in range(len(value))]
        else:
            names.append(name)
    return names


def _inside(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    if isinstance(value, (*ATOMS, torch.nn.Module)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _inside(f"{path}_{_word(key)}", item, seen)
    elif isinstance(value, list | tuple | deque):
        for position, item in enumerate(value):
            yield from _inside(f"{path}_{position}", item, seen)
    for name, item in [*getattr(value, "__dict__", {}).items(), *slots(value)]:
        yield from _inside(f"{path}_{_word(name)}", item, seen)


def _key(key: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return _word(getattr(key, attribute))
    return _word(key)


def _word(value: object) -> str:
    return re.sub(r"[^a-zA-Z0-9]", "_", str(value))


def _unique(name: str, used: set[str]) -> str:
    found, count = name, 0
    while found in used:
        count += 1
        found = f"{name}_{count}"
    used.add(found)
    return found
