"""Layers within networks, for software that plans a graph: chains of the same layer, by turns.

Such software compiles a graph: it fuses, chooses layouts that suit the next operator too, and packs
weights. A lone operator shows none of that, and pays for bringing its operands in and its result
out. So a chain of N + 1 like layers, each with weights of its own, is run, and one of a single
layer, and the difference of their times is that of N layers within a network.

The chains take turns. A call that is timed follows one of the same chain that is not, so weights
and code are where they are in a network that runs again and again: a steady run. What counts is the
time that the processor spent on this process, on one thread, and of it the lower decile of many
rounds: other work on the same cores takes turns with this one, and costs little of that but caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.points import Point
from perfmodel.calibration.host.runners import runner_for
from perfmodel.calibration.host.timing import Timing
from perfmodel.evidence.probes import Probe, probe

#: Rounds that are timed.
MIN_ROUNDS, MAX_ROUNDS = 5, 200

Call = Callable[[], Any]
Turn = Callable[[Step], None]


def rounds(
    steps: Sequence[Step],
    budget_s: float,
    turn: Turn = lambda step: None,
    clock: Callable[[], float] = time.process_time,
) -> Iterator[list[Point]]:
    """The points so far after each round of steps of one precision, for about ``budget_s`` seconds.

    Preparing the chains comes before, and is not part of the budget. The budget is of ``clock``,
    too: a computer that others use takes longer, and does not measure less.
    """
    pairs = []
    for step in steps:
        turn(step)
        chosen = probe(step.probe)
        pairs.append([_prepared(step, chosen.of(n)) for n in (chosen.layers + 1, 1)])
    taken: list[list[tuple[float, float]]] = []
    start = clock()
    while len(taken) < MIN_ROUNDS or (len(taken) < MAX_ROUNDS and clock() - start < budget_s):
        seconds = []
        for step, (chain, single) in zip(steps, pairs, strict=True):
            turn(step)
            seconds.append((_once(chain, clock), _once(single, clock)))
        taken.append(seconds)
        yield [
            Point(step, difference(*map(Timing.of, zip(*samples, strict=True))))
            for step, samples in zip(steps, zip(*taken, strict=True), strict=True)
        ]


def difference(chain: Timing, single: Timing) -> Timing:
    """Return what the layers of a chain take beside the one that both have.

    The spread is that of the chain; of layers that noise hides, a tenth of its time is left.
    """
    minimum = max(chain.minimum - single.minimum, chain.minimum / 10)
    decile = max(chain.decile - single.decile, chain.decile / 10)
    return Timing(minimum, decile, minimum * (1 + chain.spread), chain.samples)


def _once(call: Call, clock: Callable[[], float]) -> float:
    """Seconds of one call behind another."""
    call()
    begin = clock()
    call()
    return clock() - begin


def _prepared(step: Step, chosen: Probe) -> Call:
    module, operands = chosen.module()
    module = module.eval().requires_grad_(False)
    return runner_for(step.software).prepare(module, operands, step.precision, step.threads)
