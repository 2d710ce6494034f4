"""Run a module's forward on tensors that have shapes but no contents, and leave it as it was.

Every tensor that can be reached from the module and the arguments (parameters, buffers, attributes,
lists, dicts and objects of any type) is replaced, for the duration of a ``with`` block, by a fake
CPU tensor of the same shape, strides and type. Whether the module lives on meta, on the CPU or
elsewhere, the same run results, and it is the run of a CPU: on meta, for example, attention leaves
its result in another layout, and a copy would follow that no CPU makes.

All that was reached is put back afterwards, whether the forward returned or raised: attributes,
what lists, dicts and sets hold, hooks, flags, and caches of functions.
"""

from __future__ import annotations

import enum
import functools
import random
import sys
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from operator import is_
from typing import Any, Final

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import is_traceable_wrapper_subclass, transform_subclass

from perfmodel.errors import TraceError

#: What holds no tensors, or is not the module's own.
ATOMS: Final = (
    bool, int, float, complex, str, bytes, type(None), type, enum.Enum, range, slice,
    types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType,
    torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size, torch.Generator,
    torch._ops.OpOverload, torch._ops.OpOverloadPacket, np.ndarray, np.generic,
    weakref.ReferenceType, FakeTensorMode,
)  # fmt: skip
#: Objects that are walked at most; what is beyond them is not the module's.
_MOST: Final = 1_000_000


