"""Run a module's forward on tensors that have shapes but no contents.

Every parameter, buffer and tensor attribute is replaced, for the duration of a ``with`` block, by a
fake CPU tensor of the same shape, strides and type. Whether the module lives on meta, on the CPU or
elsewhere, the same graph results, and it is the graph of a CPU: on meta, for example, attention
leaves its result in another layout, and a copy would follow that no CPU makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree

#: Attributes of every module that are tables of their own.
_TABLES = ("_parameters", "_buffers")


class StandIns:
    """Makes stand-ins, the same one for the same tensor, one storage for tensors that share one."""

    def __init__(self, mode: FakeTensorMode | None = None) -> None:
        """Begin with ``mode`` or a fresh fake mode, which all stand-ins of a trace share."""
        # No shape environment: reading a value is an error where it happens, not a symbol.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True) if mode is None else mode
        self._made: dict[int, torch.Tensor] = {}
        self._storages: dict[tuple[int, torch.dtype], torch.Tensor] = {}
        self._originals: list[torch.Tensor] = []

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The stand-in of ``tensor``."""
        made = self._made.get(id(tensor))
        if made is None:
            self._originals.append(tensor)  # keeps the id from being used again
            made = self._made[id(tensor)] = self._make(tensor)
        return made

    def within(self, value: Any) -> Any:
        """``value`` with a stand-in for every tensor in it (lists, tuples, dicts, pytrees)."""
        return pytree.tree_map_only(torch.Tensor, self.of, value)

    def _make(self, tensor: torch.Tensor) -> torch.Tensor:
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
    def inside(self, module: torch.nn.Module) -> Iterator[None]:
        """Let ``module`` hold stand-ins, in eval mode; everything is put back at the end."""
        saved: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for part in module.modules():
            tables = (part.__dict__, part._parameters, part._buffers)
            saved.extend((table, dict(table)) for table in tables)
        try:
            for table, entries in saved:
                for name, value in entries.items():
                    if isinstance(value, torch.Tensor):
                        table[name] = self.of(value)
                    elif name not in _TABLES and _holds_tensors(value):
                        table[name] = self.within(value)
                if "training" in table:
                    table["training"] = False
            yield
        finally:
            for table, entries in saved:
                table.clear()
                table.update(entries)


def _holds_tensors(value: object) -> bool:
    """Whether ``value`` is a list, tuple or dict of tensors, as recurrent layers keep them."""
    items = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
    return any(isinstance(item, torch.Tensor) for item in items)  # type: ignore[attr-defined]
