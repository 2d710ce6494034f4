"""Small modules to trace, and a readable view of what their trace holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import ROLES, Workload


class Function(torch.nn.Module):
    """A module that calls a function; modules and parameters given by name become its own."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def trace_function(function: Callable[..., Any], *inputs: Any, **options: Any) -> Workload:
    return trace(Function(function), inputs, **options)


def accesses(workload: Workload, kernel: int = -1) -> dict[tuple[str, str], int]:
    """Elements that one kernel touches, by (role, name of the tensor)."""
    a = workload.accesses
    kernel %= len(workload)
    rows = zip(
        a.kernel.tolist(), a.tensor.tolist(), a.role.tolist(), a.elements.tolist(), strict=True
    )
    return {
        (ROLES[role], workload.tensors.name[tensor]): elements
        for index, tensor, role, elements in rows
        if index == kernel
    }


def touched(workload: Workload, kernel: int = -1) -> dict[str, int]:
    """Elements that one kernel touches, by role."""
    kernel %= len(workload)
    per_role = {}
    for code, role in enumerate(ROLES):
        chosen = (workload.accesses.role == code) & (workload.accesses.kernel == kernel)
        per_role[role] = int(workload.accesses.elements[chosen].sum())
    return per_role
