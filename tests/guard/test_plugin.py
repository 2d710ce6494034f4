"""Whole runs of a small suite that uses the plugin as a user's does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.guard.conftest import PLUGIN, TWO, Suite, report, said

ACCEPT = "pytest --perfmodel-update"


def test_a_first_run_fails_and_says_how_to_record(suite: Suite) -> None:
    result = suite.run("-v")
    result.assert_outcomes(passed=1, failed=2)
    assert f"net one bf16: no snapshot is stored. To store it: {ACCEPT}" in said(result)
    assert "No estimate to compare with; 4 not recorded yet" in report(result)
    assert f"To record: {ACCEPT}" in report(result)
    assert suite.files() == {}, "a run without the option writes nothing"
    lines = report(suite.run("--perfmodel-update"))
    assert lines[0] == "No estimate to compare with; 4 recorded for the first time"
    assert "Recorded" in lines


def test_accepted_it_passes_and_says_nothing(suite: Suite) -> None:
    result = suite.accepted().run()
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert report(result) == []


def test_a_model_is_one_small_sorted_file(suite: Suite) -> None:
    suite.accepted()
    assert sorted(suite.files()) == [
        "figures/one.json", "figures/precision.bf16.json", "figures/precision.int8.json",
        "figures/software.openvino.json", "figures/two.json", "net.json",
    ]  # fmt: skip
    text = (suite.snapshots / "net.json").read_text()
    document = json.loads(text)
    assert list(document["estimates"]) == ["one bf16", "one int8", "two bf16", "two int8"]
    assert len(text) < 4096
    assert text.endswith("}\n")

    def ordered(value: object) -> bool:
        return not isinstance(value, dict) or (
            list(value) == sorted(value) and all(map(ordered, value.values()))
        )

    assert ordered(document)


def test_a_changed_figure_is_named_with_old_and_new(suite: Suite) -> None:
    suite.accepted().efficiency(0.714)
    before = suite.files()
    result = suite.run()
    result.assert_outcomes(passed=2, failed=1)
    lines = report(result)
    assert lines[0].startswith("2 of 4 estimates moved: -")
    assert lines[0].endswith("no ranking flipped")
    assert lines[2:4] == [
        "Causes",
        "figures that were read: one core.engines.avx512.efficiency.linear 0.7 -> 0.714 (+2 %)",
    ]
    assert lines[4] == "", "no other cause is named"
    assert len(result.outlines) < 60
    assert suite.files() == before, "a failing run writes nothing"


def test_a_changed_layer_is_named_with_its_shapes(suite: Suite) -> None:
    suite.accepted().model(hidden=4096)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=2)
    lines = report(result)
    assert "model: net: layers.*.fc1 outputs 3072 -> 4096" in lines
    assert "model: net: layers.*.fc2 inputs 3072 -> 4096" in lines
    assert not any(line.startswith(("tracer:", "mapping:", "figures")) for line in lines)
    row = next(line for line in lines if line.startswith("net two"))
    assert "linear +" in row


def test_more_layers_are_counted(suite: Suite) -> None:
    suite.accepted().model(layers=5)
    assert "model: net: layers.*.fc1 kernels 4 -> 5" in report(suite.run())


def test_a_changed_tracer_is_told_by_what_it_counts(suite: Suite) -> None:
    suite.accepted().model(tracer="3", flops=0.5)
    lines = report(suite.run())
    assert "tracer: linear FLOPs -50 % in 1 model (net)" in lines
    assert not any(line.startswith(("model:", "mapping:", "figures")) for line in lines)


def test_a_moved_engine_is_named(suite: Suite, changed_estimate: Callable[..., None]) -> None:
    suite.accepted()
    changed_estimate(1.2, {"attention": "avx2"})
    lines = report(suite.run())
    assert "mapping: attention moved from amx to avx2 on two in bf16, int8 (net)" in lines
    assert "mapping: attention moved from avx512 to avx2 on one in bf16, int8 (net)" in lines
    assert not any("formula" in line for line in lines)
    assert any("attention amx -> avx2" in line for line in lines if line.startswith("net two"))


def test_a_changed_formula_is_what_remains(
    suite: Suite, changed_estimate: Callable[..., None]
) -> None:
    suite.accepted()
    changed_estimate(1.2)
    lines = report(suite.run())
    assert lines[0] == "4 of 4 estimates moved: +20 % to +20 %, geometric mean +20 %; " + (
        "no ranking flipped"
    )
    causes = lines[lines.index("Causes") + 1 : lines.index("Effects") - 1]
    assert len(causes) == 1
    assert causes[0].startswith("mapping: the formula changed")


def test_a_formula_that_changed_with_a_figure_is_not_hidden_by_it(
    suite: Suite, changed_estimate: Callable[..., None]
) -> None:
    suite.accepted().efficiency(0.714)
    changed_estimate(1.5)
    lines = report(suite.run("-k", "one"))
    assert any("efficiency.linear 0.7 -> 0.714" in line for line in lines)
    assert (
        "mapping: the formula changed as well: with the old figures put back, 2 estimates would "
        "still be off by +50 % to +50 %"
    ) in lines


def test_an_update_accepts_and_reports_what(suite: Suite) -> None:
    suite.accepted().efficiency(0.5)
    result = suite.run("--perfmodel-update")
    assert result.ret == 0
    assert "2 of 4 estimates moved" in said(result)
    assert any(line.startswith("Accepted.") for line in report(result))
    assert suite.run().ret == 0


def test_the_switch_of_syrupy_accepts_as_well(suite: Suite) -> None:
    assert suite.run("--snapshot-update").ret == 0
    assert suite.run().ret == 0


def test_small_drifts_pass_and_cannot_add_up(
    suite: Suite, changed_estimate: Callable[..., None]
) -> None:
    suite.accepted()
    before = suite.files()
    changed_estimate(1 + 0.7e-6)
    assert suite.run("--perfmodel-update").ret == 0
    assert suite.files() == before
    changed_estimate(1 + 0.7e-6)
    assert suite.run().ret == pytest.ExitCode.TESTS_FAILED


def test_a_ranking_that_flips_is_named(suite: Suite) -> None:
    suite.accepted().efficiency(0.95)
    (suite.path / "two.toml").write_text(TWO + "[cores]\ncount = 4\n")
    lines = report(suite.run())
    assert "Rankings flipped" in lines
    assert "net bf16: two < one -> one < two" in lines


BUDGETS = """
import pytest
def test_net(perfmodel_guard):
    perfmodel_guard("net.json", cpus="one.toml", precision="bf16", {})
