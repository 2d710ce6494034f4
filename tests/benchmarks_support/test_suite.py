"""Whole runs of a small generated suite that uses the plugin as our own suite does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.support.extension import ToleranceJSONExtension

SUITE = """
import json
from pathlib import Path

import pytest

CASES = json.loads(Path(__file__).with_name("cases.json").read_text())


@pytest.mark.parametrize("name", sorted(CASES))
def test_snapshot(name, record_snapshot):
    record_snapshot(name, CASES[name])


def test_orphans(check_orphans):
    check_orphans(CASES)
"""
INI = """
[pytest]
addopts = -p benchmarks.support.plugin --strict-markers
filterwarnings = error
"""
ACCEPT = "nox -s benchmarks -- --snapshot-update"


def figures(latency_ms: float, bound: str = "compute") -> dict[str, Any]:
    return {
        "precisions": {
            "int8": {
                "latency_ms": latency_ms,
                "active_cores": 60,
                "bottleneck": bound,
                "top_kernels": {"mlp.0": {"bound": bound, "engine": "amx", "latency_ms": 0.5}},
            }
        }
    }


Cases = dict[str, dict[str, Any]]


class Suite:
    """The generated suite: its cases, its snapshots and runs of it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.snapshots = pytester.path / "snapshots"
        pytester.makeini(INI)
        pytester.makepyfile(test_suite=SUITE)
        self.cases: Cases = {
            "workloads/vit": {"flops": 1000, "bytes": {"weight": 40}},
            "estimates/vit/epyc": figures(1.8),
            "estimates/vit/xeon": figures(1.2),
        }
        assert self.run("--snapshot-update").ret == 0

    def run(self, *arguments: str) -> pytest.RunResult:
        (self.pytester.path / "cases.json").write_text(json.dumps(self.cases))
        return self.pytester.runpytest_inprocess("test_suite.py", *arguments)

    def latency(self, cpu: str, value: float) -> None:
        self.cases[f"estimates/vit/{cpu}"]["precisions"]["int8"]["latency_ms"] = value

    def file(self, name: str) -> Path:
        return self.snapshots / f"{name}.json"

    def contents(self) -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in self.snapshots.rglob("*") if p.is_file()}


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Suite(pytester)


def shown(result: pytest.RunResult) -> str:
    """The run's output with runs of blanks made one, so that tables read as lines."""
    return "\n".join(" ".join(line.split()) for line in result.outlines)


def test_files_are_named_for_what_they_hold_and_sorted(suite: Suite) -> None:
    assert sorted(p.relative_to(suite.snapshots).as_posix() for p in suite.contents()) == [
        "estimates/vit/epyc.json",
        "estimates/vit/xeon.json",
        "workloads/vit.json",
    ]
    text = suite.file("estimates/vit/xeon").read_text()
    assert text == json.dumps(suite.cases["estimates/vit/xeon"], indent=2, sort_keys=True) + "\n"


def test_an_unchanged_suite_passes_and_says_nothing(suite: Suite) -> None:
    result = suite.run()
    result.assert_outcomes(passed=4)
    assert result.ret == 0
    assert "snapshot shifts" not in shown(result)


def test_a_shift_of_a_thousandth_fails_and_is_in_the_table(suite: Suite) -> None:
    before = suite.contents()
    suite.latency("epyc", 1.8 * 1.001)
    result = suite.run()
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = shown(result)
    assert "vit epyc int8 latency_ms 1.8 -> 1.8018 +0.1 %" in text
    assert "Verdict: the model changed, the tracer not: mapping or machine figures (vit)" in text
    assert ACCEPT in text
    assert suite.contents() == before, "a failing run writes nothing"


def test_a_shift_of_a_billionth_passes_and_update_leaves_the_file(suite: Suite) -> None:
    before = suite.contents()
    suite.latency("epyc", 1.8 * (1 + 1e-9))
    assert suite.run().ret == 0
    assert suite.run("--snapshot-update").ret == 0
    assert suite.contents() == before


def test_small_drifts_cannot_add_up(suite: Suite) -> None:
    suite.latency("epyc", 1.8 * (1 + 0.7e-6))
    assert suite.run("--snapshot-update").ret == 0
    suite.latency("epyc", 1.8 * (1 + 1.4e-6))
    assert suite.run().ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("option", ["-rf", "--snapshot-update"])
def test_a_nan_fails_and_no_update_accepts_it(suite: Suite, option: str) -> None:
    before = suite.contents()
    suite.latency("epyc", math.nan)
    result = suite.run(option)
    result.assert_outcomes(passed=3, failed=1)
    assert "vit epyc int8 latency_ms 1.8 -> nan not a number" in shown(result)
    assert suite.contents() == before


def test_a_nan_that_is_stored_already_fails_too(suite: Suite) -> None:
    suite.latency("epyc", math.nan)
    suite.file("estimates/vit/epyc").write_text(json.dumps(suite.cases["estimates/vit/epyc"]))
    suite.run().assert_outcomes(passed=3, failed=1)


def test_an_infinity_equals_itself_only(suite: Suite) -> None:
    suite.latency("epyc", math.inf)
    suite.run("--snapshot-update")
    assert suite.run().ret == 0
    suite.latency("epyc", 1.8)
    assert suite.run().ret == pytest.ExitCode.TESTS_FAILED


