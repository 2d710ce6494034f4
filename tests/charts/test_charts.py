"""Charts: valid Vega-Lite of the rows they were given, and files of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel import charts
from perfmodel.charts.charts import COLOURS
from perfmodel.errors import PerfmodelError
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.drawn import module_rows, ranking_rows, roofline_rows
from perfmodel.mapping.result import Result
from tests.mapping.test_modules import encoder


@pytest.fixture
def results() -> list[Result]:
    return [estimate(encoder(), cpu, "int8") for cpu in ("epyc_9654", "xeon_8490h")]


def test_a_ranking_is_drawn_with_its_intervals(results: list[Result]) -> None:
    rows = ranking_rows(results)
    assert [row["latency_ms"] for row in rows] == sorted(row["latency_ms"] for row in rows)
    spec = charts.ranking(rows).to_dict()
    assert spec["data"]["values"] == rows
    for row in rows:
        assert row["low_ms"] < row["latency_ms"] < row["high_ms"]


@pytest.mark.parametrize("software", ["openvino", "ideal", "eager"])
def test_no_kernel_is_above_its_ceilings(software: str) -> None:
    result = estimate(encoder(), "xeon_8490h", "bf16", software=software)
    kernels, ceilings = roofline_rows(result)
    machine = load_machine("xeon_8490h")
    peaks = {row["ceiling"]: row["tflops"] for row in ceilings if row["kind"] == "compute"}
    formats = {
        name: ceiling for ceiling in peaks for name in ceiling.split(maxsplit=1)[1].split(", ")
    }
    assert peaks["amx BF16"] == pytest.approx(machine.peak_ops("amx", "bf16") / 1e12)
    assert {"INT8", "BF16", "FP32"} <= formats.keys()
    # Lines that would lie on each other are one, and its name has both formats.
    assert len(set(peaks.values())) == len(peaks)
    assert peaks["avx512 BF16, FP16"] == pytest.approx(machine.peak_ops("avx512", "fp16") / 1e12)
    slopes = {
        row["ceiling"]: row["tflops"] * 1e12 / row["intensity"]
        for row in ceilings
        if row["kind"] == "memory"
    }
    assert list(slopes) == ["L2", "L3", "DRAM"]
    assert slopes["DRAM"] == pytest.approx(machine.sustained_bandwidth)
    for kernel in kernels:
        assert kernel["tflops"] <= max(peaks.values())
        assert kernel["tflops"] * 1e12 <= kernel["intensity"] * slopes["L2"] * (1 + 1e-9)
    assert sum(row["share"] for row in kernels) <= 100 + 1e-9
    assert result.roofline().to_dict()["layer"][2]["data"]["values"] == kernels


def test_the_modules_of_a_chart_are_all_of_the_time(results: list[Result]) -> None:
    rows = module_rows(results)
    for cpu in ("epyc_9654", "xeon_8490h"):
        own = [row["latency_ms"] for row in rows if row["cpu"] == cpu]
        whole = next(result for result in results if result.cpu == cpu).latency_ms
        assert sum(own) == pytest.approx(whole)


def test_a_cpu_has_one_colour_on_every_chart_of_a_page() -> None:
    order = ["a", "b"]
    rows = [{"cpu": "b", "usd_per_million": 1.0, "low_usd": None, "high_usd": None}]
    scale = charts.cost(rows, order).to_dict()["layer"][0]["encoding"]["color"]["scale"]
    assert scale == {"domain": order, "range": list(COLOURS[:2])}


def test_dots_in_a_column_are_no_steps_into_an_object() -> None:
    rows = [{"cpu": "a", "cores.count": 4.0, "latency_ms": 1.0}]
    encoding = charts.front(rows, "cores.count", "latency_ms").to_dict()["encoding"]
    assert encoding["x"]["field"] == r"cores\.count"
    assert encoding["x"]["title"] == "cores.count"


def test_a_folder_that_is_not_there_is_one_line(results: list[Result], tmp_path: Path) -> None:
    with pytest.raises(PerfmodelError, match="cannot be written"):
        charts.save(results[0].roofline(), tmp_path / "none" / "chart.svg")
    json.dumps(results[0].roofline().to_dict(), allow_nan=False)