"""


@pytest.mark.parametrize(
    ("allowed", "efficiency", "expected"),
    [
        ('rtol="5 %"', 0.69, ""),
        ("rtol=0.05", 0.6, "+"),
        ("rtol=0.05", 0.9, "-"),
        ('max_increase="5 %"', 0.69, ""),
        ('max_increase="5 %"', 0.9, ""),
        ('max_increase="5 %"', 0.6, "beyond the 5 % allowed"),
        ('max_latency="1 us"', 0.7, "above its budget of 0.001 ms"),
        ('max_latency="1 us", max_increase=0.5', 0.7, "above its budget of 0.001 ms"),
        ("max_latency=1000", 0.6, ""),
    ],
)
def test_what_a_call_allows(suite: Suite, allowed: str, efficiency: float, expected: str) -> None:
    suite.accepted().tests(BUDGETS.format(allowed))
    suite.efficiency(efficiency)
    result = suite.run()
    assert (result.ret != 0) == bool(expected)
    assert expected in said(result)


def test_an_update_accepts_no_latency_above_its_budget(suite: Suite) -> None:
    suite.tests(BUDGETS.format('max_latency="1 us", max_increase=0.5'))
    assert suite.run("--perfmodel-update").ret == pytest.ExitCode.TESTS_FAILED


def test_a_marker_and_the_ini_options_allow_too(suite: Suite) -> None:
    suite.accepted().efficiency(0.69)
    suite.tests(
        """
import pytest
@pytest.mark.perfmodel(rtol=1e-9)
class TestNet:
    @pytest.mark.perfmodel(rtol="5 %")
    def test_marked(self, perfmodel_guard):
        perfmodel_guard("net.json", precision="bf16")
    def test_class(self, perfmodel_guard):
        perfmodel_guard("net.json", precision="bf16")
