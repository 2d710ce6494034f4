"""Long loops of a forward, such as recurrences over tokens: run for a few passes, not for all.

A forward that steps through its tokens in Python calls the same operators for each. While it is
traced, a loop that :mod:`perfmodel.tracing.straight` allows runs for its first passes; where the
last two of them called the same operators, with the same shapes, on tensors that hang together in
the same way, the passes in between are noted as copies, and the last one is run and compared. Where
it is not the same, the forward is run again with all passes. The tables that result are those of
the unrolled loop: a copy has kernels and tensors of its own.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from perfmodel.tracing.program import Step
from perfmodel.tracing.straight import Loop, is_torchs, loop_at
from perfmodel.tracing.values import tensors_in

if TYPE_CHECKING:
    from perfmodel.tracing.running import Runner

#: Passes that are run before the rest can be copies: the state of the first is of another origin.
WARM: Final = 4
#: Loops of fewer passes are run.
LEAST: Final = 16
NOTE: Final = (
    "of the {count} passes of the loop at {place} the first {warm} and the last are recorded, and "
    "the others, which call the same operators on the same shapes, are copies"
)
#: Operators that return a part of their first argument, at a place that a number says.
_PARTS: Final = frozenset(
    {torch.ops.aten.select.int, torch.ops.aten.slice.Tensor, torch.ops.aten.narrow.default}
)


class Unlike(BaseException):
    """The last pass of a loop is not like those that were taken for all.

    Not an Exception, which a forward may catch.
    """


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a pass begins; at a mark behind the last of them ``copies`` of it follow.

    ``entries``: what that pass appended to a list, and what stands in the list for the entries of
    the pass itself and of all copies but the last.
    """

    copies: int = 0
    note: str = ""
    entries: tuple[tuple[torch.Tensor, tuple[torch.Tensor, ...]], ...] = ()


@contextmanager
def few_passes(runner: Runner, root: torch.nn.Module) -> Iterator[None]:
    """Let long straight loops in the code of the modules in ``root`` run a few passes only."""

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, builtins.range)

        def __call__(cls, *arguments: Any) -> Any:
            values = builtins.range(*arguments)
            frame = sys._getframe(1)
            loop = loop_at(frame) if len(values) >= LEAST else None
            return values if loop is None else _passes(runner, values, loop, frame)

    class Range(metaclass=Kind):
        """Stands for ``range``."""

    tables = [table for table in _tables(root) if "range" not in table]
    for table in tables:
        table["range"] = Range
    try:
        yield
    finally:
        for table in tables:
            del table["range"]


def _tables(root: torch.nn.Module) -> list[dict[str, Any]]:
    """The global names of the code of all modules in ``root`` but PyTorch's."""
    found: dict[int, dict[str, Any]] = {}
    for kind in {base for part in root.modules() for base in type(part).__mro__}:
        for table in (
            getattr(kind.__dict__.get("forward"), "__globals__", None),
            vars(sys.modules.get(kind.__module__, builtins)),
        ):
            if table and str(table.get("__name__")).partition(".")[0] not in _OTHERS:
                found[id(table)] = table
    return list(found.values())


_OTHERS: Final = frozenset({"torch", "perfmodel", *sys.stdlib_module_names} - {"__main__"})


def _passes(runner: Runner, values: range, loop: Loop, frame: FrameType) -> Iterator[int]:
    """The numbers of the passes that are run."""
    passes: list[_Pass] = []
    for number in values[:WARM]:
        start = len(runner.steps)
        runner.steps.append(Step(op="mark", target=Mark()))
        yield number
        passes.append(_Pass(runner.steps[start + 1 :], passes[-1:], _numbers(loop, frame)))
    *_, before, last = passes
    found = _entries(loop, frame, passes)
    if found is None or not is_torchs(loop, frame) or not last.is_like(before):
        yield from values[WARM:]
        return
    copies = len(values) - WARM - 1
    entries = []
    for place in found:
        entry = place.pop()
        made = _stand_ins(entry, copies)
        entries.append((entry, made))
        # The entry itself stands for that of the last copy, which the next pass takes up.
        place += [*made, entry]
    where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    note = NOTE.format(count=len(values), place=where, warm=WARM)
    runner.steps.append(Step(op="mark", target=Mark(copies, note, tuple(entries))))
    start = len(runner.steps)
    yield values[-1]
    if not _Pass(runner.steps[start:], [last], last.numbers).is_like(last):
        raise Unlike


