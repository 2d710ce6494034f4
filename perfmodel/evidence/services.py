"""Rates that whole systems served within a limit of latency, and what a fleet of them predicts."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from perfmodel.figures.files import read_shipped
from perfmodel.figures.held import Held, Natural
from perfmodel.figures.record import Record
from perfmodel.resolve import ModelSource, resolve_model
from perfmodel.scenario import Scenario
from perfmodel.serving.fleet import CHUNK, Fleet, requests_fleet, text_fleet
from perfmodel.serving.goal import Goal
from perfmodel.serving.searching import BATCHES
from perfmodel.workload.workload import Workload


class Service(Record):
    """One measured point.

    Attributes:
        limit_ms: that 99 % of the requests were within, waiting included.
        rate: requests per second of the whole system.
        p50_ms: the median latency observed at that rate.
    """

    machine: str
    sockets: Natural
    model: str
    tokens: Natural | None = None
    precision: str
    software: str
    limit_ms: Annotated[float, Held(gt=0)]
    rate: Annotated[float, Held(gt=0)]
    p50_ms: Annotated[float, Held(gt=0)]
    source: str


class Generation(Record):
    """Tokens that one socket generated per second, whatever the latency.

    Attributes:
        prompt, output: tokens of each request, on average.
        doubt: what is not certain of its conditions.
    """

    machine: str
    model: str
    prompt: Natural
    output: Natural
    precision: str
    software: str
    tokens_per_s: Annotated[float, Held(gt=0)]
    doubt: str
    source: str


class _Services(Record):
    service: tuple[Service, ...]
    generation: tuple[Generation, ...]


@dataclass(frozen=True)
class Predicted:
    """A measured service beside what is predicted.

    Attributes:
        fleet: of one socket, at the highest rate within the limit.
    """

    measured: Service
    fleet: Fleet

    @property
    def rate(self) -> float:
        """Return requests per second of the whole system within the limit."""
        return self.fleet.most_rate * self.measured.sockets


def services() -> tuple[Service, ...]:
    """Return every measured service: services.toml."""
    return _file().service


def generations() -> tuple[Generation, ...]:
    """Return every measured rate of generated text without limits: services.toml."""
    return _file().generation


@functools.cache
def _file() -> _Services:
    return read_shipped(_Services, __file__, "services.toml")


def predicted_tokens_per_s(point: Generation) -> float:
    """Return tokens per second of one socket, its requests waiting as long as they may."""
    run = Scenario(point.precision, software=point.software)

    @functools.cache
    def steps(context: int) -> ModelSource:
        source = resolve_model(point.model, replace(run, phase="decode", context=context))
        source.prepare(BATCHES)
        return source

    def step(batch: int, context: int) -> Workload:
        return steps(context).workload(batch)

    def prompt(tokens: int) -> Workload:
        return resolve_model(point.model, replace(run, phase="prefill", tokens=tokens)).workload(1)

    found = text_fleet(
        functools.cache(prompt),
        functools.cache(step),
        point.machine,
        # No limit that any rate would miss.
        Goal(ttft_s=86_400, percentile=50),
        run,
        prompt=point.prompt,
        output=point.output,
        chunk=CHUNK,
    )
    return found.most_rate * point.output


def predicted() -> Iterator[Predicted]:
    """Yield every measured service beside its prediction; its models are traced."""
    for point in services():
        run = Scenario(point.precision, software=point.software, tokens=point.tokens)
        source = resolve_model(point.model, run)
        source.prepare(BATCHES)
        goal = Goal(latency_s=point.limit_ms / 1e3)
        yield Predicted(point, requests_fleet(source.workload, point.machine, goal, run))
