"""Saved results, their schema, and what is exported of them to other services."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, RootModel, StrictFloat, StrictStr
from pytest_benchmark import cli

from perfmodel.errors import PerfmodelError
from perfmodel.guard import exporters, results
from perfmodel.guard.documents import Document
from tests.guard.conftest import Suite
from tests.guard.test_changes import run


@pytest.fixture
def found() -> Document:
    """Results of two models on three CPUs, the first with an interval."""
    document = results.document(run(), old=run(), failures={"test_x": "why"})
    document["results"][0]["latency_ms"] |= {"low": 0.9, "high": 1.2, "coverage": 0.8}
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]


def test_a_run_comes_back_as_it_was(found: Document) -> None:
    assert results.run_of(results.check(found, "x")) == run()


def test_the_schema_in_the_package_is_that_of_the_records() -> None:
    assert json.loads(results.SCHEMA.read_text()) == results.schema()
    assert results.schema()["additionalProperties"] is False


def test_the_plugin_writes_them_with_old_values_and_tests(suite: Suite) -> None:
    suite.accepted().efficiency(0.714)
    suite.run("--perfmodel-results", "out/results.json")
    document = results.load(suite.path / "out" / "results.json")
    first = document["results"][0]
    assert (first["model"], first["key"]) == ("net", "one bf16")
    assert first["test"].startswith("test_suite.py::")
    assert first["old"]["latency_ms"] > first["latency_ms"]["value"]
    assert len(document["results"]) == 4
    for result in document["results"]:
        latency = result["latency_ms"]
        assert 0 < latency["low"] < latency["value"] < latency["high"]
        assert latency["coverage"] == 0.8
    assert document["failed"] == ["test_suite.py::test_net[one.toml]"]
    stored = (suite.snapshots / "net.json").read_text()
    assert "interval" not in stored, "a snapshot holds what is compared"
    (metric,) = exporters.bencher(document)["net one bf16"].values()
    assert metric["lower_value"] < metric["value"] < metric["upper_value"]


def wrong(**changes: Any) -> Any:
    def apply(document: Document) -> object:
        for path, value in changes.items():
            *parents, last = path.split("__")
            node: Any = document
            for parent in parents:
                node = node[int(parent[1:])] if parent.startswith("n") else node[parent]
            node[last] = value
        return document

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda document: [document], "no results of perfmodel"),
        (wrong(format="other"), "no results of perfmodel"),
        (wrong(version=2), "version 2; this release reads version 1"),
        (wrong(results__n0__latency_ms__value=-1), "results.0.latency_ms.value"),
        (wrong(results__n0__latency_ms__value="x"), "results.0.latency_ms.value"),
        (wrong(results__n0__batch=0), "results.0.batch"),
        (wrong(results__n0__surprise=1), "results.0.surprise"),
        (wrong(results="x"), "results"),
    ],
)
def test_what_is_not_the_format_is_one_line(
    found: Document, change: Any, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(change(copy.deepcopy(found))))
    with pytest.raises(PerfmodelError) as error:
        results.load(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_results_without_their_model_are_refused(found: Document) -> None:
    del found["models"]["m0"]
    with pytest.raises(PerfmodelError, match="m0: is not among its models"):
        results.run_of(found)


# -- exporters -------------------------------------------------------------------------------------


class _Bench(BaseModel):
    """BenchmarkResult of github-action-benchmark's src/extract.ts."""

    model_config = ConfigDict(extra="forbid")
    name: StrictStr
    value: StrictFloat
    unit: StrictStr
    range: StrictStr = ""
    extra: StrictStr = ""


class _Metric(BaseModel):
    """A metric of https://bencher.dev/bmf.json."""

    model_config = ConfigDict(extra="forbid")
    value: StrictFloat
    lower_value: StrictFloat | None = None
    upper_value: StrictFloat | None = None


def test_github_action_benchmark_reads_them(found: Document) -> None:
    exported = RootModel[list[_Bench]].model_validate(exporters.github_action(found)).root
    assert len(exported) == 6
    assert exported[0] == _Bench(
        name="m0 c0 bf16", value=1.0, unit="ms", range="0.9 to 1.2", extra="bottleneck: compute"
    )
    assert len({bench.name for bench in exported}) == 6
    assert exported[1].range == ""


def test_bencher_reads_them_in_nanoseconds(found: Document) -> None:
    parsed = RootModel[dict[str, dict[str, _Metric]]].model_validate(exporters.bencher(found)).root
    assert parsed["m0 c0 bf16"] == {
        "latency": _Metric(value=1e6, lower_value=0.9e6, upper_value=1.2e6)
    }
    assert max(map(len, parsed)) <= 1024
    assert parsed["m1 c2 bf16"]["latency"].lower_value is None


def test_pytest_benchmark_compares_them(
    found: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for number, factor in ((1, 1.0), (2, 1.5)):
        changed = copy.deepcopy(found)
        for result in changed["results"]:
            result["latency_ms"]["value"] *= factor
        text = json.dumps(exporters.pytest_benchmark(changed))
        (tmp_path / f"{number:04}_run.json").write_text(text)
    monkeypatch.chdir(tmp_path)
    command = ["compare", "0001_run.json", "0002_run.json", "--columns=min", "--sort=name"]
    monkeypatch.setattr("sys.argv", ["pytest-benchmark", *command])
    cli.main()
    shown = capsys.readouterr().out
    assert "m0 c0 bf16 (0001_run)" in shown
    assert "1.5000" in shown


def test_nothing_is_nothing_to_export(found: Document) -> None:
    found["results"] = []
    for export in exporters.EXPORTERS.values():
        with pytest.raises(PerfmodelError, match="nothing to export"):
            export(found)


def test_the_exporters_are_run_from_a_shell(
    found: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(found))
    assert exporters.main("bencher", str(path)) == 0
    assert "m0 c0 bf16" in json.loads(capsys.readouterr().out)
    for arguments in ((), ("bensher", str(path)), ("bencher", "gone.json")):
        assert exporters.main(*arguments) == 2
        assert capsys.readouterr().err.startswith("perfmodel: error: ")
