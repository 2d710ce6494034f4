"""Every figure perfmodel gives for the zoo, held against what was reviewed last.

By the plugin as anyone has it (docs/guard.md). In snapshots/: one file for each model, with its
latency on the CPUs that are held, in every precision; the figures that were read; and records of
each traced workload, and of each model on the three CPUs that are compared by default. Figures are
equal within a relative tolerance of 1e-6, everything else exactly. To accept a shift:

    nox -s benchmarks -- --snapshot-update
"""

from __future__ import annotations

import json
from typing import Final

import pytest

from benchmarks.support.cases import CASES, Case
from benchmarks.support.cpus import CPUS, HELD
from benchmarks.support.documents import estimate_document, workload_document
from benchmarks.test_costs import MODELS as COSTED
from benchmarks.test_costs import cost_snapshot
from benchmarks.test_rankings import ROOFLINE, probability_snapshot
from perfmodel import estimate
from perfmodel.guard.fixture import Guard
from perfmodel.vocabulary.precision import PRECISIONS

IDS: Final = [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_workload(case: Case, perfmodel_guard: Guard) -> None:
    perfmodel_guard.record(f"workloads/{case.name}", workload_document(case.workload()))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_latency(case: Case, perfmodel_guard: Guard) -> None:
    """On every CPU that is held, in every precision."""
    perfmodel_guard(case.model, name=case.name, cpus=HELD, precision=[*PRECISIONS], **case.run)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_estimate(case: Case, cpu: str, perfmodel_guard: Guard) -> None:
    """What a latency is made of, and what is said beside it."""
    workload = case.workload()
    estimates = {precision: estimate(workload, cpu, precision) for precision in case.precisions}
    perfmodel_guard.record(f"estimates/{case.name}/{cpu}", estimate_document(estimates))


def test_no_snapshot_is_orphaned(perfmodel_guard: Guard) -> None:
    """No file is left of a model or CPU that is gone; an update removes what is."""
    root = perfmodel_guard.folder.path
    models = [root / f"{name}.json" for name in IDS]
    read = {
        source
        for path in models
        if path.is_file()
        for source in json.loads(path.read_text(encoding="utf-8"))["figures"]
    }
    expected = [
        *IDS,
        *(f"figures/{source}" for source in read),
        *(f"workloads/{name}" for name in IDS),
        *(f"estimates/{name}/{cpu}" for name in IDS for cpu in CPUS),
        *(probability_snapshot(expected) for expected in ROOFLINE),
        *(cost_snapshot(model) for model in COSTED),
        "fidelity/networks",
    ]
    stored = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
    orphans = sorted(stored.keys() - {f"{name}.json" for name in expected})
    if perfmodel_guard.updating:
        for name in orphans:
            stored[name].unlink()
    elif orphans:
        pytest.fail(
            f"{len(orphans)} stored but recorded by nothing: {', '.join(orphans)}. "
            f"If a model or CPU was removed on purpose: {perfmodel_guard.accept}",
            pytrace=False,
        )