"""
    )
    suite.pytester.makeini("[pytest]\nperfmodel_cpus = one.toml\nperfmodel_rtol = 5 %\n")
    suite.run("-k", "marked").assert_outcomes(passed=1, deselected=1)
    suite.run("-k", "class").assert_outcomes(failed=1, deselected=1)
    suite.tests(BUDGETS.format("name=None"))
    suite.run().assert_outcomes(passed=1)
    suite.run("--perfmodel-rtol", "1e-6").assert_outcomes(failed=1)


def test_what_nothing_estimates_any_more_is_said_and_goes_with_an_update(suite: Suite) -> None:
    suite.accepted().tests(BUDGETS.format("name=None"))
    result = suite.run()
    assert result.ret == 0
    assert "None of 1 estimate moved; 3 no longer estimated" in report(result)
    suite.accepted()
    assert list(json.loads(suite.files()["net.json"])["estimates"]) == ["one bf16"]


@pytest.mark.parametrize("selection", [["-k", "one"], ["test_suite.py::test_net"], ["-x"]])
def test_a_part_of_the_suite_accuses_and_removes_nothing(
    suite: Suite, selection: list[str]
) -> None:
    suite.accepted()
    before = suite.files()
    assert report(suite.run(*selection)) == []
    assert suite.run(*selection, "--perfmodel-update").ret == 0
    assert suite.files() == before


REPLACED = """
import pytest
def test_other(perfmodel_guard):
    perfmodel_guard("net.json", name="other", cpus="two.toml", precision="bf16")
{}
"""


def test_a_model_that_nothing_guards_any_more_goes_with_its_figures(suite: Suite) -> None:
    suite.accepted().tests(REPLACED.format(""))
    assert "net one bf16" in report(suite.run())
    suite.accepted()
    assert sorted(suite.files()) == [
        "figures/precision.bf16.json", "figures/software.openvino.json", "figures/two.json",
        "other.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        "def test_net(perfmodel_guard): 1 / 0",
        "def test_net(perfmodel_guard): pytest.skip('no torch')",
        "def test_net(perfmodel_guard): perfmodel_guard('gone.json', cpus='one.toml')",
        "@pytest.mark.xfail(strict=True)\ndef test_net(perfmodel_guard): 1 / 0",
    ],
)
def test_an_update_removes_nothing_where_a_guarded_test_made_no_estimates(
    suite: Suite, more: str
) -> None:
    suite.accepted().tests(REPLACED.format(more))
    suite.run("--perfmodel-update")
    assert {"net.json", "other.json", "figures/one.json"} <= suite.files().keys()


def test_a_module_that_is_skipped_removes_nothing(suite: Suite) -> None:
    suite.accepted().tests(REPLACED.format(""), "test_other")
    suite.tests("import pytest\npytest.importorskip('no_such_module')\n")
    suite.run("--perfmodel-update")
    assert "net.json" in suite.files()


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< ours\n{}\n", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"model": "net", "asks": {}, "figures": {}}', "estimates is missing, or not a table"),
        (
            '{"model": "net", "asks": {}, "figures": {}, "estimates": {"one bf16": {}}}',
            "estimates.one bf16: cpu is missing, or not a text",
        ),
    ],
)
def test_an_unreadable_snapshot_fails_and_no_update_overwrites_it(
    suite: Suite, text: str, reason: str
) -> None:
    suite.accepted()
    (suite.snapshots / "net.json").write_text(text)
    for option in ("-q", "--perfmodel-update"):
        result = suite.run(option)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "net.json" in said(result)
        assert reason in said(result)
        assert (suite.snapshots / "net.json").read_text() == text


def test_spoilt_figures_cost_the_explanation_only(suite: Suite) -> None:
    suite.accepted()
    (suite.snapshots / "figures" / "one.json").write_text("<<<")
    assert suite.run().ret == 0
    suite.efficiency(0.714)
    lines = report(suite.run())
    assert any(line.startswith("figures that were read: one figures changed") for line in lines)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ('"net.json", cpus=["epyc_9645"]', "unknown CPU 'epyc_9645': did you mean 'epyc_9654'?"),
        ('"net.json", cpus=["gone.toml"]', "gone.toml: no such file"),
        ('"net.json", cpus=["one.toml"], software="egaer"', "unknown software 'egaer'"),
        ('"net.json", cpus=["one.toml"], precision="bf61"', "unknown precision 'bf61'"),
        ('"net.json"', "no CPU is named"),
        ('"resnet5O", cpus=["one.toml"]', "did you mean 'resnet50'?"),
        ('42, cpus=["one.toml"]', "cannot guard int: expected a torch.nn.Module"),
        ('"net.json", cpus=["one.toml"], inputs=1', "inputs belong to a module"),
        ('"net.json", cpus=["one.toml"], rtol="5 ms"', "rtol: '5 ms'; expected a share"),
        ('"net.json", cpus=["one.toml"], max_latency="5 %"', "expected a time such as"),
        ('"net.json", cpus=["one.toml"], max_latency=0', "above zero"),
        ('"net.json", cpus=["one.toml"], max_increase=-1', "not negative"),
    ],
)
def test_a_wrong_call_fails_with_one_line(suite: Suite, call: str, reason: str) -> None:
    suite.tests(f"def test_it(perfmodel_guard):\n    perfmodel_guard({call})\n")
    result = suite.run("--perfmodel-update")
    result.assert_outcomes(failed=1)
    assert reason in said(result)
    assert "Traceback" not in said(result)


@pytest.mark.parametrize("marker", ["rtoll=1", "0.05"])
def test_a_wrong_marker_fails(suite: Suite, marker: str) -> None:
    suite.tests(
        f"import pytest\n@pytest.mark.perfmodel({marker})\ndef test_it(perfmodel_guard): pass\n"
    )
    assert "takes rtol=, max_latency= and max_increase=" in said(suite.run())


def test_two_models_of_one_name_fail_and_are_not_recorded(suite: Suite) -> None:
    suite.tests(
        """
