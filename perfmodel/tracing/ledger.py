"""The tables of a workload while they are made: storages, kernels, and what these touch.

The one idea: a tensor is its storage. Every value in the graph carries shape, strides and the
identity of its storage, so a view is a result that shares the storage of an argument, whatever the
operator is called. An access counts the distinct elements a view touches: a dimension of stride 0
counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from perfmodel.errors import TraceError
from perfmodel.tracing import copying
from perfmodel.tracing.repeating import Mark
from perfmodel.tracing.rows import AccessRow, KernelRow, TensorRow
from perfmodel.tracing.views import Block, block_of, distinct, least, view_of
from perfmodel.workload.workload import KINDS, WEIGHT

_UNKNOWN: Final = ("", "")

#: Where a kernel touches something: tensor, role, and the part of a weight.
Place = tuple[int, int, Block | None]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A state of the recorder to which it can return."""

    kernels: int
    accesses: int
    tensors: int
    names: dict[str, int]
    alias: dict[int, int]
    unmodelled: dict[str, list[str]]
    notes: dict[str, None]


class Ledger:
    """The tables, a kernel after the other; a state of them can be returned to.

    Attributes:
        unmodelled: operators without a formula, and where they are called.
        notes: what the workload says, once each.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.unmodelled: dict[str, list[str]] = {}
        self.notes: dict[str, None] = {}
        # Storages: what is known of each, and its row once a kernel has touched it.
        self._known: dict[int, tuple[str, str]] = {}
        self._alias: dict[int, int] = {}
        self._row: dict[int, int] = {}
        self._tensors: list[TensorRow] = []
        self._kernels: list[KernelRow] = []
        self._accesses: list[AccessRow] = []
        self._names: dict[str, int] = {}
        #: Ends of the tables where passes of loops began.
        self._passes: list[tuple[int, int, int]] = []
        # A storage is known by its address, which nobody else may get while we record.
        self._alive: list[object] = []

    # Storages and tensors

    def _storage(self, value: torch.Tensor) -> int:
        try:
            key: int = value.untyped_storage()._cdata
        except NotImplementedError as error:
            raise TraceError(
                f"{self.model}: the program holds calls inside torch.vmap, whose tensors have no "
                "storage of their own; trace the module instead"
            ) from error
        return self._alias.get(key, key)

    def declare(self, value: object, name: str, kind: str) -> None:
        """Say what the storage of ``value`` is; the first to say so of a shared one is believed."""
        if isinstance(value, torch.Tensor):
            self._known.setdefault(self._storage(value), (name, kind))

    def _is_weight(self, value: torch.Tensor) -> bool:
        return self._known.get(self._storage(value), _UNKNOWN)[1] == "weight"

    def _tensor(self, value: torch.Tensor) -> int:
        """The row of the storage of ``value``."""
        storage = self._storage(value)
        row = self._row.get(storage)
        if row is None:
            row = self._row[storage] = len(self._tensors)
            name, kind = self._known[storage]
            itemsize = value.element_size()
            elements = value.untyped_storage().nbytes() // itemsize
            # Complex values keep their traced size: no precision policy speaks of them.
            # Numbers of one byte (FP8) are formats that a program carries itself, like INT8.
            floating = value.dtype.is_floating_point and itemsize > 1
            self._tensors.append((name, KINDS.index(kind), elements, itemsize, floating))
        return row

    def _unite(self, alias: object, original: object) -> None:
        if isinstance(alias, torch.Tensor) and isinstance(original, torch.Tensor):
            storage = self._storage(original)
            key = alias.untyped_storage()._cdata
            if key != storage:
                self._alias[key] = storage

    def note(self, text: str) -> None:
        """Have the workload say ``text``, once."""
        self.notes[text] = None

    # States to return to, and passes of loops

    def mark(self) -> _Mark:
        """Where the tables end now."""
        return _Mark(
            len(self._kernels),
            len(self._accesses),
            len(self._tensors),
            dict(self._names),
            dict(self._alias),
            {name: list(places) for name, places in self.unmodelled.items()},
            dict(self.notes),
        )

    def since(self, mark: _Mark) -> tuple[int, int, int]:
        """FLOPs, other operations and elements touched since ``mark``."""
        kernels, accesses = self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        return (
            sum(kernel[3] for kernel in kernels),
            sum(kernel[4] for kernel in kernels),
            sum(access[3] for access in accesses),
        )

    def cut(self, mark: _Mark) -> None:
        """Forget what was recorded since ``mark``."""
        del self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        del self._tensors[mark.tensors :]
        self._row = {key: row for key, row in self._row.items() if row < mark.tensors}
        self._names, self._alias = dict(mark.names), dict(mark.alias)
        self.unmodelled = {name: list(places) for name, places in mark.unmodelled.items()}
        self.notes = dict(mark.notes)

    def repeat(self, mark: _Mark, count: int) -> None:
        """Have what was recorded since ``mark`` run ``count`` times in all."""
        if count < 1:
            self.cut(mark)
            return
        kernels, accesses = self._kernels[mark.kernels :], self._accesses[mark.accesses :]
        for step in range(1, count):
            shift = step * len(kernels)
            self._kernels.extend((f"{row[0]}@{step + 1}", *row[1:]) for row in kernels)
            self._accesses.extend((row[0] + shift, *row[1:]) for row in accesses)

    def _pass(self, mark: Mark) -> None:
        """Note where a pass of a loop begins, and record the copies of the one before."""
        self._passes.append((len(self._kernels), len(self._accesses), len(self._tensors)))
        if not mark.copies:
            return
        self.note(mark.note)
        (k2, a2, t2), (k3, a3, t3), (k4, a4, t4) = self._passes[-3:]
        if (k4 - k3, a4 - a3, t4 - t3) != (k3 - k2, a3 - a2, t3 - t2):
            raise TraceError(f"{self.model}: passes of a loop differ that called the same")
        passes = copying.Passes(self._kernels[k2:], self._accesses[a2:], self._tensors[t2:], t2)
        made = copying.copies(passes, mark.copies)
        self._kernels += made.kernels
        self._accesses += made.accesses
        self._tensors += made.tensors
        for label, further in made.numbers.items():
            self._names[label] += further
        rows = t4 - t3
        moved = {
            storage: row + mark.copies * rows
            for storage, row in self._row.items()
            if t3 <= row < t4
        }
        for entry, others in mark.entries:
            self._alive.append(others)
            storage = self._storage(entry)
            for position, stand_in in enumerate(others):
                self._row[self._storage(stand_in)] = self._row[storage] + position * rows
                self._known[self._storage(stand_in)] = self._known[storage]
        # What the pass made is, from here on, what the last copy of it made.
        self._row |= moved

    # Kernels

    def _touch(
        self,
        touched: dict[Place, dict[object, int]],
        value: torch.Tensor,
        role: int,
        limit: int | None,
    ) -> None:
        """Note that ``value`` is touched, ``limit`` elements at most; the same view only once."""
        elements = distinct(value)
        if limit is not None:
            elements = least(elements, limit)
        if elements == 0:
            return
        row = self._tensor(value)
        itemsize = self._tensors[row][3]
        if value.element_size() != itemsize:  # a view as another type
            elements = elements * value.element_size() // itemsize
        view = view_of(value)
        block = block_of(value) if role == WEIGHT else None
        views = touched.setdefault((row, role, block), {})
        views[view] = -least(-elements, -views[view]) if view in views else elements
