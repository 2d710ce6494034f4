"""Microbenchmarks by turns, so that each finds the computer as a kernel within a network does.

A kernel that runs again and again finds its code, its weights and the place for its result in the
nearest cache. In a network others run in between: there, the same kernels take up to half as long
again. So all microbenchmarks of a kind take turns. Before each, a small block of a network brings
the framework's own code back into the caches, and the operands are written, as the layer before
would have. Between two rounds the last-level cache is swept, so that all weights are in memory:
these are points of a cold run.

Software that plans a graph is measured by the layers of small networks instead: :mod:`.layers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from perfmodel.calibration.host import layers
from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.points import Point
from perfmodel.calibration.host.timing import Timing, denormals_as_zero, threads
from perfmodel.evidence.probes import probe

#: What runs before each timed call: convolutions of all kinds and everything around them, small.
_WARM_UP: Final = "inverted_residual 1x16x7x7 to 64 by 3"
#: Rounds that are timed, after one that is not.
MIN_ROUNDS, MAX_ROUNDS = 5, 200

Call = Callable[[], Any]


def measure(
    steps: Sequence[Step],
    budget_s: float,
    cache_bytes: float,
    keep: Callable[[Sequence[Point]], None],
    progress: Callable[[Step, float], None] = lambda step, done: None,
) -> list[Point]:
    """Run ``steps`` for about ``budget_s`` seconds; ``keep`` sees all points after every round.

    Those of one precision and number of threads take turns, and are in a row of ``steps``; all are
    of one software. An interruption passes through; what was kept stays.

    Args:
        cache_bytes: of the last-level cache.
        progress: is told each step before its turn, and the share of the budget that is used.
    """
    finished: list[Point] = []
    begin = time.perf_counter()

    def turn(step: Step) -> None:
        progress(step, min(1.0, (time.perf_counter() - begin) / budget_s))

    for (_, count), group in groupby(steps, key=lambda step: (step.precision, step.threads)):
        members = list(group)
        points: list[Point] = []
        share = budget_s * len(members) / len(steps)
        with threads(count), denormals_as_zero():
            for points in (
                rounds(members, share, cache_bytes, turn)
                if members[0].software == "eager"
                else layers.rounds(members, share, turn)
            ):
                keep([*finished, *points])
        finished += points
    return finished


def rounds(
    steps: Sequence[Step],
    budget_s: float,
    cache_bytes: float,
    turn: Callable[[Step], None] = lambda step: None,
) -> Iterator[list[Point]]:
    """The points so far after each round of steps of one format, for about ``budget_s`` seconds."""
    import torch

    with torch.inference_mode():
        calls = [prepared(step) for step in steps]
        floating = "bf16" if steps[0].precision == "bf16" else "fp32"
        warm_up, _ = prepared(Step(_WARM_UP, floating, steps[0].threads))
        sweep = torch.zeros(int(2 * cache_bytes / 4))

        def once() -> list[float]:
            sweep.add_(1.0)
            seconds = []
            for step, (call, operands) in zip(steps, calls, strict=True):
                turn(step)
                warm_up()
                for operand in operands:
                    operand.mul_(1)
                begin = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - begin)
            return seconds

        start = time.perf_counter()
        once()  # The first call of each makes its kernels.
        taken: list[list[float]] = []
        while len(taken) < MIN_ROUNDS or (
            len(taken) < MAX_ROUNDS and time.perf_counter() - start < budget_s
        ):
            taken.append(once())
            samples = zip(steps, zip(*taken, strict=True), strict=True)
            yield [Point(step, Timing.of(seconds)) for step, seconds in samples]


def prepared(step: Step) -> tuple[Call, tuple[Any, ...]]:
    """What runs one microbenchmark once, and the operands that the layer before it would write."""
    import torch

    chosen = probe(step.probe)
    if chosen.kind == "int_mm":
        rows, outputs, inputs = chosen.shape
        a = torch.randint(-9, 9, (rows, inputs), dtype=torch.int8)
        b = torch.randint(-9, 9, (inputs, outputs), dtype=torch.int8)
        return lambda: torch._int_mm(a, b), (a,)
    module, operands = chosen.module()
    module.eval()
    if step.precision == "bf16":
        module = module.to(torch.bfloat16)
        operands = tuple(operand.to(torch.bfloat16) for operand in operands)
    return lambda: module(*operands), operands
