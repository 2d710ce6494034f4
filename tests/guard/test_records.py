"""Documents that a test records beside estimates: whole runs of a small suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perfmodel.guard.report import record_shift
from perfmodel.guard.snapshots import RecordExtension
from tests.guard.conftest import Suite, report, said

SUITE = """
import json
from pathlib import Path

import pytest

CASES = json.loads(Path(__file__).with_name("cases.json").read_text())

@pytest.mark.parametrize("name", sorted(CASES))
def test_record(perfmodel_guard, name):
    perfmodel_guard.record(name, CASES[name])

def test_net(perfmodel_guard):
    perfmodel_guard("net.json", cpus=["one.toml", "two.toml"], precision="bf16")
"""
ACCEPT = "pytest --perfmodel-update"


class Records:
    """The suite, its cases and its files."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        suite.tests(SUITE)
        self.cases: dict[str, dict[str, Any]] = {
            "costs/net": {"usd": 1.5, "servers": 3, "order": ["one", "two"]},
            "claims/net/all": {"holds": True},
        }
        assert self.run("--perfmodel-update").ret == 0

    def run(self, *arguments: str) -> pytest.RunResult:
        (self.suite.path / "cases.json").write_text(json.dumps(self.cases))
        return self.suite.run(*arguments)

    def file(self, name: str) -> Path:
        return self.suite.snapshots / f"{name}.json"


@pytest.fixture
def records(suite: Suite) -> Records:
    return Records(suite)


def test_a_record_is_a_file_of_its_name_with_sorted_keys(records: Records) -> None:
    document = records.cases["costs/net"]
    text = records.file("costs/net").read_text()
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert records.file("claims/net/all").is_file()
    result = records.run()
    assert result.ret == 0
    assert report(result) == []


def test_what_follows_is_named_behind_its_cause(records: Records) -> None:
    records.suite.efficiency(0.6)
    records.cases["costs/net"]["usd"] = 1.65
    result = records.run()
    result.assert_outcomes(passed=1, failed=2)
    lines = report(result)
    assert lines[0].endswith("; 1 of 2 records moved")
    assert lines.index("Causes") < lines.index("What follows") < lines.index("Effects")
    assert "costs/net: usd 1.5 -> 1.65 (+10 %)" in lines
    assert "Tests that fail for it (-v shows each): 2 in test_suite.py" in lines


def test_a_record_alone_is_said_too(records: Records) -> None:
    records.cases["costs/net"] |= {"usd": 1.65, "order": ["two", "one"]}
    lines = report(records.run())
    assert lines[0] == "None of 2 estimates moved; 1 of 2 records moved"
    assert "costs/net: order.0 one -> two, and 2 more" in lines, "a label is named first"
    assert f"To accept: {ACCEPT}" in lines


def test_failures_that_the_report_says_are_shown_again_only_when_asked(records: Records) -> None:
    records.cases["costs/net"]["usd"] = 2.0
    assert "FAILURES" not in said(records.run("-rf"))
    detailed = said(records.run("-v"))
    assert "FAILURES" in detailed
    assert "costs/net: usd 1.5 -> 2 (+33.3 %)" in detailed
    records.suite.tests(SUITE + "\ndef test_other(): assert 1 == 2\n", "test_suite")
    result = records.run("-rf")
    result.assert_outcomes(passed=2, failed=2)
    assert "assert 1 == 2" in said(result)
    assert "FAILED test_suite.py::test_other" in said(result)


@pytest.mark.parametrize(
    ("change", "fails"), [({"usd": 1.5 * (1 + 1e-9)}, False), ({"usd": 1.5015}, True),
                          ({"servers": 4}, True), ({"new": 1}, True)],
)  # fmt: skip
def test_floats_have_a_tolerance_and_nothing_else_has(
    records: Records, change: dict[str, Any], fails: bool
) -> None:
    before = records.file("costs/net").read_text()
    records.cases["costs/net"] |= change
    assert (records.run().ret != 0) == fails
    assert records.file("costs/net").read_text() == before, (
        "a run without the option writes nothing"
    )
    assert records.run("--perfmodel-update").ret == 0
    assert (records.file("costs/net").read_text() != before) == fails, "small drifts cannot add up"
    assert records.run().ret == 0


