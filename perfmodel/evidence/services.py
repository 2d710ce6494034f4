"""Rates that whole systems served within a limit of latency, and what a fleet of them predicts."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, StrictInt

from perfmodel.figures.files import read_description
from perfmodel.figures.record import Record, validated
from perfmodel.resolve import resolve_model
from perfmodel.scenario import Scenario
from perfmodel.serving.fleet import BATCHES, Fleet, requests_fleet
from perfmodel.serving.goal import Goal


class Service(Record):
    """One measured point.

    Attributes:
        limit_ms: that 99 % of the requests were within, waiting included.
        rate: requests per second of the whole system.
        p50_ms: the median latency observed at that rate.
    """

    machine: str
    sockets: StrictInt = Field(ge=1)
    model: str
    tokens: StrictInt | None = Field(default=None, ge=1)
    precision: str
    software: str
    limit_ms: float = Field(gt=0)
    rate: float = Field(gt=0)
    p50_ms: float = Field(gt=0)
    source: str


class _Services(Record):
    service: tuple[Service, ...]


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


@functools.cache
def services() -> tuple[Service, ...]:
    """Return every measured service: services.toml."""
    file = Path(__file__).with_name("services.toml")
    tree, origin = read_description(file, "services.toml", "a file of perfmodel")
    return validated(_Services, tree, origin).service


def predicted() -> Iterator[Predicted]:
    """Yield every measured service beside its prediction; its models are traced."""
    for point in services():
        run = Scenario(point.precision, software=point.software, tokens=point.tokens)
        source = resolve_model(point.model, run)
        source.prepare(BATCHES)
        goal = Goal(latency_s=point.limit_ms / 1e3)
        yield Predicted(point, requests_fleet(source.workload, point.machine, goal, run))