def test_integers_and_labels_are_exact(suite: Suite) -> None:
    suite.cases["workloads/vit"]["flops"] = 1001
    suite.cases["estimates/vit/xeon"]["precisions"]["int8"]["active_cores"] = 59
    result = suite.run()
    result.assert_outcomes(passed=2, failed=2)
    assert "vit flops 1,000 -> 1,001 +0.1 %" in shown(result)
    assert "vit xeon int8 active_cores 60 -> 59 -1.67 %" in shown(result)


def test_a_deleted_cpu_fails_and_an_update_removes_its_snapshot(suite: Suite) -> None:
    del suite.cases["estimates/vit/epyc"]
    result = suite.run()
    result.assert_outcomes(passed=2, failed=1)
    assert "ORPHANED" in shown(result)
    assert "1 stored but recorded by nothing: estimates/vit/epyc" in shown(result)
    assert ACCEPT in shown(result)
    assert suite.run("--snapshot-update").ret == 0
    assert not suite.file("estimates/vit/epyc").exists()
    assert suite.run().ret == 0


def test_any_stray_file_is_an_orphan_in_ci_too(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    stray = suite.snapshots / "estimates" / "old" / "note.txt"
    stray.parent.mkdir()
    stray.write_text("left over")
    result = suite.run()
    result.assert_outcomes(passed=3, failed=1)
    assert "estimates/old/note.txt" in shown(result)
    suite.run("--snapshot-update")
    assert not stray.parent.exists()


@pytest.mark.parametrize("selection", [["-k", "xeon"], ["-k", "orphans"], ["-x"]])
def test_a_part_of_the_suite_accuses_no_file_falsely(suite: Suite, selection: list[str]) -> None:
    before = suite.contents()
    assert suite.run(*selection).ret == 0
    assert suite.run(*selection, "--snapshot-update").ret == 0
    assert suite.contents() == before


def test_stopping_at_the_first_failure_deletes_nothing(suite: Suite) -> None:
    suite.latency("epyc", math.nan)
    suite.run("-x", "--snapshot-update")
    assert len(suite.contents()) == 3


def test_a_missing_snapshot_fails_with_the_command_that_creates_it(suite: Suite) -> None:
    suite.cases["estimates/vit/graviton"] = figures(1.5)
    result = suite.run()
    result.assert_outcomes(passed=4, failed=1)
    text = shown(result)
    assert f"estimates/vit/graviton: no snapshot is stored. To store it: {ACCEPT}" in text
    assert "NOT STORED" in text
    assert not suite.file("estimates/vit/graviton").exists()
    assert suite.run("--snapshot-update").ret == 0
    assert suite.run().ret == 0


def test_a_broken_snapshot_fails_and_says_so(suite: Suite) -> None:
    suite.file("estimates/vit/epyc").write_text("<<<<<<< ours\n{}\n")
    result = suite.run()
    result.assert_outcomes(passed=3, failed=1)
    assert "estimates/vit/epyc: the stored file is not JSON" in shown(result)


def test_a_changed_bound_and_a_flipped_ranking_are_said(suite: Suite) -> None:
    suite.cases["estimates/vit/xeon"] = figures(2.4, bound="DRAM")
    text = shown(suite.run("-k", "xeon or workloads"))
    assert "vit int8 ranking xeon < epyc -> epyc < xeon ranking flipped" in text
    assert "vit xeon int8 bottleneck compute -> DRAM bottleneck changed" in text
    assert "vit xeon int8 mlp.0: bound compute -> DRAM bound changed" in text


def test_a_changed_tracer_is_told_from_a_changed_model(suite: Suite) -> None:
    suite.cases["workloads/vit"]["bytes"]["weight"] = 44
    suite.latency("xeon", 1.3)
    text = shown(suite.run())
    assert "Verdict: the tracer changed (vit)" in text
    assert "TRACER: what a model asks for changed" in text
    assert "vit bytes.weight 40 -> 44 +10 %" in text
    assert "ESTIMATES of models whose workload changed as well" in text
    assert "MODEL: estimates changed" not in text


def test_an_update_reports_what_it_accepted(suite: Suite) -> None:
    suite.latency("epyc", 1.9)
    result = suite.run("--snapshot-update")
    assert result.ret == 0
    assert "vit epyc int8 latency_ms 1.8 -> 1.9 +5.56 %" in shown(result)
    assert "Accepted." in shown(result)
    assert suite.run().ret == 0


def test_the_step_summary_gets_the_same_table(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    suite.run()
    assert summary.read_text() == "# before\n", "nothing shifted, nothing said"
    suite.latency("epyc", 1.8018)
    suite.run()
    text = summary.read_text()
    assert text.startswith("# before\n### Snapshot shifts\n")
    assert "| vit | epyc | int8 | latency_ms | 1.8 -> 1.8018 | +0.1 % |  |" in text
    assert f"`{ACCEPT}`" in text


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"x": {"y": np.int64(3)}}, r"x\.y is a int64"),
        ({"x": [1, (2, 3)]}, r"x\.1 is a tuple"),
        ({"x": {1: 2}}, "x has the key 1"),
    ],
)
def test_what_is_not_plain_json_is_refused(document: object, place: str) -> None:
    with pytest.raises(TypeError, match=place):
        ToleranceJSONExtension().serialize(document)
