"""Every figure perfmodel gives for the zoo, held against what was reviewed last.

One file for each traced workload and one for each model and CPU, in snapshots/. Figures are equal
within a relative tolerance of 1e-6, everything else exactly. To accept a shift:

    nox -s benchmarks -- --snapshot-update
"""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.support.documents import estimate_document, workload_document
from benchmarks.support.plugin import CheckOrphans, RecordSnapshot
from perfmodel import estimate
from perfmodel.machine import catalogue
from perfmodel.precision import PRECISIONS
from perfmodel.workload import zoo

MODELS: Final = zoo.names()
CPUS: Final = catalogue()


@pytest.mark.parametrize("model", MODELS)
def test_workload(model: str, record_snapshot: RecordSnapshot) -> None:
    record_snapshot(f"workloads/{model}", workload_document(zoo.workload(model)))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("model", MODELS)
def test_estimate(model: str, cpu: str, record_snapshot: RecordSnapshot) -> None:
    workload = zoo.workload(model)
    estimates = {precision: estimate(workload, cpu, precision) for precision in PRECISIONS}
    record_snapshot(f"estimates/{model}/{cpu}", estimate_document(estimates))


def test_no_snapshot_is_orphaned(check_orphans: CheckOrphans) -> None:
    check_orphans(
        [
            *(f"workloads/{model}" for model in MODELS),
            *(f"estimates/{model}/{cpu}" for model in MODELS for cpu in CPUS),
        ]
    )
