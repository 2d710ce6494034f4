"""PyTorch, operator by operator or compiled by Inductor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

#: Graphs of one function that are kept: every block that is measured is one of nn.Sequential's.
_GRAPHS = 4096


def eager(
    module: torch.nn.Module, operands: tuple[Any, ...], precision: str, threads: int
) -> Callable[[], Any]:
    """Return what runs the module as it is; its weights are converted to the precision."""
    module, operands = _converted(module, operands, precision)
    return _without_gradients(module, operands)


def compiled(
    module: torch.nn.Module,
    operands: tuple[Any, ...],
    precision: str,
    threads: int,
    *,
    freezing: bool,
) -> Callable[[], Any]:
    """Return what runs the module under ``torch.compile``, compiled by one run.

    Args:
        freezing: whether weights are packed once, and batch norms folded into them.
    """
    import torch
    from torch._dynamo import config
    from torch._inductor import config as inductor

    config.recompile_limit = config.accumulated_recompile_limit = _GRAPHS
    module, operands = _converted(module, operands, precision)
    run = _without_gradients(torch.compile(module), operands)
    # As an option of torch.compile it comes too late: Dynamo reads it, too, and without it
    # convolutions keep unpacked weights (1.5 times as long for ResNet-50 on one thread).
    with inductor.patch(freezing=freezing):
        run()
    return run


def _without_gradients(run: Callable[..., Any], operands: tuple[Any, ...]) -> Callable[[], Any]:
    import torch

    def call() -> Any:
        with torch.inference_mode():
            return run(*operands)

    return call


def _converted(
    module: torch.nn.Module, operands: tuple[Any, ...], precision: str
) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    import torch

    if precision != "bf16":
        return module, operands
    return module.to(torch.bfloat16), tuple(
        x.to(torch.bfloat16) if x.is_floating_point() else x for x in operands
    )