def test_a(perfmodel_guard):
    perfmodel_guard("net.json", cpus="one.toml")
def test_b(perfmodel_guard):
    perfmodel_guard("other.json", name="net", cpus="two.toml")
"""
    )
    suite.model(hidden=512)
    (suite.path / "net.json").rename(suite.path / "other.json")
    suite.model()
    result = suite.run("--perfmodel-update")
    result.assert_outcomes(passed=1, failed=1)
    assert (
        "two different models are called 'net', in test_suite.py::test_a and "
        "test_suite.py::test_b: give one of them another name="
    ) in said(result)
    assert "net.json" not in suite.files()


def test_a_file_that_is_another_models_is_not_overwritten(suite: Suite) -> None:
    """As "net" and "Net" are where a file system ignores case."""
    suite.accepted()
    (suite.snapshots / "net.json").rename(suite.snapshots / "Net.json")
    before = suite.files()
    suite.tests(BUDGETS.format('name="Net"'))
    result = suite.run("--perfmodel-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "Net.json: holds 'net', and not 'Net': give one of them another name=" in said(result)
    assert suite.files() == before


def test_two_cpus_of_one_id_fail(suite: Suite) -> None:
    (suite.path / "two.toml").write_text(TWO.replace('"two"', '"one"'))
    result = suite.run("--perfmodel-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "'one' is the id of two descriptions that differ" in said(result)


def test_an_update_that_cannot_write_fails_and_loses_nothing(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.accepted().efficiency(0.5)
    before = suite.files()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    result = suite.run("--perfmodel-update")
    monkeypatch.undo()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "net.json: cannot be written: Permission denied" in said(result)
    assert "Accepted." not in said(result)
    assert suite.files() == before


def test_an_error_that_another_led_to_is_one_line(suite: Suite) -> None:
    (suite.path / "net.json").write_text("{")
    result = suite.run("-rN")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "not valid JSON, or cut short" in said(result)
    assert "Traceback" not in said(result)
    assert "exception" not in said(result)


def test_a_latency_that_is_no_number_is_never_recorded(
    suite: Suite, changed_estimate: Callable[..., None]
) -> None:
    changed_estimate(float("nan"))
    result = suite.run("--perfmodel-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "the latency is nan, which is never recorded" in said(result)
    assert suite.files() == {}


# -- workers, files and summaries ------------------------------------------------------------------


def test_workers_publish_and_the_controller_reports_and_writes(suite: Suite) -> None:
    options = ("-p", "xdist", "-n", "2")
    assert suite.run(*options, "--perfmodel-update").ret == 0
    assert len(json.loads(suite.files()["net.json"])["estimates"]) == 4
    suite.efficiency(0.714)
    result = suite.run(*options)
    result.assert_outcomes(passed=2, failed=1)
    assert any("efficiency.linear 0.7 -> 0.714" in line for line in report(result))


def test_the_header_names_version_and_catalogue(suite: Suite) -> None:
    suite.run().stdout.re_match_lines([r"perfmodel: \d+\.\d+\S*, catalogue [0-9a-f]{12}"])


@pytest.mark.parametrize(
    ("suffix", "start"), [("md", "### Latency estimates"), ("html", "<!doctype"), ("txt", "2 of")]
)
def test_the_report_is_written_where_asked(suite: Suite, suffix: str, start: str) -> None:
    suite.accepted().efficiency(0.714)
    suite.run("--perfmodel-report", f"out/report.{suffix}")
    text = (suite.path / "out" / f"report.{suffix}").read_text()
    assert text.startswith(start)
    assert "0.714" in text


def test_the_step_summary_gets_the_report_when_something_moved(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = suite.path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    suite.accepted()
    summary.write_text("# before\n")
    suite.run()
    assert summary.read_text() == "# before\n", "nothing moved, nothing said"
    suite.efficiency(0.714)
    suite.run()
    assert summary.read_text().startswith("# before\n### Latency estimates\n")


def test_without_syrupy_one_line_says_what_to_install(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "syrupy", None)
    result = suite.pytester.runpytest_inprocess(*PLUGIN)
    assert "pip install 'perfmodel[pytest]'" in said(result)
