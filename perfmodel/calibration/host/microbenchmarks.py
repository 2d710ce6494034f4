"""Microbenchmarks by turns, so that each finds the computer as a kernel within a network does.

A kernel that runs again and again finds its code, its weights and the place for its result in the
nearest cache. In a network others run in between: there, the same kernels take up to half as long
again. So all microbenchmarks of a kind take turns. Before each, a small block of a network brings
the framework's own code back into the caches, and the operands are written, as the layer before
would have. Between two rounds the last-level cache is swept, so that all weights are in memory:
these are points of a cold run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.timing import Timing, denormals_as_zero, threads
from perfmodel.calibration.machine_file import software, write
from perfmodel.evidence.measurements import FIT, VALIDATION
from perfmodel.evidence.probes import probe

#: What runs before each timed call: convolutions of all kinds and everything around them, small.
_WARM_UP: Final = "inverted_residual 1x16x7x7 to 64 by 3"
#: Rounds that are timed, after one that is not.
MIN_ROUNDS, MAX_ROUNDS = 5, 200

Call = Callable[[], Any]


@dataclass(frozen=True)
class Point:
    """One microbenchmark that has been run."""

    step: Step
    timing: Timing

    @property
    def seconds(self) -> float:
        """What it took: the lower decile, for a network is the sum of many such calls."""
        return self.timing.decile


def measure(
    steps: Sequence[Step],
    budget_s: float,
    cache_bytes: float,
    keep: Callable[[Sequence[Point]], None],
    progress: Callable[[Step, float], None] = lambda step, done: None,
) -> list[Point]:
    """Run ``steps`` for about ``budget_s`` seconds; ``keep`` sees all points after every round.

    Those of one format and number of threads take turns, and are in a row of ``steps``. An
    interruption passes through; what was kept stays.

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
            for points in rounds(members, share, cache_bytes, turn):
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


def disturbed(points: Sequence[Point]) -> set[Step]:
    """Those that took longer on several threads than on one, by 10 % and more than 50 us.

    That is not what the operator costs: a thread of them waited for a core that other work had.
    """
    alone = {
        replace(point.step, threads=1): point.seconds for point in points if point.step.threads == 1
    }
    found = set()
    for point in points:
        one = alone.get(replace(point.step, threads=1))
        if one is not None and point.step.threads > 1:
            slower = point.seconds - one
            if slower > max(0.1 * one, 50e-6):
                found.add(point.step)
    return found


def measurements_text(points: Sequence[Point], machine: str, brand: str, day: str) -> str:
    """The points as a file of measurements, which ``calibrate --from`` reads.

    Args:
        machine: file name of the machine file beside it.

    What was :func:`disturbed` is marked as not for fitting.
    """
    from perfmodel._toml import lines_of, toml_text

    left_out = disturbed(points)
    versions = ", ".join(f"{name} {version}" for name, version in software().items())
    source = f"Measured on {brand}, {day}, lower decile of calls by turns; {versions}"
    sets = [
        {
            "name": f"host_{precision}",
            "machine": machine,
            "family": "host",
            "precision": precision,
            "software": "eager",
            "state": "cold",
            "quantity": "latency",
            "unit": "us",
            "source": "host",
            "rows": lines_of(
                {
                    "probe": point.step.probe,
                    "cores": point.step.threads,
                    "value": float(f"{point.seconds * 1e6:.5g}"),
                    "spread": float(f"{point.timing.spread:.3g}"),
                    "split": VALIDATION if point.step in left_out else FIT,
                }
                for point in points
                if point.step.precision == precision
            ),
        }
        for precision in dict.fromkeys(point.step.precision for point in points)
    ]
    return toml_text({"sources": {"host": source}, "set": sets})


def keep_in(path: Path, machine: str, brand: str, day: str) -> Callable[[Sequence[Point]], None]:
    """What writes all points so far to ``path``, whole."""

    def keep(points: Sequence[Point]) -> None:
        write(path, measurements_text(points, machine, brand, day))

    return keep
