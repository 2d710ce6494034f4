"""A ranking of a few samples that are written down: every share can be counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perfmodel.certainty import Identity, Interval, Spread
from perfmodel.figures.figure import Figure
from perfmodel.mapping.unknowns import Samples, Unknown, latin_hypercube
from perfmodel.ranking import Ranking

NONE = Samples((), np.empty((5, 0)), np.empty((5, 0)))
#: Milliseconds of a, b and c: b is behind a in three samples, level in one and ahead in one.
COUNTED = np.array(
    [[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [2.0, 2.0, 4.0], [3.0, 2.0, 4.0], [1.0, 2.0, 1.0]]
)
STATED = Interval(0.5, 2.0, 0.8, "fitted", 4, 12, 1.0, Spread(0.1, 0.1, 0.1), "", True)


def ranking(
    sampled: np.ndarray = COUNTED,
    errors: np.ndarray | None = None,
    typical: tuple[float, ...] = (1.0, 2.0, 4.0),
    samples: Samples = NONE,
) -> Ranking:
    cpus = tuple("abc"[: sampled.shape[1]])
    return Ranking(
        model="m",
        precision="bf16",
        batch=3,
        state="cold",
        software="eager",
        cpus=cpus,
        typical_ms=typical[: len(cpus)],
        latency_ms=typical[: len(cpus)],
        machines=tuple((Identity(cpu, "core", "AMD"), STATED) for cpu in cpus),
        sampled_ms=sampled,
        log_errors=np.zeros_like(sampled) if errors is None else errors,
        samples=samples,
        calibration=("calibrated", "uncalibrated", "uncalibrated")[: len(cpus)],
    )


def test_ranks_are_counted_and_of_equals_the_one_ahead_in_the_order_is_first() -> None:
    assert ranking().rank_probability.tolist() == [
        [0.8, 0.2, 0.0],
        [0.2, 0.6, 0.2],
        [0.0, 0.2, 0.8],
    ]


def test_who_is_level_is_ahead_in_no_order_and_half_in_a_pair() -> None:
    found = ranking()
    assert found.pair("a", "b").probability == 0.7
    assert found.pair("b", "a").probability == pytest.approx(0.3)
    assert found.order_probability("abc") == 0.4
    assert found.order_probability("ba") == 0.2
    assert found.leading_probability("a") == 0.4
    assert found.leading_probability("ba") == 0.2
    assert found.leading_probability("abc") == 0.4


def test_an_interval_holds_the_median_and_the_estimate() -> None:
    tenths = np.linspace(1.0, 2.0, 11)[:, None] * [1.0, 2.0]
    inside = ranking(tenths, typical=(1.5, 3.0))
    assert inside.latency_low_ms == pytest.approx((1.1, 2.2))
    assert inside.latency_high_ms == pytest.approx((1.9, 3.8))
    outside = ranking(tenths, typical=(1.05, 3.9))
    assert outside.latency_low_ms == pytest.approx((1.05, 2.2))
    assert outside.latency_high_ms == pytest.approx((1.9, 3.9))


@pytest.mark.parametrize(
    ("factor", "share"), [(0.5, 0.75), (0.0, 1.0), (1.0, 0.0), (2.0, 0.0), (1.5, 0.0)]
)
def test_the_formula_s_share_of_a_ratio_s_variance_is_what_figures_leave(
    factor: float, share: float
) -> None:
    """Figures that move the logarithm by a factor of what all move it leave 1 - factor**2."""
    ratio = np.log(COUNTED[:, 1] / COUNTED[:, 0])
    errors = np.zeros_like(COUNTED)
    errors[:, 1] = (1 - factor) * ratio
    found = ranking(errors=errors).pair("a", "b")
    assert found.model_error == pytest.approx(share, abs=1e-12)
    assert found.ratio == pytest.approx(2.0**factor)


def test_a_ratio_that_is_the_same_in_all_samples_has_no_part_of_the_formula_s() -> None:
    found = ranking(np.array([[1.0, 2.0], [4.0, 8.0], [2.0, 4.0]])).pair("a", "b")
    assert (found.ratio, found.ratio_low, found.ratio_high) == pytest.approx((2.0, 2.0, 2.0))
    assert found.model_error == 0.0
    assert found.deciding == ()


def test_a_ratio_s_interval_holds_the_ratio_of_the_figures_alone() -> None:
    for shift in (math.log(100), -math.log(100)):
        errors = np.zeros_like(COUNTED)
        errors[:, 0] = shift
        found = ranking(errors=errors).pair("a", "b")
        assert found.ratio == pytest.approx(2.0 * math.exp(shift))
        low, high = np.quantile(COUNTED[:, 1] / COUNTED[:, 0], [0.1, 0.9])
        assert found.ratio_low == pytest.approx(min(low, found.ratio))
        assert found.ratio_high == pytest.approx(max(high, found.ratio))


def test_neighbours_alone_are_reported_with_what_decides() -> None:
    unit = latin_hypercube(64, 2, seed=1)
    figure = Figure(low=0.0, typical=0.5, high=1.0, unit="")
    known = tuple(Unknown((f"f{i}",), figure, ()) for i in range(2))
    sampled = np.stack([np.ones(64), 1.5 + unit[:, 0], 3 + unit[:, 1]], axis=1)
    found = ranking(sampled, samples=Samples(known, unit, unit))
    pairs = {(pair["faster"], pair["slower"]): pair for pair in found.to_dict()["pairs"]}
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs["a", "c"]["deciding"] == []
    first, second = pairs["a", "b"]["deciding"]
    assert (first["figure"], second["figure"]) == ("f0", "f1")
    assert first["share"] > 0.9
    # What does not move it has none, and never less.
    assert 0 <= second["share"] < 0.1
    assert [pair.deciding != () for pair in found.adjacent] == [True, True]
    assert [pair.deciding for pair in found.pairs] == [()] * 3


def test_a_ranking_as_plain_objects() -> None:
    found = ranking()
    document = found.to_dict()
    assert document.pop("pairs")[0] == {
        "faster": "a",
        "slower": "b",
        "ratio": pytest.approx(2.0),
        "ratio_low": pytest.approx(np.quantile([2.0, 2.0, 1.0, 2 / 3, 2.0], 0.1)),
        "ratio_high": pytest.approx(2.0),
        "probability": 0.7,
        "verdict": "leaning",
        "reason": "",
        "model_error": pytest.approx(0.0, abs=1e-12),
        "deciding": [],
    }
    first, *rest = document.pop("cpus")
    run = {
        "model": "m",
        "precision": "bf16",
        "batch": 3,
        "state": "cold",
        "software": "eager",
        "samples": 5,
    }
    assert document == run
    assert first == {
        "cpu": "a",
        "latency_ms": 1.0,
        "typical_ms": 1.0,
        "latency_low_ms": 1.0,
        "latency_high_ms": pytest.approx(2.6),
        "interval_coverage": 0.8,
        "provenance": "fitted",
        "evidence_points": 12,
        "evidence_machines": 4,
        "rank_probability": [0.8, 0.2, 0.0],
        "calibration": "calibrated",
    }
    assert [row["cpu"] for row in rest] == ["b", "c"]
    assert found.to_records() == [run | row for row in (first, *rest)]


def test_a_ranking_as_people_read_it() -> None:
    assert repr(ranking()).splitlines() == [
        "m: BF16, batch 3, cold, eager; 80 % intervals",
        "  a: 1.00 ms (1.00 to 2.60), first in 80 %",
        "  b: 2.00 ms (2.00 to 2.00), first in 20 %",
        "  c: 4.00 ms (2.20 to 4.00), first in 0 %",
    ]
    page = ranking()._repr_html_()
    assert page.count("<tr>") == 4
    assert "<th>CPU</th>" in page
    assert "<td>a</td><td>1.00</td><td>1.00</td><td>2.60</td><td>80 %</td>" in page
