"""Every figure perfmodel gives for the zoo, held against what was reviewed last.

In snapshots/: one file for each traced workload, one for each model and CPU of the three that are
compared by default, and one for each model with its latency on the CPUs that are held. Figures are
equal within a relative tolerance of 1e-6, everything else exactly. To accept a shift:

    nox -s benchmarks -- --snapshot-update
"""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.support.cases import CASES, Case
from benchmarks.support.cpus import CPUS, HELD
from benchmarks.support.documents import estimate_document, workload_document
from benchmarks.support.plugin import CheckOrphans, RecordSnapshot
from benchmarks.test_costs import MODELS as COSTED
from benchmarks.test_costs import cost_snapshot
from benchmarks.test_rankings import ROOFLINE, probability_snapshot
from perfmodel import estimate
from perfmodel.vocabulary.precision import PRECISIONS

IDS: Final = [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_workload(case: Case, record_snapshot: RecordSnapshot) -> None:
    record_snapshot(f"workloads/{case.name}", workload_document(case.workload()))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_estimate(case: Case, cpu: str, record_snapshot: RecordSnapshot) -> None:
    workload = case.workload()
    estimates = {precision: estimate(workload, cpu, precision) for precision in case.precisions}
    record_snapshot(f"estimates/{case.name}/{cpu}", estimate_document(estimates))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_catalogue(case: Case, record_snapshot: RecordSnapshot) -> None:
    """Latency on every CPU that is held, in every precision."""
    workload = case.workload()
    latency_ms = {
        cpu: {precision: estimate(workload, cpu, precision).latency_ms for precision in PRECISIONS}
        for cpu in HELD
    }
    record_snapshot(f"catalogue/{case.name}", {"latency_ms": latency_ms})


def test_no_snapshot_is_orphaned(check_orphans: CheckOrphans) -> None:
    check_orphans(
        [
            *(f"workloads/{name}" for name in IDS),
            *(f"estimates/{name}/{cpu}" for name in IDS for cpu in CPUS),
            *(f"catalogue/{name}" for name in IDS),
            *(probability_snapshot(expected) for expected in ROOFLINE),
            *(cost_snapshot(model) for model in COSTED),
            "fidelity/networks",
        ]
    )
