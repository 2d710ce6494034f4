"""What is held of each case: its FLOPs, and that the module is left as it was."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from perfmodel.tracing import inputs
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload
from zoo.case import Built

#: Operators that PyTorch's counter counts as nothing. What they cost is held by tests of their
#: formulas (tests/tracing).
BEYOND = ("aten._fft_", "aten.linalg_", "aten._linalg_")


def traced(built: Built) -> Workload:
    """The workload of a case."""
    return trace(
        built.module, built.args, kwargs=built.kwargs, allow_masks=built.allow_masks, name="case"
    )


def countable(workload: Workload) -> int:
    """FLOPs of the operators that PyTorch's counter knows."""
    kernels = workload.kernels
    return sum(
        flops
        for operator, flops in zip(kernels.operator, kernels.flops.tolist(), strict=True)
        if not operator.startswith(BEYOND)
    )


def counted(built: Built) -> int:
    """FLOPs by PyTorch's counter: on meta, or on the CPU where the forward needs values.

    Attention on a CPU is an operator of its own, which the counter is told of, and recurrent layers
    are one that it does not know, unless the library that runs them is switched off.
    """
    for parameter in built.module.parameters():
        parameter.requires_grad_(False)
    if hasattr(built.module, "set_experts_implementation"):
        # A loop over experts is made of products that the counter knows.
        with contextlib.suppress(Exception):
            built.module.set_experts_implementation("eager")
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        return _count(_on_meta(built))
    except Exception:  # Whatever a model does with values.
        return _count(lambda: built.module(*built.args, **built.kwargs))
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _count(run: Callable[[], object]) -> int:
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={attention: _attention})
    with counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


def _on_meta(built: Built) -> Callable[[], object]:
    module = copy.deepcopy(built.module).to("meta")
    args, kwargs = pytree.tree_map_only(
        torch.Tensor, lambda tensor: tensor.to("meta"), (built.args, dict(built.kwargs))
    )
    return lambda: module(*args, **kwargs)


def forward(built: Built) -> list[torch.Tensor]:
    """The tensors that a forward returns, at the same random numbers each time."""
    torch.manual_seed(1)
    with torch.no_grad():
        output = built.module(*built.args, **dict(built.kwargs))
    return [tensor.clone() for tensor in inputs.inside([output])]


def held(module: torch.nn.Module) -> dict[tuple[str, ...], int]:
    """What the modules of ``module`` hold, hooks included: identities by path and name."""
    found: dict[tuple[str, ...], int] = {}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            found[path, name] = id(value)
            if isinstance(value, dict):
                found |= {(path, name, str(key)): id(item) for key, item in value.items()}
            elif isinstance(value, list):
                found |= {(path, name, str(key)): id(item) for key, item in enumerate(value)}
    return found
