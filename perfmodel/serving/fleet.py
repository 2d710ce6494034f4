"""The smallest fleet of sockets that serves a rate within limits of latency, waiting included.

Requests arrive at random (Poisson), and are spread at random over sockets, or over instances where
they generate text. Of every CPU, the division and the number of sequences at once are found that
bear the highest rate within the limits; the fleet follows from it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Unpack

import numpy as np

from perfmodel._text import significant
from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.result import Result
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.serving.partition import divisions, partitions
from perfmodel.serving.queueing import Steps, batched, generated, poisson_arrivals
from perfmodel.serving.serving import NoRoom, serve
from perfmodel.vocabulary import ranges
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload

#: Requests that are drawn, and how many of the first are not counted: the line is empty then.
REQUESTS: Final = 2200
WARM_UP: Final = 200
SEED: Final = 0
PERCENTILES: Final = (50, 95, 99)
#: What the columns mean.
DEFINITIONS: Final = {
    "ttft": "from arrival to the first output token, waiting included",
    "tpot": "mean time per output token of a request, the first excluded",
    "latency": "from arrival to the end, waiting included",
}
#: Tokens of a prompt that one step processes beside the sequences that run.
CHUNK: Final = 512
#: A rate is found to this share of itself.
_CLOSE: Final = 0.01
#: Sequences that run at once, or samples of a batch, that are tried.
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Goal:
    """What is asked of a service.

    Attributes:
        rate: requests per second; None for as many as one socket bears.
        latency_s: from arrival to the end, waiting included.
        ttft_s: time to first token, waiting included.
        tpot_s: mean time per output token of a request, the first excluded.
        percentile: of the requests that must be within each limit, in percent.

    Raises:
        PerfmodelError: a number outside its plausible range, or no limit at all.
    """

    rate: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: float = 99.0

    def __post_init__(self) -> None:
        if self.rate is not None:
            ranges.RATE.check("rate", self.rate)
        ranges.PERCENTILE.check("percentile", self.percentile)
        limits = {
            "latency limit": self.latency_s,
            "limit of the time to first token": self.ttft_s,
            "limit of the time per output token": self.tpot_s,
        }
        for name, limit in limits.items():
            if limit is not None:
                ranges.LATENCY.check(name, limit)
        if all(limit is None for limit in limits.values()):
            raise PerfmodelError(
                "a rate alone is borne by any fleet that waits long enough: state a limit "
                "(--max-latency; --ttft or --tpot of a model that generates text)"
            )

    def met(self, found: Timings) -> bool:
        """Whether so many of the requests are within each limit."""
        pairs = (
            (self.latency_s, found.latency),
            (self.ttft_s, found.ttft),
            (self.tpot_s, found.tpot),
        )
        return all(
            limit is None or _percentile(values, self.percentile) <= limit
            for limit, values in pairs
        )


@dataclass(frozen=True, eq=False)
class Timings:
    """Seconds of each request, shape (N,): to its end, to its first token, per token after it.

    A model that generates nothing has no tokens: both are zero.
    """

    latency: FloatArray
    ttft: FloatArray
    tpot: FloatArray

    def scaled(self, first: float, second: float) -> Timings:
        """Return them with the time to the first token, and the rest, so many times as long."""
        ttft, rest = self.ttft * first, (self.latency - self.ttft) * second
        return Timings(ttft + rest, ttft, self.tpot * second)


@dataclass(frozen=True)
class Fleets:
    """The fleet of each CPU, fewest sockets first, and why others have none.

    Attributes:
        missed: a line for each CPU that meets the limits at no rate.
    """

    fleets: tuple[Fleet, ...]
    missed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects for JSON."""
        return {
            "requests_simulated": REQUESTS - WARM_UP,
            "seed": SEED,
            "definitions": DEFINITIONS,
            "fleets": [fleet.to_dict() for fleet in self.fleets],
            "missed": list(self.missed),
        }


