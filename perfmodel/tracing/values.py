"""Values that are there: of small integer and boolean tensors, and of what is computed from them.

A trace has shapes only, with one exception. Numbers that a user passes in a small tensor of
integers or booleans (lengths of sequences, sizes of images, a mask), that a buffer holds, or that
stand in the source, often decide a size or a branch. Such a tensor keeps its values beside its
stand-in, and operators on nothing but such tensors are computed. Which of them were read is noted.

Token ids are not among them: what a model costs must not depend on what was said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from perfmodel.tracing import routing
from perfmodel.tracing.stand_in import StandIns

#: Elements of an input or a buffer whose values are kept. A larger one whose elements are all equal
#: (a mask of ones) keeps them, too.
LARGEST: Final = 64
#: Elements of a result that is computed.
_MOST: Final = 1_048_576
#: Names of arguments that hold tokens.
_TOKENS: Final = re.compile(r"(^|_)(input_ids|ids|tokens|token_ids)$")
_NO_TOKENS: Final = re.compile(r"(^|_)(position|token_type|segment|seq|sequence)_ids$")

_aten: Final = torch.ops.aten
#: Operators that hand a value to Python.
_READS: Final = frozenset(
    {
        _aten.item.default,
        _aten._local_scalar_dense.default,
        _aten.is_nonzero.default,
        _aten.equal.default,
    }
)
#: Operators whose result has a size that depends on values, but not on those of this argument.
_CARRIED: Final = {
    _aten.index.Tensor: 0,
    _aten.masked_select.default: 0,
    _aten._pack_padded_sequence.default: 0,
    _aten._pad_packed_sequence.default: 0,
}
#: Of these, the results that depend on the values that are known alone.
_SIZES: Final = {_aten._pack_padded_sequence.default: 1, _aten._pad_packed_sequence.default: 1}
#: Tensors without contents.
_EMPTY: Final = frozenset(
    {
        _aten.empty, _aten.empty_like, _aten.empty_strided, _aten.empty_permuted, _aten.new_empty,
        _aten.new_empty_strided, _aten.resize_, _aten.set_,
    }
)  # fmt: skip


class Values:
    """The values that are known in one trace."""

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._stale: set[int] = set()
        #: Names and values of what was read.
        self.read: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def keep(self, original: torch.Tensor, made: torch.Tensor, name: str) -> None:
        """Keep the values of an input or a buffer called ``name``, if they are of the kind."""
        if (
            original.is_floating_point()
            or original.is_complex()
            or original.is_meta
            or isinstance(original, FakeTensor)
            or not isinstance(made, FakeTensor)
            or (_TOKENS.search(name) and not _NO_TOKENS.search(name))
        ):
            return
        with unset_fake_temporarily(), torch.no_grad():
            value = original.detach().to("cpu", copy=True)
            if value.numel() > LARGEST and not bool((value == value.flatten()[:1]).all()):
                return
            self._texts[name] = _text(value)
        self._set(made, value, frozenset({name}))

    def constant(self, original: torch.Tensor, made: torch.Tensor) -> None:
        """Keep the values of a small tensor that stands in the source."""
        if original.is_meta or isinstance(original, FakeTensor) or original.numel() > LARGEST:
            return
        if isinstance(made, FakeTensor) and type(original) is torch.Tensor:
            with unset_fake_temporarily(), torch.no_grad():
                self._set(made, original.detach().to("cpu", copy=True), frozenset())

    def of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The values of ``tensor`` if they are known."""
        known: torch.Tensor | None = getattr(tensor, "_perfmodel_value", None)
        if known is not None and self._stale and tensor.untyped_storage()._cdata in self._stale:
            return None
        return known

    def largest(self, tensor: torch.Tensor) -> int | None:
        """The largest of the values of ``tensor``, if they are known."""
        known = self.of(tensor)
        if known is None or not known.numel():
            return None
        with unset_fake_temporarily():
            return int(known.max())

    def decision(self, value: Any) -> bool | None:
        """What a condition says, if that is known; noted as read."""
        if not isinstance(value, torch.Tensor):
            return bool(value)
        known = self.of(value)
        if known is None:
            return None
        for name in self._names([value]):
            self.read[name] = self._texts[name]
        with unset_fake_temporarily():
            return bool(known)

    def _set(self, tensor: torch.Tensor, value: torch.Tensor, names: frozenset[str]) -> None:
        tensor._perfmodel_value = value
        tensor._perfmodel_names = names

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operator that needs values, if they are known, or NotImplemented."""
        reads = func in _READS
        if not reads and func not in _CARRIED and not _has_unknown_size(func):
            return NotImplemented
        tensors = list(tensors_in(args, kwargs))
        if not tensors:
            return NotImplemented
        carried = _CARRIED.get(func)
        free = args[carried] if carried is not None and self.of(args[carried]) is None else None
        if any(self.of(tensor) is None for tensor in tensors if tensor is not free):
            return NotImplemented
        if func is _aten.index.Tensor and not any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        ):
            return NotImplemented
        names = self._names(tensors)
        with unset_fake_temporarily(), torch.no_grad():
            result = func(*self._real(args), **self._real(kwargs))
        for name in names:
            self.read[name] = self._texts[name]
        if reads:
            return result
        multiple = isinstance(result, tuple | list)
        made = [self._fake(value) for value in (result if multiple else (result,))]
        for position, (fake, value) in enumerate(
            zip(made, result if multiple else (result,), strict=True)
        ):
            if free is None or _SIZES.get(func) == position:
                self._set(fake, value, names)
        return type(result)(made) if multiple else made[0]

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Know the values of ``result`` if those of all arguments are known.

        Those of a router's choice are what :mod:`perfmodel.tracing.routing` takes for granted.
        """
        routing.take_away(func, args, result)
        chosen = routing.choices(func, args, kwargs, result)
        if chosen is not None:
            position, even = chosen
            self._texts[routing.NAME] = routing.RULE
            made = result if position is None else result[position]
            self._set(made, even, frozenset({routing.NAME}))
            return
        tensors = list(tensors_in(args, kwargs))
        written = func._schema.is_mutable
        if all(self.of(tensor) is not None for tensor in tensors) and self._computable(
            func, args, kwargs, result, tensors
        ):
            try:
                with unset_fake_temporarily(), torch.no_grad():
                    value = func(*self._real(args), **self._real(kwargs))
            except Exception:  # A kernel that the CPU has not for this type: nothing is known.
                value = None
            names = self._names(tensors)
            for fake, real in zip(
                tensors_in((result,), {}), tensors_in((value,), {}), strict=False
            ):
                if fake.shape == real.shape and fake.dtype == real.dtype:
                    self._set(fake, real, names)
            if value is not None:
                return
        if written:
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for tensor in tensors_in((value,), {}):
                        self._stale.add(tensor.untyped_storage()._cdata)

    def _computable(
        self, func: Any, args: Any, kwargs: Any, result: Any, tensors: list[torch.Tensor]
    ) -> bool:
        if func.overloadpacket in _EMPTY or torch.Tag.nondeterministic_seeded in func.tags:
            return False
        if any(isinstance(v, _SYMBOLS) for v in _flat((args, list(kwargs.values())))):
            return False
        most = routing.MOST_ELEMENTS if routing.NAME in self._names(tensors) else _MOST
        results = list(tensors_in((result,), {}))
        return bool(results) and all(
            r.numel() <= most and isinstance(r, FakeTensor) for r in results
        )

    def _names(self, tensors: list[torch.Tensor]) -> frozenset[str]:
        return frozenset().union(*(getattr(t, "_perfmodel_names", ()) for t in tensors))

    def _real(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            known = self.of(value)
            if known is None:
                known = torch.zeros((), dtype=value.dtype).expand(value.shape)
            return known
        if isinstance(value, list | tuple):
            return type(value)(self._real(item) for item in value)
        if isinstance(value, dict):
            return {key: self._real(item) for key, item in value.items()}
        return torch.device("cpu") if isinstance(value, torch.device) else value

    def _fake(self, value: torch.Tensor) -> Any:
        with self._stand_ins.mode:
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)


_SYMBOLS: Final = (torch.SymInt, torch.SymFloat, torch.SymBool)


def _has_unknown_size(func: Any) -> bool:
    return torch.Tag.dynamic_output_shape in func.tags


def tensors_in(args: Any, kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors among the arguments of an operator, and in lists among them."""
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value, {})


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _text(value: torch.Tensor) -> str:
    """The values on one line."""
    if value.numel() > LARGEST:
        return f"all {value.flatten()[:1].item()}"
    return str(value.tolist())
