"""Two runs held against each other, without pytest around it: causes, effects, size and speed."""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import pytest
from markdown_it import MarkdownIt

from perfmodel.guard import rendering
from perfmodel.guard.changes import compare
from perfmodel.guard.documents import Document, digest

FIGURES: Document = {
    "software.openvino": {"launch.default": [1.5e-6, "s"], "threads": "best"},
    "precision.bf16": {"weight_bits.linear": 16.0},
}


def entry(cpu: str, latency: float, engine: str = "amx", bottleneck: str = "compute") -> Document:
    return {
        "cpu": cpu, "precision": "bf16", "software": "openvino", "state": "steady", "batch": 1,
        "asks": "batch 1", "latency_ms": latency, "bottleneck": bottleneck,
        "parts": {"linear": {engine: latency * 0.75}, "norm": {"avx512": latency * 0.25}},
    }  # fmt: skip


def run(models: int = 2, cpus: int = 3, **changes: Any) -> Document:
    """Models m0, m1 ... on c0, c1 ...; latencies grow with both."""
    names = [f"c{i}" for i in range(cpus)]
    figures = {**FIGURES, **{cpu: {"core.efficiency": 0.7} for cpu in names}}
    asks = {
        "workload": "w", "module": "m", "tracer": "t", "parameters": 1, "inputs": {},
        "families": {"linear": {"kernels": 1, "flops": 8, "vector_ops": 0, "bytes": 8}},
        "operators": {"aten.linear": 1},
        "modules": {"fc": {"family": "linear", "shapes": [[1, 1, 2, 2, 2]]}},
    }  # fmt: skip
    found: Document = {"figures": figures, "models": {}}
    for m in range(models):
        found["models"][f"m{m}"] = {
            "model": f"m{m}",
            "asks": {"batch 1": copy.deepcopy(asks)},
            "estimates": {f"{c} bf16": entry(c, 1.0 + m + i) for i, c in enumerate(names)},
            "figures": {},
        }
    return digested(found)


def digested(found: Document) -> Document:
    for document in found["models"].values():
        document["figures"] = {s: digest(f) for s, f in found["figures"].items()}
    return found


def scaled(found: Document, factor: float, cpu: str = "") -> Document:
    new = copy.deepcopy(found)
    for document in new["models"].values():
        for estimate in document["estimates"].values():
            if not cpu or estimate["cpu"] == cpu:
                estimate["latency_ms"] *= factor
                estimate["parts"]["linear"] = {
                    e: ms * factor for e, ms in estimate["parts"]["linear"].items()
                }
    return new


def causes(old: Document, new: Document) -> list[str]:
    return [f"{c.kind}: {c.text}" for c in compare(old, new).causes]


def test_a_run_against_itself_says_that_nothing_moved() -> None:
    report = compare(run(), run())
    assert not report
    assert report.headline == "none of 6 estimates moved"


def test_the_headline_has_count_range_mean_and_rankings() -> None:
    old, new = run(), scaled(scaled(run(), 1.21, "c0"), 1.0 / 1.1, "c1")
    report = compare(old, new)
    assert report.headline == (
        "4 of 6 estimates moved: -9.1 % to +21 %, geometric mean +4.9 %; no ranking flipped"
    )


def test_a_figure_of_several_cpus_is_one_cause() -> None:
    old, new = run(), scaled(run(), 1.1)
    for cpu in ("c0", "c1", "c2"):
        new["figures"][cpu]["core.efficiency"] = 0.714
    assert causes(old, digested(new)) == ["figure: c0, c1, c2 core.efficiency 0.7 -> 0.714 (+2 %)"]


def test_figures_of_software_have_their_unit() -> None:
    old, new = run(), scaled(run(), 1.1)
    new["figures"]["software.openvino"]["launch.default"] = [3e-6, "s"]
    assert causes(old, digested(new)) == [
        "figure: software.openvino launch.default 1.5 us -> 3 us (+100 %)"
    ]


def test_a_figure_of_what_did_not_move_is_no_cause() -> None:
    old, new = run(), scaled(run(), 1.1, "c0")
    new["figures"]["c0"]["core.efficiency"] = 0.6
    new["figures"]["c2"]["core.efficiency"] = 0.6
    assert causes(old, digested(new)) == ["figure: c0 core.efficiency 0.7 -> 0.6 (-14.3 %)"]


def test_figures_that_another_snapshot_replaced_are_not_made_up() -> None:
    old, new = run(), scaled(run(), 1.1, "c0")
    new["figures"]["c0"]["core.efficiency"] = 0.6
    digested(new)
    old["figures"]["c0"] = dict(new["figures"]["c0"])
    (cause,) = causes(old, new)
    assert cause.startswith("figure: c0 figures changed")


def test_one_module_traced_otherwise_is_the_tracer() -> None:
    old, new = run(), scaled(run(), 1.1)
    for document in new["models"].values():
        document["asks"]["batch 1"] |= {"workload": "v", "tracer": "u"}
        document["asks"]["batch 1"]["families"]["linear"]["flops"] = 4
    assert causes(old, new) == ["tracer: linear FLOPs -50 % in 2 models (m0, m1)"]


