from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.support import rendering
from benchmarks.support.shifts import Findings, Record, percentage, shifts
from benchmarks.support.tolerance import ABSENT

FIGURES: dict[str, Any] = {"latency_ms": 2.0, "bottleneck": "memory"}


def estimate(cpu: str, **figures: Any) -> dict[str, Any]:
    return {"cpu": cpu, "precisions": {"int8": FIGURES | figures}}


def estimate_record(cpu: str = "xeon", model: str = "vit", **new: Any) -> Record:
    return Record(f"estimates/{model}/{cpu}", estimate(cpu), estimate(cpu, **new))


def workload_record(model: str = "vit", flops: int = 100) -> Record:
    return Record(f"workloads/{model}", {"flops": 100}, {"flops": flops})


def test_an_estimate_shift_is_the_models_where_its_workload_is_as_recorded() -> None:
    report = Findings([workload_record(), estimate_record(latency_ms=2.2)]).report()
    assert [s.figure for s in report.mapping] == ["latency_ms"]
    assert (report.tracer, report.follows, report.untold) == ((), (), ())
    assert "the model changed, the tracer not" in report.verdict


def test_an_estimate_shift_follows_the_tracers_where_its_workload_shifted_too() -> None:
    report = Findings(
        [workload_record(flops=90), estimate_record(latency_ms=2.2), workload_record("resnet")]
    ).report()
    assert [(s.figure, s.percent) for s in report.tracer] == [("flops", -10.0)]
    assert [s.figure for s in report.follows] == ["latency_ms"]
    assert not report.mapping
    assert report.verdict == "the tracer changed (vit)"


def test_both_may_change_each_for_another_model() -> None:
    report = Findings(
        [workload_record("a", 90), workload_record("b"), estimate_record(model="b", latency_ms=3.0)]
    ).report()
    assert "the tracer changed (a)" in report.verdict
    assert "the model changed too: mapping or machine figures (b)" in report.verdict


def test_without_the_workloads_snapshot_the_cause_is_not_guessed() -> None:
    report = Findings([estimate_record(latency_ms=2.2)]).report()
    assert [s.figure for s in report.untold] == ["latency_ms"]
    assert (report.mapping, report.follows) == ((), ())


def test_a_flip_is_computed_over_all_cpus_of_the_model_stored_ones_included() -> None:
    stored = {
        "estimates/vit/epyc": estimate("epyc", latency_ms=2.5),
        "estimates/vit/xeon": estimate("xeon"),
        "estimates/resnet/epyc": estimate("epyc", latency_ms=1.0),
    }
    slower = Findings([estimate_record(latency_ms=2.6)], stored=stored).report().untold
    assert (slower[0].figure, slower[0].old, slower[0].new, slower[0].note) == (
        "ranking", "xeon < epyc", "epyc < xeon", "ranking flipped",
    )  # fmt: skip
    still_first = Findings([estimate_record(latency_ms=2.4)], stored=stored).report().untold
    assert [s.figure for s in still_first] == ["latency_ms"]


def test_a_new_cpu_or_a_nan_flips_nothing() -> None:
    stored = {"estimates/vit/xeon": estimate("xeon")}
    new_cpu = Record("estimates/vit/epyc", None, estimate("epyc", latency_ms=1.0))
    nan = estimate_record(latency_ms=math.nan)
    report = Findings([new_cpu, nan], stored=stored).report()
    assert report.missing == ("estimates/vit/epyc",)
    assert [(s.figure, s.note, s.percent) for s in report.untold] == [
        ("latency_ms", "not a number", None)
    ]


def test_rows_come_ranking_labels_totals_then_details_large_first() -> None:
    old = estimate("xeon", utilization=0.5, top_kernels={"a": {"latency_ms": 1.0, "bound": "L2"}})
    new = estimate(
        "xeon",
        latency_ms=2.2,
        utilization=0.3,
        bottleneck="compute",
        top_kernels={"a": {"latency_ms": 9.0, "bound": "DRAM"}},
    )
    stored = {"estimates/vit/epyc": estimate("epyc", latency_ms=2.1)}
    report = Findings([Record("estimates/vit/xeon", old, new)], stored=stored).report()
    assert [(s.figure, s.note) for s in report.untold] == [
        ("ranking", "ranking flipped"),
        ("bottleneck", "bottleneck changed"),
        ("utilization", ""),
        ("latency_ms", ""),
        ("a: bound", "bound changed"),
        ("a: latency_ms", ""),
    ]


def test_a_latency_and_its_throughput_stand_side_by_side() -> None:
    old = estimate("xeon", latency_ms=2.0, throughput_fps=500.0, utilization=0.5)
    new = estimate("xeon", latency_ms=4.0, throughput_fps=250.0, utilization=0.9)
    report = Findings([Record("estimates/vit/xeon", old, new)]).report()
    assert [(s.figure, s.percent) for s in report.untold] == [
        ("latency_ms", 100.0),
        ("throughput_fps", -50.0),
        ("utilization", pytest.approx(80.0)),
    ]


def test_what_only_one_side_has_is_one_row() -> None:
    old = estimate("xeon", top_kernels={"a": {"latency_ms": 1.0, "bound": "L2"}})
    new = estimate("xeon", top_kernels={"b": {"latency_ms": 1.0, "bound": "L2"}})
    rows = shifts(Record("estimates/vit/xeon", old, new))
    assert [(s.figure, s.note, s.new is ABSENT) for s in rows] == [
        ("a", "gone", True),
        ("b", "new", False),
    ]


@pytest.mark.parametrize(
    ("old", "new", "percent"),
    [
        (2.0, 2.002, 0.1),
        (4, 3, -25.0),
        (-2.0, -1.0, 50.0),
        (1.0, math.inf, math.inf),
        (0.0, 1.0, None),
        (1.0, math.nan, None),
        (True, 2, None),
        ("a", "b", None),
        (ABSENT, 1.0, None),
    ],
)
def test_percentage(old: object, new: object, percent: float | None) -> None:
    found = percentage(old, new)
    assert found == (None if percent is None else pytest.approx(percent, rel=1e-9))


def test_a_long_list_is_cut_with_a_count() -> None:
    records = [estimate_record(f"cpu{i:03}", latency_ms=2.0 + i) for i in range(1, 101)]
    report = Findings(records).report()
    for text in (
        rendering.terminal(report, updated=False),
        rendering.markdown(report, updated=False),
    ):
        assert text.count("latency_ms") == rendering.ROWS
        assert f"... and {100 - rendering.ROWS} more shifts" in text
        assert "cpu100" in text, "the largest shift is shown"
        assert "cpu001" not in text, "the smallest is cut"


def test_as_many_digits_as_it_takes_to_tell_two_floats_apart() -> None:
    assert rendering.pair(1.0, 1.1) == ("1", "1.1")
    old, new = rendering.pair(1.23456789, 1.23456799)
    assert (old, new) == ("1.2345679", "1.234568")


def test_text_keeps_brackets_and_markdown_escapes_its_own_signs() -> None:
    record = Record("estimates/vit/xeon", estimate("xeon"), estimate("xeon", bottleneck="a|[b]"))
    report = Findings([record]).report()
    assert "memory -> a|[b]" in rendering.terminal(report, updated=False)
    assert r"memory -> a\|[b]" in rendering.markdown(report, updated=False)


def test_no_findings_no_report() -> None:
    assert not Findings([workload_record(), estimate_record()]).report()
