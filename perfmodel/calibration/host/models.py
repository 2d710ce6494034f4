"""Runs of whole models, end to end and, under eager PyTorch, by kernel family."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from perfmodel.calibration.host.runners import runner_for
from perfmodel.calibration.host.timing import Timing, denormals_as_zero, threads, timed
from perfmodel.vocabulary import families as f


def time_model(
    name: str, batch: int, precision: str, count: int, budget_s: float, software: str = "eager"
) -> tuple[Timing, dict[str, float]]:
    """Seconds of one model, and of its kernels by family (eager only), on ``count`` threads.

    Of one thread they are the processor's time, which other work on this computer adds little to;
    of several, the wall's. Weights are random: their values do not change the time.

    Raises:
        PerfmodelError: a precision that the software does not run whole models in.
    """
    clock = time.process_time if count == 1 else time.perf_counter
    with running(name, batch, precision, count, software) as call:
        timing = timed(call, budget_s, clock)
        families = _by_family(call) if software == "eager" else {}
    return timing, families


@contextmanager
def running(
    name: str, batch: int, precision: str, count: int, software: str = "eager"
) -> Iterator[Callable[[], Any]]:
    """What runs one model once, on ``count`` threads for as long as the context lasts.

    Args:
        software: one that :func:`~perfmodel.calibration.host.runners.runner_for` knows.

    Raises as :func:`time_model`.
    """
    runner = runner_for(software)
    runner.check(precision)
    module, inputs = materialised(name, batch)
    with threads(count), denormals_as_zero():
        yield runner.prepare(module, inputs, precision, count)


def materialised(name: str, batch: int) -> tuple[Any, tuple[Any, ...]]:
    """The module with random weights, and inputs for it."""
    import torch

    from perfmodel.models import zoo

    module, inputs = zoo.build(name, batch)
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    with torch.no_grad():
        # All buffers: those that no state dict has (positions) are without values, too.
        for key, tensor in (*module.named_parameters(), *module.named_buffers()):
            if not tensor.is_floating_point():
                tensor.zero_()
            elif key.endswith("running_var"):
                tensor.fill_(1.0)
            else:
                tensor.normal_(0.0, 0.02)
    # 1 is a token of every vocabulary, and a mask that hides nothing.
    real = tuple(
        torch.rand(x.shape) if x.is_floating_point() else torch.ones(x.shape, dtype=x.dtype)
        for x in inputs
    )
    return module, real


#: How the profiler's operator names begin -> family; the first that fits. Convolutions are one: it
#: tells neither groups nor the size of the kernel.
_FAMILY = (
    (("mkldnn_convolution", "_slow_conv", "thnn_conv", "convolution"), "conv"),
    (("addmm", "mm", "linear", "mkldnn_linear"), "linear"),
    (("bmm", "baddbmm", "matmul"), "matmul"),
    (("_scaled_dot_product",), "attention"),
    (("native_batch_norm", "native_layer_norm", "batch_norm", "layer_norm", "_batch"), "norm"),
    (
        ("relu", "clamp", "hardtanh", "gelu", "silu", "hardswish", "hardsigmoid", "sig"),
        "activation",
    ),
    (("add", "mul", "sub", "div"), "elementwise"),
    (("adaptive_avg", "mean", "sum"), "reduction"),
    (("max_pool", "avg_pool", "adaptive", "_adaptive"), "pooling"),
    (("softmax", "_softmax"), "softmax"),
    (("cat", "copy_", "clone", "contiguous", "stack"), "data_movement"),
)


def profiled_as(family: str) -> str:
    """What :func:`family_of` calls the operators of a family of kernels."""
    return f.CONV if family in f.CONVOLUTIONS else family


def family_of(operator: str) -> str:
    """The family of an operator by the profiler's name, such as "aten::addmm"; "other" if none."""
    name = operator.removeprefix("aten::")
    for beginnings, family in _FAMILY:
        if name.startswith(beginnings):
            return family
    return "other"


def _by_family(call: Callable[[], Any], repeats: int = 3) -> dict[str, float]:
    """Seconds of one call by family, the operators' own time, by PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(repeats):
            call()
    total: dict[str, float] = {}
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            family = family_of(event.key)
            total[family] = total.get(family, 0.0) + event.self_cpu_time_total / 1e6 / repeats
    return total
