"""What a run of a forward left behind: its operators in order, with the values they had.

The shape of it follows ``torch.export.ExportedProgram`` as far as the recorder reads one, so saved
programs and forwards that were run are recorded alike. A step holds the values themselves where a
graph holds nodes, and whatever was called is a step: also what leads to no output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export.graph_signature import InputKind


@dataclass(slots=True)
class Step:
    """One operator that was called, or a tensor that was there before.

    Attributes:
        name: of a tensor that was there; empty for a call.
        op: "call_function" or "placeholder", as nodes of ``torch.fx`` have it.
        target: the operator.
        args, kwargs: what it was called with.
        meta: ``val``, what it returned, and ``nn_module_stack``, the module that called it.
    """

    name: str = ""
    op: str = "call_function"
    target: Any = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a tensor is that was there before: a weight, by its path in the module, or an input."""

    kind: InputKind
    target: str


@dataclass(frozen=True)
class Program:
    """The steps of one forward, in order, and what each placeholder among them is.

    Attributes:
        nodes: the steps.
        input_specs: of the placeholders, in the order of the steps.
        leaves: names of the tensors in each leaf of the arguments.
        sized: what stood for the arguments that have symbols for sizes, by leaf.
        read: which values were read to decide a branch, a number or a size, by name.
        notes: what was assumed while it ran.
    """

    nodes: list[Step]
    input_specs: list[TensorSpec]
    leaves: Sequence[tuple[str, ...]] = ()
    sized: Mapping[int, torch.Tensor] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def graph(self) -> Program:
        """The steps, where an exported program has its graph."""
        return self

    @property
    def graph_module(self) -> Program:
        """The steps, where an exported program has its module."""
        return self

    @property
    def graph_signature(self) -> Program:
        """What the placeholders are, where an exported program has its signature."""
        return self

    @property
    def user_inputs(self) -> tuple[str, ...]:
        """Names of the tensors that the user passes."""
        return tuple(spec.target for spec in self.input_specs if spec.kind is InputKind.USER_INPUT)
