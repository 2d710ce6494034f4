"""Phases on the command line: models that generate tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from perfmodel import load_workload
from perfmodel.models import zoo
from perfmodel.models.huggingface_models import with_layers
from tests.cli.conftest import Run


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """llama_7b with one layer, and a cache of its own."""
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(zoo._SPECS, "llama_7b", with_layers("llama_7b", 1))


@pytest.fixture
def decode(saved: Path) -> Path:
    """A saved workload that says it is a decode step of 4 samples."""
    workload = replace(load_workload(saved), batch=4, phase="decode", tokens=1, context=64)
    workload.save(saved)
    return saved


def test_decode_prints_tokens_per_second(run: Run, shallow: None) -> None:
    options = ("--phase", "decode", "--context", 300, "--precision", "w8", "--batch", 2)
    result = run("compare", "llama_7b", *options, "--format", "json")
    rows = json.loads(result.stdout)
    assert len(rows) == 3
    for row in rows:
        assert row["phase"] == "decode at context 300"
        assert row["tokens_per_s"] == row["throughput_fps"]
        assert row["tokens_per_s"] == pytest.approx(2 / row["latency_ms"] * 1e3)
    table = run("compare", "llama_7b", *options).stdout
    assert "tokens/s" in table
    assert "decode at context 300" in table


def test_prefill_counts_the_tokens_of_the_prompt(run: Run, shallow: None) -> None:
    options = ("-c", "epyc_9654", "--tokens", 50, "-p", "bf16")
    result = run("explain", "llama_7b", *options, "-f", "json")
    found = json.loads(result.stdout)
    assert found["phase"] == "prefill of 50 tokens"
    assert found["tokens_per_s"] == pytest.approx(50 * found["throughput_fps"])
    assert "prefill of 50 tokens" in run("explain", "llama_7b", *options).stdout


def test_a_saved_phase_stays_and_cannot_be_changed(run: Run, decode: Path) -> None:
    rows = json.loads(run("compare", decode, "-m", "roofline", "-f", "json").stdout)
    assert {row["phase"] for row in rows} == {"decode at context 64"}
    assert run("compare", decode, "--phase", "decode", "--context", 64).exit_code == 0
    refused = run("compare", decode, "--phase", "decode", "--context", 65)
    assert refused.exit_code == 2
    assert "was traced with context 64, not 65" in refused.stderr


def test_what_does_not_generate_has_no_rate_of_tokens(run: Run, saved: Path) -> None:
    (row, *_) = json.loads(run("compare", saved, "-m", "roofline", "-f", "json").stdout)
    assert not {"phase", "tokens_per_s"} & row.keys()
    assert "tokens/s" not in run("compare", saved).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet50", "--phase", "decode"), "resnet50 has no decode phase"),
        (("llama_7b", "--context", "9"), "ask for that phase (--phase decode)"),
        (("resnet50", "--tokens", "9"), "resnet50 takes no tokens"),
        (("llama_7b", "--phase", "decode", "--tokens", "9"), "(--context)"),
        (("llama_7b", "--phase", "training"), "'training' is not one of 'prefill', 'decode'"),
        (("llama_7b", "--phase", "decode", "--context", "5000"), "positions for 4096 tokens"),
    ],
)
def test_a_phase_that_does_not_fit_is_one_line(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = run("compare", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