def test_another_module_traced_by_another_tracer_is_both() -> None:
    old, new = run(1), scaled(run(1), 1.1)
    asks = new["models"]["m0"]["asks"]["batch 1"]
    asks |= {"workload": "v", "tracer": "u", "module": "n"}
    asks["families"]["linear"]["flops"] = 16
    asks["modules"]["fc"]["shapes"] = [[1, 1, 2, 4, 2]]
    assert causes(old, new) == [
        "tracer: linear FLOPs +100 % in 1 model (m0)",
        "model: m0: fc outputs 2 -> 4",
    ]


def test_a_model_changed_in_many_places_names_the_largest() -> None:
    old, new = run(1), scaled(run(1), 1.1)
    asks = new["models"]["m0"]["asks"]["batch 1"]
    asks |= {"workload": "v", "module": "n"}
    for i in range(10):
        asks["modules"][f"f{i}"] = {"family": "linear", "shapes": [[1, 1, 2, 2, 2 + i]]}
    found = causes(old, new)
    assert found[0] == "model: m0: f9 new: linear of rows 2, outputs 2, inputs 11"
    assert found[-1] == "model: m0: and 4 more changes"


def test_a_flip_needs_a_difference_on_both_sides() -> None:
    old, new = run(1, 2), run(1, 2)
    estimates = new["models"]["m0"]["estimates"]
    estimates["c0 bf16"]["latency_ms"] = 3.0
    assert compare(old, new).flips == ("m0 bf16: c0 < c1 -> c1 < c0",)
    old["models"]["m0"]["estimates"]["c1 bf16"]["latency_ms"] = 1.0
    assert compare(old, new).flips == ()


def test_what_one_run_alone_has_is_added_or_gone() -> None:
    old, new = run(2, 2), run(1, 3)
    report = compare(old, new)
    assert report.added == ("m0 c2 bf16",)
    assert report.gone == ("m1 c0 bf16", "m1 c1 bf16")
    assert compare(old, new, whole=False).gone == ()


def test_a_latency_that_is_no_number_has_moved() -> None:
    old, new = run(1, 1), run(1, 1)
    new["models"]["m0"]["estimates"]["c0 bf16"]["latency_ms"] = math.nan
    report = compare(old, new)
    assert len(report.moved) == 1
    assert "not a number" in rendering.text(report)


def test_equal_shifts_are_one_row_with_a_count() -> None:
    text = rendering.text(compare(run(5, 3), scaled(run(5, 3), 1.1, "c1")))
    (row,) = (line for line in text.splitlines() if "+10.0 %" in line)
    assert row.split()[:3] == ["m0", "+4", "c1"]


def many() -> tuple[Document, Document]:
    """500 shifts, no two alike, of 50 models on 10 CPUs, each with a figure that changed."""
    old, new = run(50, 10), run(50, 10)
    for m, document in enumerate(new["models"].values()):
        document["asks"]["batch 1"] |= {"workload": f"w{m}", "module": f"m{m}"}
        document["asks"]["batch 1"]["modules"] = {
            f"layer{i}": {"family": "linear", "shapes": [[1, 1, 2, m, i]]} for i in range(40)
        }
        for c, estimate in enumerate(document["estimates"].values()):
            estimate["latency_ms"] *= 1.01 + m / 10 + c / 100
            estimate["parts"] = {"linear": {f"engine{c}": estimate["latency_ms"]}}
    for c in range(10):
        new["figures"][f"c{c}"] = {f"figure{i}": i + c / 10 for i in range(40)}
    return old, digested(new)


def test_500_shifts_take_under_a_second_and_under_60_lines() -> None:
    old, new = many()
    start = time.process_time()
    report = compare(old, new, problems=[f"problem {i}" for i in range(30)])
    texts = rendering.text(report, accept="x"), rendering.markdown(report), rendering.page(report)
    took = time.process_time() - start
    assert len(report.moved) == 500
    assert len(texts[0].splitlines()) < 60
    assert "figures that were read" in texts[0]
    assert took < 1.0, f"{took:.2f} s"


@pytest.mark.parametrize("write", [rendering.markdown, rendering.page])
def test_names_are_no_markup(write: Any) -> None:
    name = "a|b<script>*x*"
    old, new = run(1, 1), scaled(run(1, 1), 2.0)
    for found in (old, new):
        found["models"][name] = found["models"].pop("m0")
    text = write(compare(old, new))
    assert "<script>" not in text
    if write is rendering.markdown:
        row = next(line for line in text.splitlines() if line.startswith("| a"))
        assert row.replace("\\|", "").count("|") == len(rendering.COLUMNS) + 1
        assert "\\*x\\*" in row


def test_the_markdown_is_a_table_with_numbers_to_the_right() -> None:
    report = compare(run(), scaled(run(), 1.1, "c1"))
    shown = MarkdownIt("commonmark").enable("table").render(rendering.markdown(report))
    rows = shown.partition("<tbody>")[2].partition("</tbody>")[0].split("</tr>")[:-1]
    assert len(rows) == 1, "equal shifts are one row"
    assert rows[0].count("<td") == len(rendering.COLUMNS)
    assert 'style="text-align:right">+10.0 %' in rows[0]
    assert shown.startswith("<h3>Latency estimates</h3>")
    assert "<li>mapping: the formula changed" in shown
