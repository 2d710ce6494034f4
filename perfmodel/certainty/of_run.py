"""The interval of one run, from its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmodel.certainty.families import identity
from perfmodel.certainty.interval import Interval, interval
from perfmodel.vocabulary.kinds import Kind

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.scenario import Scenario


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
    precision = run.policy.name
    own = (
        record is not None
        and software in record.runtimes
        and precision in record.precisions
        and kind != "throughput"
    )
    return interval(
        software,
        kind,
        identity(machine),
        precision,
        measured=record.error if record is not None and own else None,
    )
