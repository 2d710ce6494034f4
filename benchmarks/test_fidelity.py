"""Predictions against measurements: a snapshot of how far off they are, and bounds on it.

The figures are those of docs/fidelity.md. A change that improves them should lower the bounds.
"""

from __future__ import annotations

import pytest

from docs.generators import fidelity
from perfmodel.evidence.measurements import FIT
from perfmodel.guard.fixture import Guard

#: Of each kind with a model left out: MAPE at most, and within 1.25x and 1.5x at least.
BOUNDS = {
    "": (0.22, 0.65, 0.86),
    "single server": (0.23, 0.60, 0.81),
    "single desktop": (0.16, 0.80, 0.91),
    "throughput": (0.25, 0.62, 0.84),
    "prefill": (0.23, 0.64, 0.88),
    "decode": (0.20, 0.64, 0.90),
}


def test_errors_by_software_and_kind(perfmodel_guard: Guard) -> None:
    found = {}
    for part in fidelity.parts():
        scores = {column: score.to_dict() for column, score in part.scores.items()}
        found[part.name] = {"machines": part.machines, **scores}
    perfmodel_guard.record("fidelity/networks", found)


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_model_that_no_fit_saw_stays_within_bounds(kind: str) -> None:
    (part,) = (p for p in fidelity.parts() if not p.software and p.kind == kind)
    error, near, far = BOUNDS[kind]
    found = part.scores["model"]
    assert found.mape <= error
    assert found.within_1_25 >= near
    assert found.within_1_5 >= far
    assert 0.9 <= found.median_ratio <= 1.1


def test_every_point_can_be_predicted() -> None:
    assert fidelity.judged().refused == ()


def test_unseen_desktop_networks_stay_within_12_percent() -> None:
    cases = fidelity.points("desktops")
    found = fidelity.of_ratios(cases, fidelity.unseen_models())
    assert found.mape <= 0.12
    assert found.within_25 >= 0.9


@pytest.mark.parametrize("split", ["fit", "validation"])
def test_single_products_stay_within_bounds(split: str) -> None:
    cases = fidelity.points("matmul")
    ratios = fidelity.by_fit(cases, fidelity.fitted("desktops", "matmul"))
    kept = [(c, r) for c, r in zip(cases, ratios, strict=True) if c.split == split]
    found = fidelity.of_ratios([c for c, _ in kept], [r for _, r in kept])
    assert found.mape <= 0.11
    assert found.spearman is not None
    assert found.spearman >= 0.90


def test_validation_points_are_no_worse_than_those_of_the_fit() -> None:
    cases = fidelity.points("desktops")
    ratios = fidelity.by_fit(cases, fidelity.fitted("desktops", "matmul"))
    validation = [abs(r - 1) for c, r in zip(cases, ratios, strict=True) if c.split != FIT]
    assert sum(validation) / len(validation) <= 0.12
