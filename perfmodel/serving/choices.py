"""Ways to run a socket, and how requests fare at a rate: in batches, or as generated text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from perfmodel.errors import NotEnoughMemory
from perfmodel.machine import Machine
from perfmodel.mapping.result import Result
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario
from perfmodel.serving.goal import Timings
from perfmodel.serving.partition import divisions_to_try
from perfmodel.serving.queueing import Steps, batched, generated, poisson_arrivals
from perfmodel.serving.serving import serve
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload

#: Requests that are drawn, and how many of the first are not counted: the line is empty then.
REQUESTS: Final = 2200
WARM_UP: Final = 200
SEED: Final = 0


@dataclass(frozen=True)
class Choice:
    """One way to run a socket.

    Attributes:
        batch: the most samples, or sequences, of an instance at once.
        result: one run at that batch.
        capacity: requests per second that no more than can be served.
        alone: times of one request that meets no other, each of shape (1,).
        timings: of the requests at a rate of the socket; the second and the third argument are
            factors on the times of runs (of prompts, and of decode where text is generated).
        first: one run of a prompt where text is generated, else the result.
    """

    partition: Partition
    batch: int
    result: Result
    capacity: float
    alone: Timings
    timings: Callable[[float, float, float], Timings]
    first: Result

    @property
    def prompt(self) -> Result | None:
        """One run of a whole prompt; None where no text is generated."""
        return None if self.first is self.result else self.first

    def factors(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """Return those factors at the upper and the lower ends of the estimates' intervals.

        None of a bound. Intervals take as long as many estimates.
        """
        return _factors(self.first, self.result)


def batches_choices(
    workload: Callable[[int], Workload], machine: Machine, run: Scenario, batches: Sequence[int]
) -> tuple[list[Choice], list[str]]:
    """Return the ways to serve requests of one sample, and why divisions have no room."""
    choices: list[Choice] = []
    full: list[str] = []
    for partition in divisions_to_try(machine, run):
        try:
            found = [serve(workload(batch), machine, partition, run) for batch in batches]
        except NotEnoughMemory as error:
            full.append(str(error))
            continue
        seconds = np.array([result.latency_ms / 1e3 for result in found])
        for number, most in enumerate(batches):
            line = np.interp(np.arange(1, most + 1), batches, seconds)
            result = found[number]
            choices.append(
                Choice(
                    partition,
                    most,
                    result,
                    partition.instances * float(np.max(np.arange(1, most + 1) / line)),
                    _whole(seconds[:1]),
                    partial(_requests, partition.instances, line.tolist()),
                    result,
                )
            )
    return choices, full


def text_choices(
    prefill: Callable[[int], Workload],
    decode: Callable[[int, int], Workload],
    machine: Machine,
    run: Scenario,
    batches: Sequence[int],
    *,
    prompt: int,
    output: int,
    chunk: int,
) -> tuple[list[Choice], list[str]]:
    """Return the ways to serve requests that generate text, and why divisions have no room."""
    choices: list[Choice] = []
    full: list[str] = []
    last = prompt + max(1, output - 1)
    for partition in divisions_to_try(machine, run):
        early: list[float] = []
        late: list[Result] = []
        prompts = functools.cache(partial(_prompt, prefill, machine, partition, run))
        try:
            chunks = _chunks(prompts, prompt, chunk)
            for batch in batches:
                late.append(serve(decode(batch, last), machine, partition, run))
                begin = serve(decode(batch, prompt + 1), machine, partition, run)
                early.append(begin.latency_ms / 1e3)
        except NotEnoughMemory as error:
            full.append(str(error))
        if not late:
            continue
        sizes = np.arange(1, batches[len(late) - 1] + 1)
        decodes = np.interp(sizes, batches[: len(late)], early)
        ends = np.interp(sizes, batches[: len(late)], [each.latency_ms / 1e3 for each in late])
        growth = np.maximum(ends - decodes, 0) / max(1, output - 2)
        steps = Steps(chunks, tuple(decodes.tolist()), tuple(growth.tolist()))
        choices += [
            Choice(
                partition,
                most,
                result,
                partition.instances * steps.capacity(output, most),
                _alone(steps, output),
                partial(_text, partition.instances, steps, output, most),
                prompts(prompt),
            )
            for most, result in zip(batches, late, strict=False)
        ]
    return choices, full


def _prompt(
    prefill: Callable[[int], Workload],
    machine: Machine,
    partition: Partition,
    run: Scenario,
    tokens: int,
) -> Result:
    return serve(prefill(tokens), machine, partition, run)


def _chunks(prompts: Callable[[int], Result], tokens: int, chunk: int) -> tuple[float, ...]:
    """Seconds of each part of a prompt.

    A part takes what it takes alone, or what the prompt takes longer with it than without: later
    parts attend to the earlier.
    """

    def seconds(length: int) -> float:
        return prompts(length).latency_ms / 1e3

    ends = [*range(chunk, tokens, chunk), tokens]
    later = (
        max(seconds(stop - start), seconds(stop) - seconds(start)) for start, stop in pairwise(ends)
    )
    return (seconds(ends[0]), *later)


def _requests(
    instances: int, seconds: Sequence[float], rate: float, factor: float, _: float
) -> Timings:
    arrivals = poisson_arrivals(REQUESTS, SEED) / rate
    return _whole(batched(arrivals, instances, [each * factor for each in seconds])[WARM_UP:])


def _whole(latency: FloatArray) -> Timings:
    """Times of requests that generate nothing."""
    nothing = np.zeros_like(latency)
    return Timings(latency, nothing, nothing)


def _text(
    instances: int,
    steps: Steps,
    output: int,
    most: int,
    rate: float,
    prefill: float,
    decode: float,
) -> Timings:
    arrivals = poisson_arrivals(REQUESTS, SEED) * (instances / rate)
    return _times(arrivals, steps.scaled(prefill, decode), output, most, WARM_UP)


def _alone(steps: Steps, output: int) -> Timings:
    return _times(np.zeros(1), steps, output, len(steps.decode))


def _times(
    arrivals: FloatArray, steps: Steps, output: int, most: int, first: int | None = None
) -> Timings:
    """What requests meet, those before the ``first`` left out."""
    found = generated(arrivals, steps, output, most)
    ttft, tpot = found.ttft[first:], found.tpot[first:]
    return Timings(ttft + tpot * (output - 1), ttft, tpot)


def _factors(
    first: Result, second: Result
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """How many times as long both kinds of run take at the ends of their intervals."""
    ends, others = first.ends, second.ends
    if ends is None or others is None:
        return None, None
    (low, high), (lower, higher) = ends, others
    return (high, higher), (low, lower)
