"""Stated certainty against what came true, on machines and models that were left out."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from perfmodel.certainty.error_model import ENOUGH
from perfmodel.evidence.reliability import Covered, bins, brier, coverage, orders
from perfmodel.vocabulary.kinds import KINDS


def share(found: list[Covered]) -> float:
    return float(np.mean([one.inside for one in found]))


@pytest.mark.parametrize("models", [False, True], ids=["machine-out", "model-out"])
def test_intervals_hold_what_they_state(models: bool) -> None:
    every = coverage(models=models)
    # A little more than stated: software of few machines gets the interval of all software.
    assert 0.75 <= share(list(every)) <= 0.90
    for kind in KINDS:
        own = [one for one in every if one.point.kind == kind]
        assert len({one.point.machine for one in own}) >= ENOUGH
        assert share(own) >= 0.7, kind


def test_the_interval_of_single_runs_is_sharp() -> None:
    factors = [one.factor for one in coverage() if one.point.kind == "single"]
    assert float(np.median(factors)) <= 1.6


def test_stated_probabilities_come_true() -> None:
    found = orders()
    assert len(found) > 300
    for one in bins(found):
        if one.count >= 20:
            assert abs(one.stated - one.observed) <= 0.1, one
    assert brier(found) <= 0.12


def test_established_orders_are_right() -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    for order in orders():
        right[order.verdict].append(order.right)
    assert len(right["established"]) > 100
    assert np.mean(right["established"]) >= 0.9
