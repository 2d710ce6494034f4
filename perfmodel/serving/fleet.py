"""The smallest fleet of servers that serves a rate within limits of latency, waiting included.

A server is a machine: one socket, or several. Requests arrive at random (Poisson), and are spread
at random over servers, or over instances where they generate text. Of every CPU, the division and
the number of sequences at once are found that bear the highest rate within the limits; the fleet
follows from it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Unpack

from perfmodel._text import html_table, significant
from perfmodel.certainty.interval import PROVENANCES
from perfmodel.errors import NotEnoughMemory, PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.result import Result
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.serving.choices import (
    REQUESTS,
    SEED,
    WARM_UP,
    Choice,
    batches_choices,
    text_choices,
)
from perfmodel.serving.goal import DEFINITIONS, Goal, percentiles_ms
from perfmodel.serving.searching import BATCHES
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload

#: Tokens of a prompt that one step processes beside the sequences that run.
CHUNK: Final = 512
#: A rate is found to this share of itself.
_CLOSE: Final = 0.01


@dataclass(frozen=True)
class Fleet:
    """How one CPU serves the goal.

    Attributes:
        sockets_per_server: of one server.
        partition, batch: division of a server, and the most samples of a batch, or sequences at
            once of an instance, that bear the highest rate.
        most_rate: requests per second that a server bears within the limits.
        most_rate_low, most_rate_high: the same were all times as long, or as short, as the ends of
            the estimates' intervals; None of a bound. 0 where the limits are then never met.
        servers: that serve the goal's rate; 1 without one.
        rate: requests per second of a server of that fleet.
        latency_ms, ttft_ms, tpot_ms: percentiles at that rate, by percentile. The time to first
            token includes waiting; that per output token leaves the first out. Both empty of a
            model that generates nothing.
        tokens_per_s: tokens that a server generates at that rate; None where it generates none.
        load: share of the rate that an instance never stops working at.
        result: one run at ``batch``: of decode where text is generated.
        prompt: one run of a whole prompt, which the time to first token rests on; None where no
            text is generated.
    """

    cpu: str
    goal: Goal
    sockets_per_server: int
    partition: Partition
    batch: int
    most_rate: float
    most_rate_low: float | None
    most_rate_high: float | None
    servers: int
    rate: float
    latency_ms: dict[int, float]
    ttft_ms: dict[int, float]
    tpot_ms: dict[int, float]
    tokens_per_s: float | None
    load: float
    result: Result = field(repr=False)
    prompt: Result | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def provenance(self) -> str | None:
        """What the rate rests on: the less certain of prefill and decode where there are both."""
        runs = [run.provenance for run in (self.result, self.prompt) if run is not None]
        return max((one for one in runs if one is not None), key=PROVENANCES.index, default=None)

    @property
    def sockets(self) -> int:
        """Sockets of all servers."""
        return self.servers * self.sockets_per_server

    @property
    def unit(self) -> str:
        """What people call one server: "socket" where it has one, else "server"."""
        return "socket" if self.sockets_per_server == 1 else "server"

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects for JSON, units in the keys."""

        def per_socket(rate: float | None) -> float | None:
            return None if rate is None else rate / self.sockets_per_server

        percentiles = {
            f"{name}_p{percentile}_ms": value
            for name in ("latency", "ttft", "tpot")
            for percentile, value in getattr(self, f"{name}_ms").items()
        }
        phases = {
            f"{time}_provenance": run.provenance
            for time, run in (("ttft", self.prompt), ("tpot", self.result))
            if run is not None and self.prompt is not None
        }
        return {
            "model": self.result.model,
            "cpu": self.cpu,
            "precision": self.result.precision,
            "software": self.result.software,
            "sockets": self.sockets,
            "servers": self.servers,
            "instances": self.partition.instances,
            "cores_per_instance": self.partition.cores,
            "batch": self.batch,
            "requests_per_s_per_socket": per_socket(self.rate),
            "most_requests_per_s_per_socket": per_socket(self.most_rate),
            "most_requests_per_s_per_socket_low": per_socket(self.most_rate_low),
            "most_requests_per_s_per_socket_high": per_socket(self.most_rate_high),
            "interval_coverage": self.result.interval_coverage,
            "provenance": self.provenance,
            **phases,
            "load": self.load,
            "tokens_per_s_per_socket": per_socket(self.tokens_per_s),
            "percentile": self.goal.percentile,
            **percentiles,
        }


