"""The interval of one run, from its description."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from perfmodel.certainty.families import identity
from perfmodel.certainty.interval import Interval, interval
from perfmodel.vocabulary.kinds import Kind

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.scenario import Scenario


class Stated(TypedDict):
    """What a result says of its certainty; None where it is a bound."""

    latency_low_ms: float | None
    latency_high_ms: float | None
    interval_coverage: float | None
    provenance: str
    evidence_points: int
    evidence_machines: int


def of_run(machine: Machine, run: Scenario, phase: str | None) -> Interval:
    """Return the interval of a run's latency.

    Args:
        machine: the whole socket, or an instance's share of it.
        phase: of a model that generates.
    """
    kind: Kind = "throughput" if run.several else "single"
    if phase is not None:
        kind = "prefill" if phase == "prefill" else "decode"
    record, software = machine.calibration, run.loaded.id
    own = record is not None and software in record.runtimes and kind != "throughput"
    return interval(
        software,
        kind,
        identity(machine),
        run.policy.name,
        measured=record.error if record is not None and own else None,
    )


def stated(found: Interval, latency_ms: float) -> Stated:
    """Return what a result of this latency says, by the names of its columns."""
    bound = found.is_bound
    return {
        "latency_low_ms": None if bound else latency_ms * found.low,
        "latency_high_ms": None if bound else latency_ms * found.high,
        "interval_coverage": None if bound else found.coverage,
        "provenance": found.provenance,
        "evidence_points": found.points,
        "evidence_machines": found.machines,
    }