@dataclass(frozen=True)
class Fleet:
    """How one CPU serves the goal.

    Attributes:
        partition, batch: division of a socket, and the most samples of a batch, or sequences at
            once of an instance, that bear the highest rate.
        most_rate: requests per second that a socket bears within the limits.
        most_rate_low, most_rate_high: the same were all times as long, or as short, as the ends of
            the estimates' intervals; None of a bound. 0 where the limits are then never met.
        sockets: that serve the goal's rate; 1 without one.
        rate: requests per second of a socket of that fleet.
        latency_ms, ttft_ms, tpot_ms: percentiles at that rate, by percentile. The time to first
            token includes waiting; that per output token leaves the first out. Both empty of a
            model that generates nothing.
        tokens_per_s: tokens that a socket generates at that rate; None where it generates none.
        load: share of the rate that an instance never stops working at.
        result: one run at ``batch``: of decode where text is generated.
    """

    cpu: str
    goal: Goal
    partition: Partition
    batch: int
    most_rate: float
    most_rate_low: float | None
    most_rate_high: float | None
    sockets: int
    rate: float
    latency_ms: dict[int, float]
    ttft_ms: dict[int, float]
    tpot_ms: dict[int, float]
    tokens_per_s: float | None
    load: float
    result: Result = field(repr=False)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects for JSON, units in the keys."""
        percentiles = {
            f"{name}_p{percentile}_ms": value
            for name in ("latency", "ttft", "tpot")
            for percentile, value in getattr(self, f"{name}_ms").items()
        }
        return {
            "model": self.result.model,
            "cpu": self.cpu,
            "precision": self.result.precision,
            "software": self.result.software,
            "sockets": self.sockets,
            "instances": self.partition.instances,
            "cores_per_instance": self.partition.cores,
            "batch": self.batch,
            "rate_per_socket": self.rate,
            "most_rate_per_socket": self.most_rate,
            "most_rate_low": self.most_rate_low,
            "most_rate_high": self.most_rate_high,
            "interval_coverage": self.result.interval_coverage,
            "provenance": self.result.provenance,
            "load": self.load,
            "tokens_per_s_per_socket": self.tokens_per_s,
            "percentile": self.goal.percentile,
            **percentiles,
        }


class Missed(PerfmodelError):
    """No division of a socket meets the limits, however low the rate."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """One way to run a socket: how requests fare at a rate of the whole socket."""

    partition: Partition
    batch: int
    result: Result
    capacity: float
    alone: Timings
    """Of one request that meets no other: the least there is."""
    timings: Callable[[float, float, float], Timings]
    """Of a rate, and factors on the times of the first and the second kind of run."""
    slower: tuple[float, float] | None
    faster: tuple[float, float] | None


def fleets(cpus: Sequence[Any], fleet: Callable[[Any], Fleet]) -> Fleets:
    """Return the fleet of each CPU, fewest sockets first.

    Raises:
        Missed: every CPU misses the limits.
    """
    found: list[Fleet] = []
    missed: list[str] = []
    for cpu in cpus:
        try:
            found.append(fleet(cpu))
        except (Missed, NoRoom) as error:
            missed.append(str(error))
    if not found:
        raise Missed("; ".join(missed))
    return Fleets(tuple(sorted(found, key=lambda f: (f.sockets, -f.most_rate))), tuple(missed))


def check_requests(goal: Goal, chunk: int | None, name: str) -> None:
    """Raise PerfmodelError for limits that only generated text has."""
    if goal.ttft_s is not None or goal.tpot_s is not None or chunk is not None:
        raise PerfmodelError(
            f"{name}: say how many tokens a request generates (--output) beside limits of the time "
            "to the first token and per token; other models have a latency alone (--max-latency)"
        )


def check_workload(workload: Workload) -> None:
    """Raise PerfmodelError for one step of a model that generates text, which is no request."""
    if workload.phase is not None:
        raise PerfmodelError(
            f"{workload.name} generates text: say how many tokens a request generates (--output)"
        )


def check_text(goal: Goal, run: Scenario, output: int) -> None:
    """Raise PerfmodelError for what is no service of generated text."""
    ranges.OUTPUT.check("output", output)
    if run.phase is not None or run.context is not None:
        raise PerfmodelError(
            "a service runs both phases, at every context: leave --phase and --context out"
        )
    if output == 1 and goal.tpot_s is not None:
        raise PerfmodelError(
            "a request of one output token has no time per output token: leave that limit out"
        )


def requests_fleet(
    workload: Callable[[int], Workload],
    cpu: str | os.PathLike[str] | Machine,
    goal: Goal,
    scenario: ScenarioLike = None,
    *,
    batches: Sequence[int] = BATCHES,
    **options: Unpack[RunOptions],
) -> Fleet:
    """Return how one CPU serves requests of one sample each.

    The instances of a socket share one line of requests. One that is free computes all that wait at
    once, up to a batch.

    Args:
        workload: gives the model at a batch.
        scenario, options: as for :func:`perfmodel.serving.search`.
        batches: the most samples of a batch, to try, ascending; fewer than the first take as long.

    Raises:
        Missed: the limits are met at no rate.
        NoRoom, UnknownName, MachineError: as :func:`perfmodel.serving.search`.
    """
    run, machine = scenario_of(scenario, options), load_machine(cpu)
    choices: list[_Choice] = []
    full: list[str] = []
    for partition in _divisions(machine, run):
        try:
            found = [serve(workload(batch), machine, partition, run) for batch in batches]
        except NoRoom as error:
            full.append(str(error))
            continue
        seconds = np.array([result.latency_ms / 1e3 for result in found])
        for number, most in enumerate(batches):
            line = np.interp(np.arange(1, most + 1), batches, seconds)
            result = found[number]
            choices.append(
                _Choice(
                    partition,
                    most,
                    result,
                    partition.instances * float(np.max(np.arange(1, most + 1) / line)),
                    Timings(seconds[:1], np.zeros(1), np.zeros(1)),
                    partial(_requests, partition.instances, line.tolist()),
                    *_factors(result, result),
                )
            )
    return _best(machine, goal, choices, full, 0)


def text_fleet(
    prefill: Callable[[int], Workload],
    decode: Callable[[int, int], Workload],
    cpu: str | os.PathLike[str] | Machine,
    goal: Goal,
    scenario: ScenarioLike = None,
    *,
    prompt: int,
    output: int,
    chunk: int,
    batches: Sequence[int] = BATCHES,
    **options: Unpack[RunOptions],
) -> Fleet:
    """Return how one CPU serves requests that each generate text.

    Args:
        prefill: gives the model over a prompt of so many tokens, at batch 1.
        decode: gives a step of generation at a batch and a context.
        prompt, output: tokens of each request: of its prompt, and generated.
        chunk: tokens of a prompt that one step processes.
        batches: the most sequences at once, to try, ascending; fewer than the first take as long.

    Raises as :func:`requests_fleet`.
    """
    run, machine = scenario_of(scenario, options), load_machine(cpu)
    choices: list[_Choice] = []
    full: list[str] = []
    last = prompt + max(1, output - 1)
    for partition in _divisions(machine, run):
        seconds = partial(_prompt_seconds, prefill, machine, partition, run)
        early: list[float] = []
        late: list[Result] = []
        try:
            for batch in batches:
                late.append(serve(decode(batch, last), machine, partition, run))
                begin = serve(decode(batch, prompt + 1), machine, partition, run)
                early.append(begin.latency_ms / 1e3)
        except NoRoom as error:
            full.append(str(error))
        if not late:
            continue
        sizes = np.arange(1, batches[len(late) - 1] + 1)
        decodes = np.interp(sizes, batches[: len(late)], early)
        ends = np.interp(sizes, batches[: len(late)], [each.latency_ms / 1e3 for each in late])
        growth = np.maximum(ends - decodes, 0) / max(1, output - 2)
        steps = Steps(
            _chunks(seconds, prompt, chunk), tuple(decodes.tolist()), tuple(growth.tolist())
        )
        whole = serve(prefill(prompt), machine, partition, run)
        choices += [
            _Choice(
                partition,
                most,
                result,
                partition.instances * steps.capacity(output, most),
                _alone(steps, output),
                partial(_text, partition.instances, steps, output, most),
                *_factors(whole, result),
            )
            for most, result in zip(batches, late, strict=False)
        ]
    return _best(machine, goal, choices, full, output)


def _prompt_seconds(
    prefill: Callable[[int], Workload],
    machine: Machine,
    partition: Partition,
    run: Scenario,
    tokens: int,
) -> float:
    return serve(prefill(tokens), machine, partition, run).latency_ms / 1e3


def _chunks(seconds: Callable[[int], float], tokens: int, chunk: int) -> tuple[float, ...]:
    """Seconds of each part of a prompt.

    A part takes what it takes alone, or what the prompt takes longer with it than without: later
    parts attend to the earlier.
    """
    starts = range(0, tokens, chunk)
    whole = {0: 0.0}
    for start in starts:
        stop = min(start + chunk, tokens)
        whole[stop] = seconds(stop)
    alone = {chunk: whole[min(chunk, tokens)]}
    parts = []
    for start in starts:
        stop = min(start + chunk, tokens)
        size = stop - start
        if size not in alone:
            alone[size] = seconds(size)
        parts.append(max(alone[size], whole[stop] - whole[start]))
    return tuple(parts)


def _divisions(machine: Machine, run: Scenario) -> tuple[Partition, ...]:
    return divisions(machine, run.instances, run.cores_per_instance) or partitions(machine)


def _requests(
    instances: int, seconds: Sequence[float], rate: float, factor: float, _: float
) -> Timings:
    arrivals = poisson_arrivals(REQUESTS, SEED) / rate
    latency = batched(arrivals, instances, [each * factor for each in seconds])[WARM_UP:]
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
    found = generated(arrivals, steps.scaled(prefill, decode), output, most)
    ttft, tpot = found.ttft[WARM_UP:], found.tpot[WARM_UP:]
    return Timings(ttft + tpot * (output - 1), ttft, tpot)


def _alone(steps: Steps, output: int) -> Timings:
    found = generated(np.zeros(1), steps, output, 1)
    return Timings(found.ttft + found.tpot * (output - 1), found.ttft, found.tpot)


def _factors(
    first: Result, second: Result
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """How many times as long both kinds of run take at the ends of their intervals."""
    ends: list[tuple[float, float]] = []
    for result in (first, second):
        if result.latency_low_ms is None or result.latency_high_ms is None:
            return None, None
        ends.append(
            (result.latency_high_ms / result.latency_ms, result.latency_low_ms / result.latency_ms)
        )
    return (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])


def _best(
    machine: Machine, goal: Goal, choices: Sequence[_Choice], full: Sequence[str], output: int
) -> Fleet:
    """The choice that bears the highest rate, and its fleet."""
    if not choices:
        raise NoRoom(full[0])
    best, most_rate = None, 0.0
    for choice in sorted(choices, key=lambda choice: -choice.capacity):
        if choice.capacity <= most_rate:
            break
        found = _most_rate(choice, goal, 1.0, 1.0, most_rate)
        if found > most_rate:
            best, most_rate = choice, found
    if best is None:
        raise Missed(f"{machine.id} {_reached(choices, goal)}")
    sockets = 1 if goal.rate is None else math.ceil(goal.rate / most_rate)
    rate = most_rate if goal.rate is None else goal.rate / sockets
    timings = best.timings(rate, 1.0, 1.0)
    at = partial(_percentiles, timings)
    ends = [
        None if factors is None else _most_rate(best, goal, *factors, 0.0)
        for factors in (best.slower, best.faster)
    ]
    return Fleet(
        cpu=machine.id,
        goal=goal,
        partition=best.partition,
        batch=best.batch,
        most_rate=most_rate,
        most_rate_low=ends[0],
        most_rate_high=ends[1],
        sockets=sockets,
        rate=rate,
        latency_ms=at("latency"),
        ttft_ms=at("ttft") if output else {},
        tpot_ms=at("tpot") if output else {},
        tokens_per_s=rate * output if output else None,
        load=rate / best.capacity,
        result=best.result,
        notes=(*best.result.notes, *dict.fromkeys(full)),
    )


def _most_rate(choice: _Choice, goal: Goal, first: float, second: float, at_least: float) -> float:
    """The highest rate within the limits; 0 where it is not above ``at_least``."""

    def met(rate: float) -> bool:
        return goal.met(choice.timings(rate, first, second))

    if not goal.met(choice.alone.scaled(first, second)):
        return 0.0
    least = max(choice.capacity * 1e-4, at_least)
    most = choice.capacity / min(first, second)
    if least >= most or not met(least):
        return 0.0
    if met(most * (1 - _CLOSE)):
        return most * (1 - _CLOSE)
    while most > least * (1 + _CLOSE):
        middle = math.sqrt(least * most)
        least, most = (middle, most) if met(middle) else (least, middle)
    return least


def _percentile(values: FloatArray, percentile: float) -> float:
    return float(np.quantile(values, percentile / 100, method="higher"))


def _percentiles(timings: Timings, name: str) -> dict[int, float]:
    values = getattr(timings, name)
    return {each: _percentile(values, each) * 1e3 for each in PERCENTILES}


def _reached(choices: Sequence[_Choice], goal: Goal) -> str:
    """What a request gets that is alone, at best, of each limit."""

    def least(name: str) -> str:
        return significant(min(float(getattr(choice.alone, name)[0]) for choice in choices) * 1e3)

    parts: Iterator[str] = (
        f"{text} {least(name)} ms"
        for name, text, limit in (
            ("latency", "a latency of", goal.latency_s),
            ("ttft", "a time to first token of", goal.ttft_s),
            ("tpot", "a time per output token of", goal.tpot_s),
        )
        if limit is not None
    )
    return f"reaches at best {' and '.join(parts)}, of a request alone"