def _numbers(loop: Loop, frame: FrameType) -> dict[str, Any]:
    """What the body assigned, tensors left out."""
    local = frame.f_locals
    found = {name: local.get(name) for name in loop.assigned}
    return {
        name: value
        for name, value in found.items()
        if not isinstance(value, torch.Tensor)
        and not (isinstance(value, tuple) and all(isinstance(item, torch.Tensor) for item in value))
    }


def _entries(loop: Loop, frame: FrameType, passes: list[_Pass]) -> list[list[Any]] | None:
    """The lists to which each pass appended one tensor of its own; None if they are otherwise."""
    found: list[list[Any]] = []
    for name in loop.lists:
        place = frame.f_locals.get(name)
        if type(place) is not list or len(place) < WARM:
            return None
        for entry, run in zip(place[-WARM:], passes, strict=True):
            if not isinstance(entry, FakeTensor) or _storage(entry) not in run.made:
                return None
        found.append(place)
    return found


def _stand_ins(entry: FakeTensor, count: int) -> tuple[torch.Tensor, ...]:
    """Tensors like ``entry``, each with a storage of its own."""
    with _disable_current_modes():
        return tuple(
            FakeTensor(
                entry.fake_mode,
                torch.empty_strided(entry.shape, entry.stride(), dtype=entry.dtype, device="meta"),
                entry.fake_device,
            )
            for _ in range(count)
        )


def _storage(value: torch.Tensor) -> int:
    key: int = value.untyped_storage()._cdata
    return key


class _Pass:
    """The steps of one pass, and how the tensors in them hang together."""

    def __init__(self, steps: list[Step], before: list[_Pass], numbers: dict[str, Any]) -> None:
        """``before`` is the pass before, if any; ``numbers`` what was assigned but tensors."""
        #: Storages that this pass made, in order.
        self.made: dict[int, int] = {}
        self._before = before[0].made if before else {}
        self._plain = all(step.op == "call_function" for step in steps)
        self.numbers = numbers
        self._calls = [self._call(step) for step in steps]

    def is_like(self, other: _Pass) -> bool:
        """Whether both called the same operators on tensors of the same shapes and origins."""
        return (
            self._plain
            and self._calls == other._calls
            and self.numbers.keys() == other.numbers.keys()
            and all(_equal(value, other.numbers[name]) for name, value in self.numbers.items())
        )

    def _call(self, step: Step) -> tuple[Any, ...]:
        arguments = self._code((step.args, step.kwargs), parts=step.target in _PARTS)
        passed = {_storage(tensor) for tensor in _tensors(step.args, step.kwargs)}
        results = list(tensors_in((step.meta.get("val"),), {}))
        for result in results:
            if _storage(result) not in passed:
                self.made.setdefault(_storage(result), len(self.made))
        # A result whose values are known could decide something: it is like no other.
        known = any(hasattr(result, "_perfmodel_value") for result in results)
        return (
            step.target,
            tuple(step.meta.get("nn_module_stack", ())),
            arguments,
            self._code(results, parts=False),
            object() if known else None,
        )

    def _code(self, value: Any, *, parts: bool) -> Any:
        """``value`` such that equal ones are alike; ``parts``: a number is a place in a tensor."""
        if isinstance(value, torch.Tensor):
            return self._origin(value)
        if isinstance(value, dict):
            return {key: self._code(item, parts=parts) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return tuple(self._code(item, parts=parts) for item in value)
        return int if parts and type(value) is int else (type(value), value)

    def _origin(self, tensor: torch.Tensor) -> tuple[Any, ...]:
        key = _storage(tensor)
        shape = (tensor.dtype, tuple(tensor.shape), tensor.stride())
        for which, made in (("this", self.made), ("before", self._before)):
            if key in made:
                return (*shape, which, made[key], tensor.storage_offset())
        # Of what was there before the loop, each pass may read another part.
        return (*shape, "outside", key)


def _tensors(*values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        yield from tensors_in(tuple(value.values()) if isinstance(value, dict) else value, {})


def _equal(left: Any, right: Any) -> bool:
    """Whether two values that are no tensors are the same."""
    plain = (bool, int, float, complex, str, type(None), torch.dtype, torch.device, torch.Size)
    return left is right or (
        isinstance(left, plain) and type(left) is type(right) and left == right
    )