class StandIns:
    """Makes stand-ins, the same one for the same tensor, one storage for tensors that share one."""

    def __init__(self, mode: FakeTensorMode) -> None:
        """Begin with ``mode``, which all stand-ins of a trace share."""
        self.mode = mode
        self._made: dict[int, torch.Tensor] = {}
        self._storages: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self._originals: list[torch.Tensor] = []
        self._original: dict[int, torch.Tensor] = {}

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The stand-in of ``tensor``.

        Raises :class:`~perfmodel.errors.TraceError` for sparse, nested and quantised tensors.
        """
        if isinstance(tensor, FakeTensor) and tensor.fake_mode is self.mode:
            return tensor
        made = self._made.get(id(tensor))
        if made is None:
            made = self._make(tensor)
            self.use(tensor, made)
        return made

    def use(self, tensor: torch.Tensor, made: torch.Tensor) -> None:
        """Let ``made`` stand for ``tensor``."""
        self._made[id(tensor)] = made
        self._original[id(made)] = tensor
        self._originals.append(tensor)  # keeps the id from being used again

    @contextmanager
    def remembering(self, on: bool) -> Iterator[None]:
        """Whether results may be those of the same call before, each in a storage of its own."""
        before = self.mode.cache_enabled
        self.mode.cache_enabled = before and on
        try:
            yield
        finally:
            self.mode.cache_enabled = before

    def original(self, made: torch.Tensor) -> torch.Tensor:
        """The tensor that ``made`` stands for."""
        return self._original.get(id(made), made)

    def within(self, value: Any) -> Any:
        """``value`` with a stand-in for every tensor in it (lists, tuples, dicts, pytrees)."""
        return pytree.tree_map_only(torch.Tensor, self.of, value)

    def _make(self, tensor: torch.Tensor) -> torch.Tensor:
        if is_traceable_wrapper_subclass(tensor) and not tensor.is_nested:
            return transform_subclass(tensor, lambda _, inner: self.of(inner))
        check(tensor)
        storage = tensor.untyped_storage()
        key = (storage._cdata, tensor.dtype)
        base = self._storages.get(key)
        if base is None:
            elements = storage.nbytes() // tensor.element_size()
            base = torch.empty(elements, dtype=tensor.dtype, device="meta")
            self._storages[key] = base
        shape = base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        made: torch.Tensor = FakeTensor(self.mode, shape, torch.device("cpu"))
        if isinstance(tensor, torch.nn.Parameter):
            made = torch.nn.Parameter(made, requires_grad=False)
        return made

    @contextmanager
    def inside(self, *roots: Any) -> Iterator[Walk]:
        """Let ``roots`` hold stand-ins, modules in eval mode; all is put back at the end."""
        walk = Walk(self.of)
        # A forward that draws random numbers draws from NumPy's and Python's own generators, too.
        numbers = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        try:
            walk.roots = tuple(walk.replaced(root) for root in roots)
            yield walk
        finally:
            walk.put_back()
            random.setstate(numbers[0])
            np.random.set_state(numbers[1])  # noqa: NPY002
            torch.set_rng_state(numbers[2])


class Walk:
    """Visits everything that can be reached, puts stand-ins there, and remembers what was there.

    Attributes:
        roots: where it began: the objects themselves, or copies of those that cannot change, such
            as tuples.
    """

    roots: tuple[Any, ...] = ()

    def __init__(self, of: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._of = of
        self._seen: dict[int, Any] = {}
        self._undo: list[Callable[[], None]] = []
        self._holders: list[Any] = []
        self._caches: list[Any] = []

    def tensors(self) -> dict[tuple[int, Any, int], torch.Tensor]:
        """Which tensors the dicts and lists that were visited hold now, and where."""
        found = {}
        for holder in self._holders:
            places = holder.items() if isinstance(holder, dict) else enumerate(holder)
            for key, value in list(places):
                for tensor in _near(value):
                    found[id(holder), key, id(tensor)] = tensor
        return found

    def remembered(self) -> list[int]:
        """How many results the caches of functions hold that were met."""
        return [cached.cache_info().currsize for cached in self._caches]

    def put_back(self) -> None:
        """Make everything hold what it held before."""
        for undo in reversed(self._undo):
            undo()

    def replaced(self, value: Any) -> Any:
        """``value`` with stand-ins inside, or what takes its place."""
        # Not recursive: modules nest deeper than Python's stack allows.
        todo: list[Any] = []
        result = self._value(value, todo)
        while todo:
            self._fill(todo.pop(), todo)
        return result

    def _value(self, value: Any, todo: list[Any]) -> Any:
        """What takes the place of ``value``; what it holds is left to do."""
        if isinstance(value, torch.Tensor):
            return self._of(value)
        if isinstance(value, ATOMS):
            return value
        if isinstance(value, tuple):
            return self._tuple(value, todo)
        if id(value) not in self._seen and len(self._seen) < _MOST:
            self._seen[id(value)] = value  # keeps the id from being used again
            todo.append(value)
        return value

    def _tuple(self, value: tuple[Any, ...], todo: list[Any]) -> Any:
        items = [self._value(item, todo) for item in value]
        if all(map(is_, items, value)):
            return value
        if type(value) is tuple:
            return tuple(items)
        return value._make(items) if hasattr(value, "_make") else type(value)(items)

    def _fill(self, holder: Any, todo: list[Any]) -> None:
        if isinstance(holder, dict):
            self._dict(holder, todo)
        elif isinstance(holder, list | deque):
            self._sequence(holder, todo)
        elif isinstance(holder, set):
            saved = set(holder)
            self._undo.append(lambda: _put_set(holder, saved))
        self._attributes(holder, todo)

    def _dict(self, holder: dict[Any, Any], todo: list[Any]) -> None:
        table: Any = OrderedDict if isinstance(holder, OrderedDict) else dict
        saved = list(table.items(holder))
        self._holders.append(holder)
        self._undo.append(lambda: _put_dict(table, holder, saved))
        for key, old in saved:
            new = self._value(old, todo)
            if new is not old:
                table.__setitem__(holder, key, new)

    def _sequence(self, holder: Any, todo: list[Any]) -> None:
        saved = list(holder)
        self._holders.append(holder)
        self._undo.append(lambda: _put_sequence(holder, saved))
        for place, old in enumerate(saved):
            new = self._value(old, todo)
            if new is not old:
                holder[place] = new

    def _attributes(self, holder: Any, todo: list[Any]) -> None:
        table = getattr(holder, "__dict__", None)
        if isinstance(table, dict):
            self._dict(table, todo)
            if isinstance(holder, torch.nn.Module) and "training" in table:
                table["training"] = False
        for name in _slot_names(holder):
            self._slot(holder, name, todo)
        self._kind(type(holder))

    def _slot(self, holder: Any, name: str, todo: list[Any]) -> None:
        if not hasattr(holder, name):
            self._undo.append(lambda: _empty_slot(holder, name))
            return
        old = getattr(holder, name)
        new = self._value(old, todo)
        self._undo.append(lambda: object.__setattr__(holder, name, old))
        if new is not old:
            object.__setattr__(holder, name, new)

    def _kind(self, kind: type) -> None:
        """Remember what a class and the file that defines it hold: tables and caches."""
        for part in kind.__mro__:
            if part in self._seen_kinds or str(part.__module__).partition(".")[0] in OTHERS:
                continue
            self._seen_kinds.add(part)
            self._names(part)
            place = part.__module__
            if place not in self._seen_kinds:
                self._seen_kinds.add(place)
                file = sys.modules.get(place, types)
                self._names(file)
                for value in list(vars(file).values()):
                    if isinstance(value, type) and value.__module__ == place:
                        self._names(value)

    def _names(self, holder: Any) -> None:
        """Remember what the names of a class or a file stand for, and what their tables hold."""
        saved = dict(vars(holder))
        self._tables(saved.values())

        def undo() -> None:
            for name, value in list(vars(holder).items()):
                if value is not saved.get(name) and isinstance(value, FakeTensor):
                    if name in saved:
                        setattr(holder, name, saved[name])
                    else:
                        delattr(holder, name)

        self._undo.append(undo)

    @functools.cached_property
    def _seen_kinds(self) -> set[Any]:
        return set()

    def _tables(self, values: Iterable[Any]) -> None:
        for value in values:
            if isinstance(value, functools._lru_cache_wrapper):
                self._cache(value)
            elif (
                type(value) in (dict, OrderedDict, list, set)
                and len(value) <= 1000
                and id(value) not in self._seen
            ):
                self._seen[id(value)] = value
                self._remember(value)
            elif isinstance(value, _FUNCTIONS) and id(value) not in self._seen:
                # A cache may be in what a decorator closed over.
                self._seen[id(value)] = value
                self._tables(_closed_over(value))

    def _remember(self, value: Any) -> None:
        if isinstance(value, dict):
            table: Any = OrderedDict if isinstance(value, OrderedDict) else dict
            items = list(value.items())
            self._undo.append(lambda: _put_dict(table, value, items))
        elif isinstance(value, list):
            saved = list(value)
            self._undo.append(lambda: _put_sequence(value, saved))
        else:
            members = set(value)
            self._undo.append(lambda: _put_set(value, members))

    def _cache(self, cached: Any) -> None:
        """Empty the cache of a function if it grows: what it holds may be stand-ins."""
        size = cached.cache_info().currsize
        self._caches.append(cached)

        def undo() -> None:
            if cached.cache_info().currsize != size:
                cached.cache_clear()

        self._undo.append(undo)


_FUNCTIONS: Final = (types.FunctionType, staticmethod, classmethod, property)


def _closed_over(value: Any) -> list[Any]:
    """What a function, or that of a method or property, has in its closure."""
    function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
    found = []
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # not filled yet
            found.append(cell.cell_contents)
    return found


def slots(value: object) -> list[tuple[str, Any]]:
    """Attributes of ``value`` that are in slots, with their names."""
    return [(name, getattr(value, name)) for name in _slot_names(value) if hasattr(value, name)]


def _slot_names(value: object) -> list[str]:
    found: list[str] = []
    for kind in type(value).__mro__:
        if str(kind.__module__).partition(".")[0] not in OTHERS:
            names = kind.__dict__.get("__slots__", ())
            found += (names,) if isinstance(names, str) else names
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _empty_slot(holder: object, name: str) -> None:
    if hasattr(holder, name):
        object.__delattr__(holder, name)


#: Packages whose classes are no model's.
OTHERS: Final = frozenset({"torch", "builtins", "collections", "typing", "abc", "numpy", "enum"})


def _near(value: Any) -> Iterator[torch.Tensor]:
    """``value`` if it is a tensor, or the tensors right in it."""
    if isinstance(value, torch.Tensor):
        yield value
    elif type(value) in (list, tuple, dict):
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, torch.Tensor):
                yield item


def _put_dict(table: Any, holder: dict[Any, Any], saved: list[tuple[Any, Any]]) -> None:
    now = list(table.items(holder))
    if len(now) == len(saved) and all(map(is_, chain(*now), chain(*saved))):
        return
    table.clear(holder)
    for key, value in saved:
        table.__setitem__(holder, key, value)


def _put_sequence(holder: Any, saved: list[Any]) -> None:
    if len(holder) == len(saved) and all(map(is_, holder, saved)):
        return
    holder.clear()
    holder.extend(saved)


def _put_set(holder: set[Any], saved: set[Any]) -> None:
    if holder != saved:
        holder.clear()
        holder.update(saved)


def check(tensor: torch.Tensor) -> None:
    """Raise TraceError for a tensor that has no plain strides."""
    if tensor.is_nested:
        what, way_out = "a nested tensor", "pad it to one shape, or trace one size"
    elif tensor.is_quantized:
        what, way_out = "a quantised tensor", "trace the float model and choose --precision"
    elif tensor.layout != torch.strided:
        what, way_out = f"a sparse tensor ({tensor.layout})", "make it dense: tensor.to_dense()"
    elif isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        what = "an uninitialized parameter of a lazy module"
        way_out = "run the module once on real inputs, or give its size"
    else:
        return
    raise TraceError(f"{what} cannot be traced: {way_out}")