def test_a_tolerance_of_ones_own(records: Records) -> None:
    records.suite.tests(SUITE.replace("CASES[name])", 'CASES[name], rtol="5 %")'))
    records.cases["costs/net"]["usd"] = 1.55
    assert records.run().ret == 0
    records.cases["costs/net"]["usd"] = 1.65
    assert records.run().ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("option", ["-q", "--perfmodel-update"])
@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_what_is_no_number_fails_and_no_update_accepts_it(
    records: Records, option: str, value: str
) -> None:
    before = records.suite.files()
    records.cases["costs/net"]["usd"] = float(value)
    result = records.run(option)
    result.assert_outcomes(passed=2, failed=1)
    assert "costs/net: usd is " in said(result)
    assert records.suite.files() == before


def test_a_missing_record_fails_with_the_command_that_creates_it(records: Records) -> None:
    records.cases["costs/other"] = {"usd": 1.0}
    result = records.run("-v")
    assert f"costs/other: no snapshot is stored. To store it: {ACCEPT}" in said(result)
    assert "costs/other" in report(result)
    assert not records.file("costs/other").exists()
    assert records.run("--perfmodel-update").ret == 0
    assert records.run().ret == 0


def test_a_broken_record_fails_and_no_update_overwrites_it(records: Records) -> None:
    records.file("costs/net").write_text("<<<<<<< ours\n{}\n")
    for option in ("-q", "--perfmodel-update"):
        result = records.run(option)
        result.assert_outcomes(passed=2, failed=1)
        assert "costs/net.json: is not JSON" in said(result)
        assert records.file("costs/net").read_text().startswith("<<<")


@pytest.mark.parametrize("name", ["net", "figures/one", "a//b", "../b/c", "a/b c", "/a"])
def test_a_name_that_could_be_another_file_is_refused(records: Records, name: str) -> None:
    records.cases = {name: {"usd": 1.0}}
    result = records.run("--perfmodel-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "a record's name is FOLDER/NAME" in said(result)


def test_two_records_of_one_name_fail(records: Records) -> None:
    records.suite.tests(
        SUITE + 'def test_two(perfmodel_guard): perfmodel_guard.record("costs/net", {"usd": 9.0})'
    )
    for options in ((), ("-p", "xdist", "-n", "2")):
        result = records.run("--perfmodel-update", *options)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert "two different documents are called 'costs/net'" in said(result)
        assert '"usd": 1.5' in records.file("costs/net").read_text()


def test_workers_send_them(records: Records) -> None:
    records.cases["costs/net"]["usd"] = 1.65
    options = ("-p", "xdist", "-n", "2")
    assert "costs/net: usd 1.5 -> 1.65 (+10 %)" in report(records.run(*options))
    assert records.run(*options, "--perfmodel-update").ret == 0
    assert records.run().ret == 0


def test_many_of_a_folder_are_one_line(records: Records) -> None:
    records.cases = {f"costs/n{i}": {"usd": 1.0} for i in range(20)}
    records.run("--perfmodel-update")
    records.cases = {f"costs/n{i}": {"usd": 1.0 + i / 100} for i in range(20)}
    lines = report(records.run())
    assert "costs: 19 moved, most of all costs/n19: usd 1 -> 1.19 (+19 %)" in lines


def test_the_extension_of_syrupy_matches_within_the_tolerance() -> None:
    extension, stored = RecordExtension(), '{"usd": 1.0}'
    for text, same in (('{"usd": 1.0000000001}', True), ('{"usd": 1.001}', False)):
        assert extension.matches(serialized_data=text, snapshot_data=stored) == same
    assert not extension.matches(serialized_data=stored, snapshot_data="<<<")


def test_what_only_one_side_has_is_in_words() -> None:
    assert record_shift("a/b", {"x": {"y": 1}}, {}).most == "x (1 entries) -> (none)"