@dataclass(frozen=True)
class Fleets:
    """The fleet of each CPU, fewest sockets first, and why others have none.

    Attributes:
        missed: a line for each CPU that meets the limits at no rate.
    """

    fleets: tuple[Fleet, ...]
    missed: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [
            f"  {each.cpu}: {each.servers} {each.unit}s of {each.partition}, batch {each.batch}, "
            f"{significant(each.most_rate)} requests/s each at most"
            for each in self.fleets
        ]
        count = len(self.fleets)
        head = f"Fleets of {count} CPU{'' if count == 1 else 's'}"
        return "\n".join([head, *lines, *self.missed])

    def _repr_html_(self) -> str:
        head = ("CPU", "servers", "instances x cores", "batch", "requests/s per server, at most")
        rows = [
            (
                each.cpu,
                str(each.servers),
                str(each.partition),
                str(each.batch),
                significant(each.most_rate),
            )
            for each in self.fleets
        ]
        return html_table(head, rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python objects for JSON."""
        return {
            "requests_simulated": REQUESTS - WARM_UP,
            "seed": SEED,
            "definitions": DEFINITIONS,
            "fleets": [fleet.to_dict() for fleet in self.fleets],
            "missed": list(self.missed),
        }


class Missed(PerfmodelError):
    """No division of a server meets the limits, however low the rate."""


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
        except (Missed, NotEnoughMemory) as error:
            missed.append(str(error))
    if not found:
        raise Missed("; ".join(missed))
    return Fleets(tuple(sorted(found, key=lambda f: (f.sockets, -f.most_rate))), tuple(missed))


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

    The instances of a server share one line of requests. One that is free computes all that wait at
    once, up to a batch.

    Args:
        workload: gives the model at a batch.
        scenario, options: as for :func:`perfmodel.serving.search`.
        batches: the most samples of a batch, to try, ascending; fewer than the first take as long.

    Raises:
        Missed: the limits are met at no rate.
        NotEnoughMemory, UnknownName, MachineError: as :func:`perfmodel.serving.search`.
    """
    run, machine = scenario_of(scenario, options), load_machine(cpu)
    choices, full = batches_choices(workload, machine, run, batches)
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
    choices, full = text_choices(
        prefill, decode, machine, run, batches, prompt=prompt, output=output, chunk=chunk
    )
    return _best(machine, goal, choices, full, output)


def _best(
    machine: Machine, goal: Goal, choices: Sequence[Choice], full: Sequence[str], output: int
) -> Fleet:
    """The choice that bears the highest rate, and its fleet."""
    if not choices:
        raise NotEnoughMemory(full[0])
    best, most_rate = None, 0.0
    for choice in sorted(choices, key=lambda choice: -choice.capacity):
        if choice.capacity <= most_rate:
            break
        found = _most_rate(choice, goal, (1.0, 1.0), most_rate)
        if found > most_rate:
            best, most_rate = choice, found
    if best is None:
        raise Missed(f"{machine.id} {_reached(choices, goal)}")
    servers = 1 if goal.rate is None else math.ceil(goal.rate / most_rate)
    rate = most_rate if goal.rate is None else goal.rate / servers
    timings = best.timings(rate, 1.0, 1.0)
    at = partial(percentiles_ms, timings)
    ends = [
        None if factors is None else _most_rate(best, goal, factors) for factors in best.factors()
    ]
    return Fleet(
        cpu=machine.id,
        goal=goal,
        sockets_per_server=machine.sockets,
        partition=best.partition,
        batch=best.batch,
        most_rate=most_rate,
        most_rate_low=ends[0],
        most_rate_high=ends[1],
        servers=servers,
        rate=rate,
        latency_ms=at("latency"),
        ttft_ms=at("ttft") if output else {},
        tpot_ms=at("tpot") if output else {},
        tokens_per_s=rate * output if output else None,
        load=rate / best.capacity,
        result=best.result,
        prompt=best.prompt,
        notes=(*best.result.notes, *dict.fromkeys(full)),
    )


def _most_rate(choice: Choice, goal: Goal, factors: tuple[float, float], *at_least: float) -> float:
    """The highest rate within the limits; 0 where there is none, or none of ``at_least``.

    Args:
        factors: on the times of both kinds of run.
    """

    def met(rate: float) -> bool:
        return goal.met(choice.timings(rate, *factors))

    least = max([choice.capacity * 1e-4, *at_least])
    most = choice.capacity / min(factors)
    # No request takes less than one that is alone, which need not be simulated.
    if not (goal.met(choice.alone.scaled(*factors)) and met(least)):
        return 0.0
    if met(most * (1 - _CLOSE)):
        return most * (1 - _CLOSE)
    while most > least * (1 + _CLOSE):
        middle = math.sqrt(least * most)
        least, most = (middle, most) if met(middle) else (least, middle)
    return least


def _reached(choices: Sequence[Choice], goal: Goal) -> str:
    """What a request gets that is alone, at best, of each limit."""

    def least(name: str) -> str:
        return significant(min(getattr(choice.alone, name).item() for choice in choices) * 1e3)

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
