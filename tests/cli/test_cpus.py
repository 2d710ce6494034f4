"""``perfmodel cpus``: where figures are from, and checking one's own file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from perfmodel.machine import catalogue, load_machine
from tests.cli.conftest import Run


def test_sources_show_every_figure_with_unit_confidence_and_source(run: Run) -> None:
    figures = load_machine("epyc_9754").figures()
    records = json.loads(run("cpus", "--sources", "epyc_9754", "-f", "json").stdout)
    assert [r["path"] for r in records] == list(figures)
    for record in records:
        figure = figures[record["path"]]
        assert (record["low"], record["typical"], record["high"]) == (
            figure.low,
            figure.typical,
            figure.high,
        )
        assert (record["unit"], record["confidence"]) == (figure.unit, figure.confidence)
        assert record["source"] == figure.source
    text = run("cpus", "--sources", "epyc_9754", "-f", "markdown").stdout
    assert "| clock.sustained | 3.1 GHz (2.7 GHz to 3.1 GHz) | R | AMD lists 3.1 GHz" in text
    assert "R: recalled or estimated" in text
    table = run("cpus", "--sources", "epyc_9754").stdout
    assert all(path.split(".")[0] in table for path in figures)


def test_sources_of_a_file_say_what_it_states_itself(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "epyc_9654"\n[memory]\ntransfer_rate = "6000 MT/s"\n')
    lines = run("cpus", "--sources", file, "-f", "csv").stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("memory.transfer_rate,"))
    assert line == f"memory.transfer_rate,6000000000.0,6000000000.0,6000000000.0,T/s,stated,{file}"


def test_check_prints_what_follows_from_a_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "epyc_9654"\nname = "Mine"\n[memory]\ntransfer_rate = "6000 MT/s"\n')
    record = json.loads(run("cpus", "--check", file, "-f", "json").stdout)
    assert record["id"] == "mine"
    assert record["peak_bandwidth_gb_s"] == 576
    assert record["sustained_bandwidth_gb_s"] == pytest.approx(576 * 0.82)
    assert (record["l3_per_domain_mib"], record["cores_per_domain"]) == (32, 8)
    assert record["peak_tera_ops_s"]["avx512 int8"] == pytest.approx(96 * 128 * 3.0e9 / 1e12)
    text = run("cpus", "--check", file).stdout
    assert "mine is valid: Mine" in text
    assert "576.0 GB/s" in text
    assert "12 x 32 MiB, each for 8 cores" in text
    assert "mine,Mine" in run("cpus", "--check", file, "-f", "csv").stdout


def test_check_lists_what_a_file_inherits(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "part.toml"
    file.write_text('base = "xeon_6979p"\ncores.count = 60\n')
    record = json.loads(run("cpus", "--check", file, "-f", "json").stdout)
    assert record["base"] == "xeon_6979p"
    assert "price.launch" not in record["inherited"]
    assert "cores.count" not in record["inherited"]
    assert [doubt.partition(":")[0] for doubt in record["warnings"]] == [
        "power.tdp", "power.idle", "memory.capacity",
    ]  # fmt: skip
    text = " ".join(run("cpus", "--check", file).stdout.split())
    assert "inherited from xeon_6979p cache, clock, core, cores.threads_per_core, memory," in text
    assert "left out price.launch, 15750 USD (15000 USD to 16500 USD), is of xeon_6979p" in text
    assert "that of xeon_6979p, whose cores.count differs: state it" in text
    assert "3 of 20 cores, 168 MiB of L3, 204.8 GB/s each" in text
    whole = tmp_path / "whole.toml"
    whole.write_text((resources.files("perfmodel.machine") / "catalog/epyc_9654.toml").read_text())
    own = json.loads(run("cpus", "--check", whole, "-f", "json").stdout)
    assert (own["base"], own["inherited"], own["warnings"]) == (None, [], [])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('base = "epyc_9654"\n[clock]\nbase = "2.4"\n', "clock.base: '2.4' has no unit"),
    ],
)
def test_check_refuses_a_wrong_file(run: Run, tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    result = run("cpus", "--check", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def test_unknown_ids_and_both_at_once_are_refused(run: Run, tmp_path: Path) -> None:
    unknown = run("cpus", "--sources", "epyc_9745")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "did you mean 'epyc_9754'?" in unknown.stderr
    absent = run("cpus", "--check", tmp_path / "absent.toml")
    assert absent.exit_code == 2
    assert "no such file" in absent.stderr
    both = run("cpus", "--sources", "epyc_9754", "--check", "a.toml")
    assert both.exit_code == 2
    assert "exclude each other" in both.stderr


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Nothing is like it: CPUs come before instances of clouds.
        ("nope", f"for example {', '.join(catalogue()[:3])}"),
        ("EPYC-9654", "did you mean 'epyc_9654'?"),
        ("standard_d16as_v6", "did you mean 'Standard_D16as_v6'?"),
    ],
)
def test_an_unknown_cpu_gets_a_suggestion_that_fits(run: Run, name: str, expected: str) -> None:
    result = run("cpus", "--sources", name)
    assert result.exit_code == 2
    assert expected in result.stderr
