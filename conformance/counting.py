"""Counts that perfmodel has no part in: PyTorch's own counter, and the nodes of torch.fx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.utils.flop_counter import FlopCounterMode


def counted_flops(run: Callable[[], object]) -> int:
    """FLOPs by ``torch.utils.flop_counter``, which is right on meta tensors only."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


def fx_weight_bytes(traced: fx.GraphModule) -> int:
    """Bytes of the parameters and buffers that the nodes of ``traced`` use, shared ones once.

    The counter of batches in a batch norm serves training only.
    """
    used: dict[int, torch.Tensor] = {}
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op == "call_module":
            module = modules[node.target]
            tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
            tensors.pop("num_batches_tracked", None)
        elif node.op == "get_attr":
            path, _, name = node.target.rpartition(".")
            value = getattr(modules[path], name)
            tensors = {name: value} if isinstance(value, torch.Tensor) else {}
        else:
            continue
        used |= {id(tensor): tensor for tensor in tensors.values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in used.values())


def fx_counts(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[int, int]:
    """FLOPs and weight bytes of ``module`` as torch.fx sees it; raises whatever that raises."""
    with torch.device("meta"), torch.no_grad():
        traced = fx.symbolic_trace(module)
        return counted_flops(lambda: traced(*inputs)), fx_weight_bytes(traced)
