"""Runs of microbenchmarks and models under PyTorch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.timing import Timing, timed
from perfmodel.calibration.machine_file import software, write
from perfmodel.calibration.measurements import FIT, VALIDATION
from perfmodel.calibration.probes import probe
from perfmodel.errors import PerfmodelError


@dataclass(frozen=True)
class Point:
    """One microbenchmark that has been run."""

    step: Step
    timing: Timing


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` threads, and as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure(
    steps: Sequence[Step],
    budget_s: float,
    keep: Callable[[Sequence[Point]], None],
    progress: Callable[[Step], None] = lambda step: None,
) -> list[Point]:
    """Run ``steps``, each for an equal part of ``budget_s`` seconds; ``keep`` sees every new list.

    An interruption between or within steps passes through; what was kept stays.
    """
    points: list[Point] = []
    for step in steps:
        progress(step)
        with threads(step.threads):
            points.append(Point(step, time_step(step, budget_s / len(steps) / 2)))
        keep(points)
    return points


def time_step(step: Step, budget_s: float) -> Timing:
    """Seconds of one microbenchmark."""
    import torch

    chosen = probe(step.probe)
    with torch.inference_mode():
        if chosen.kind == "int_mm":
            rows, outputs, inputs = chosen.shape
            a = torch.randint(-9, 9, (rows, inputs), dtype=torch.int8)
            b = torch.randint(-9, 9, (inputs, outputs), dtype=torch.int8)
            return timed(lambda: torch._int_mm(a, b), budget_s)
        module, operands = chosen.module()
        module.eval()
        if step.precision == "bf16":
            module = module.to(torch.bfloat16)
            operands = tuple(operand.to(torch.bfloat16) for operand in operands)
        return timed(lambda: module(*operands), budget_s)


def disturbed(points: Sequence[Point]) -> set[Step]:
    """Those that took longer on several threads than on one, by 10 % and more than 50 us.

    That is not what the operator costs: a thread of them waited for a core that other work had.
    """
    alone = {
        (point.step.probe, point.step.precision): point.timing.minimum
        for point in points
        if point.step.threads == 1
    }
    found = set()
    for point in points:
        one = alone.get((point.step.probe, point.step.precision))
        if one is not None and point.step.threads > 1:
            slower = point.timing.minimum - one
            if slower > max(0.1 * one, 50e-6):
                found.add(point.step)
    return found


def measurements_text(points: Sequence[Point], machine: str, brand: str, day: str) -> str:
    """The points as a file of measurements, which ``calibrate --from`` reads.

    Args:
        machine: file name of the machine file beside it.

    What was :func:`disturbed` is marked as not for fitting.
    """
    left_out = disturbed(points)
    versions = ", ".join(f"{name} {version}" for name, version in software().items())
    lines = [
        "[sources]",
        f"host = {json.dumps(f'Measured on {brand}, {day}, minimum over repeats; {versions}')}",
    ]
    for precision in dict.fromkeys(point.step.precision for point in points):
        lines += [
            "",
            "[[set]]",
            f'name = "host_{precision}"',
            f"machine = {json.dumps(machine)}",
            'family = "host"',
            f'precision = "{precision}"',
            'runtime = "eager"',
            'quantity = "latency"',
            'unit = "us"',
            'source = "host"',
            "rows = [",
        ]
        lines += [
            f'  {{ probe = "{point.step.probe}", cores = {point.step.threads}, '
            f"value = {point.timing.minimum * 1e6:.5g}, spread = {point.timing.spread:.3g}, "
            f'split = "{VALIDATION if point.step in left_out else FIT}" }},'
            for point in points
            if point.step.precision == precision
        ]
        lines.append("]")
    return "\n".join(lines) + "\n"


def keep_in(path: Path, machine: str, brand: str, day: str) -> Callable[[Sequence[Point]], None]:
    """What writes all points so far to ``path``, whole."""

    def keep(points: Sequence[Point]) -> None:
        write(path, measurements_text(points, machine, brand, day))

    return keep


def time_model(
    name: str, batch: int, precision: str, count: int, budget_s: float, *, compiled: bool = False
) -> tuple[Timing, dict[str, float]]:
    """Seconds of one model, and of its kernels by family (eager only), on ``count`` threads.

    Weights are random: their values do not change the time.

    Raises:
        PerfmodelError: a precision that PyTorch does not run whole models in.
    """
    with running(name, batch, precision, count, compiled=compiled) as call:
        timing = timed(call, budget_s)
        families = {} if compiled else _by_family(call)
    return timing, families


@contextmanager
def running(
    name: str, batch: int, precision: str, count: int, *, compiled: bool = False
) -> Iterator[Callable[[], Any]]:
    """What runs one model once, on ``count`` threads for as long as the context lasts.

    Raises as :func:`time_model`.
    """
    import torch

    if precision not in ("fp32", "bf16"):
        raise PerfmodelError(f"--host runs models in fp32 or bf16, not {precision}")
    module, inputs = _real(name, batch)
    if precision == "bf16":
        module = module.to(torch.bfloat16)
        inputs = tuple(x.to(torch.bfloat16) if x.is_floating_point() else x for x in inputs)
    run: Any = torch.compile(module) if compiled else module
    # Random weights may drive activations into denormals, which take many times as long.
    torch.set_flush_denormal(True)
    try:
        with threads(count), torch.inference_mode():
            yield lambda: run(*inputs)
    finally:
        torch.set_flush_denormal(False)


def _real(name: str, batch: int) -> tuple[Any, tuple[Any, ...]]:
    """The module with random weights, and inputs for it."""
    import torch

    from perfmodel.workload import zoo

    module, inputs = zoo.build(name, batch)
    module = module.to_empty(device="cpu").eval()
    with torch.no_grad():
        for key, tensor in module.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point():
                tensor.zero_()
            elif key.endswith("running_var"):
                tensor.fill_(1.0)
            else:
                tensor.normal_(0.0, 0.02)
    real = tuple(
        torch.rand(x.shape) if x.is_floating_point() else torch.zeros(x.shape, dtype=x.dtype)
        for x in inputs
    )
    return module, real


#: How the profiler's operator names begin -> family. Convolutions are one: it does not tell groups.
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
    (("max_pool", "avg_pool", "adaptive", "mean", "_adaptive"), "pooling"),
    (("softmax", "_softmax"), "softmax"),
    (("cat", "copy_", "clone", "contiguous", "stack"), "data_movement"),
)


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
