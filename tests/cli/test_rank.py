"""``perfmodel rank`` and what-if settings."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_json_holds_every_probability(run: Run, saved: Path) -> None:
    result = run("rank", saved, "--samples", "256", "--format", "json", "-p", "fp32")
    (ranking,) = json.loads(result.stdout)
    assert {row["cpu"] for row in ranking["cpus"]} == {"xeon_8490h", "epyc_9654", "ampereone_192"}
    for place in range(3):
        assert sum(row["rank_probability"][place] for row in ranking["cpus"]) == pytest.approx(1)
    assert {pair["verdict"] for pair in ranking["pairs"]} <= {"established", "leaning", "untested"}
    assert len(ranking["pairs"]) == 3
    assert ranking["samples"] == 256


def test_the_table_says_what_an_order_is_worth(run: Run, saved: Path) -> None:
    text = run("rank", saved, "--samples", "256", "-c", "epyc_9654", "-c", "epyc_9754").stdout
    assert "epyc_9754" in text
    assert "of samples" in text
    assert "decided by" in text
    assert "transferred, 8 machines" in text


def test_csv_has_a_line_per_cpu(run: Run, saved: Path) -> None:
    result = run("rank", saved, "--samples", "64", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 3
    assert float(rows[0]["latency_low_ms"]) <= float(rows[0]["latency_high_ms"])
    first = [float(row["rank_probability"].split("; ")[0]) for row in rows]
    assert sum(first) == pytest.approx(1)
    assert {row["calibration"] for row in rows} == {"uncalibrated"}


def latency(run: Run, *arguments: object) -> float:
    (row,) = json.loads(run(*arguments, "--format", "json").stdout)
    return float(row["latency_ms"])


def test_what_if_changes_one_figure(run: Run, saved: Path) -> None:
    plain = ("compare", saved, "-c", "epyc_9654", "-m", "roofline", "-p", "fp32")
    slower = latency(run, *plain, "--set", "epyc_9654.clock.sustained=1 GHz")
    slowest = latency(
        run, *plain, "--set", "epyc_9654.clock.sustained=1 GHz", "--set", "epyc_9654.cores.count=24"
    )
    assert latency(run, *plain) < slower < slowest


def test_what_if_works_on_explain_and_rank(run: Run, saved: Path) -> None:
    setting = ("--set", "epyc_9654.clock.sustained=1 GHz")
    explained = json.loads(run("explain", saved, "-c", "epyc_9654", *setting, "-f", "json").stdout)
    assert set(explained["machine"]["clock_ghz"].values()) == {1.0}
    result = run(
        "rank",
        saved,
        "-c",
        "epyc_9654",
        "-c",
        "xeon_8490h",
        *setting,
        "--samples",
        64,
        "-f",
        "json",
    )
    changed, plain = (
        {row["cpu"]: row["typical_ms"] for row in json.loads(r.stdout)[0]["cpus"]}
        for r in (
            result,
            run(
                "rank", saved, "-c", "epyc_9654", "-c", "xeon_8490h", "--samples", 64, "-f", "json"
            ),
        )
    )
    assert changed["epyc_9654"] > plain["epyc_9654"]
    assert changed["xeon_8490h"] == plain["xeon_8490h"]
    assert "what if: epyc_9654.clock.sustained=1 GHz" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "epyc_9654.memory.bandwith=5 GB/s"], "did you mean 'memory.bandwidth'?"),
        (["--set", "epyc_9654.memory.bandwidth=5 GHz"], "GB/s"),
        (["--set", "epyc_9654"], "expected ID.PATH=VALUE"),
        (["--cpu", "epyc_9654"], "two or more"),
        (["--samples", "1"], "--samples"),
    ],
)
def test_bad_input_is_one_clear_line(
    run: Run, saved: Path, arguments: list[str], expected: str
) -> None:
    result = run("rank", saved, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved linear layer, for any batch and any number of tokens."""
    import torch

    from perfmodel import trace_parametric

    path = tmp_path_factory.mktemp("saved") / "layer.json"
    with torch.device("meta"):
        module = torch.nn.Linear(2048, 2048)
    inputs = torch.empty(2, 16, 2048, device="meta")
    trace_parametric(module, inputs, name="layer", sizes=("batch", "tokens")).save(path)
    return path


def test_a_sweep_finds_the_size_from_which_another_cpu_leads(run: Run, layer: Path) -> None:
    """Memory decides for few tokens, and then AMX does."""
    cpus = ("-c", "xeon_8490h", "-c", "epyc_9654")
    how = ("-p", "bf16", "--software", "ideal", "--batch", 1)
    arguments = ("rank", layer, *cpus, *how, "--sweep", "tokens=1:4096")
    (found,) = json.loads(run(*arguments, "-f", "json").stdout)
    assert [point["tokens"] for point in found["points"]] == [2**k for k in range(13)]
    leaders = [point["leader"] for point in found["points"]]
    assert leaders[0] == "epyc_9654"
    assert leaders[-1] == "xeon_8490h"
    (change,) = found["crossovers"]
    before, after = (
        json.loads(run(*arguments[:-1], f"tokens={size}:{size}", "-f", "json").stdout)[0]["points"]
        for size in (change["tokens"] - 1, change["tokens"])
    )
    assert before[0]["leader"] == "epyc_9654"
    assert after[0]["leader"] == "xeon_8490h"
    assert f"from tokens {change['tokens']}" in run(*arguments).stdout


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("token=1:8", "did you mean 'tokens'?"),
        ("tokens=8:1", "does not end before it begins"),
        ("tokens", "batch=1:256"),
    ],
)
def test_a_bad_sweep_is_one_clear_line(run: Run, layer: Path, sweep: str, expected: str) -> None:
    result = run("rank", layer, "--sweep", sweep)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr


def test_several_batches_are_ranked_one_by_one(run: Run, layer: Path) -> None:
    result = run("rank", layer, "--batch", "1,8", "--samples", "64", "-f", "json")
    assert [ranking["batch"] for ranking in json.loads(result.stdout)] == [1, 8]


@pytest.mark.parametrize(
    "arguments", [("--sweep", "tokens=1:8", "-b", "1,8"), ("--sweep", "batch=1:8", "-b", "4")]
)
def test_a_sweep_takes_one_batch_and_none_of_its_own(
    run: Run, layer: Path, arguments: tuple[str, ...]
) -> None:
    result = run("rank", layer, *arguments)
    assert result.exit_code == 2
    assert "takes one --batch" in result.stderr


def test_a_workload_of_fixed_sizes_cannot_be_swept(run: Run, saved: Path) -> None:
    result = run("rank", saved, "--sweep", "batch=1:8")
    assert result.exit_code == 2
    assert "traced at fixed sizes" in result.stderr
