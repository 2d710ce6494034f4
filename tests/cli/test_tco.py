"""``perfmodel tco``: cost of serving a rate, by CPU."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

CPUS = ("-c", "xeon_8490h", "-c", "epyc_9654", "--samples", "16")


def test_json_holds_costs_counts_and_probabilities(run: Run, saved: Path) -> None:
    result = run("tco", saved, *CPUS, "--rps", "1e6", "--electricity", "0.2", "-f", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["rate_per_s"], found["years"], found["samples"]) == (1e6, 3, 16)
    for row in found["cpus"]:
        assert row["sockets"] * row["throughput_fps"] * 0.7 >= 1e6
        assert row["electricity_usd"] == pytest.approx(row["energy_kwh"] * 0.2)
        assert row["total_usd"] == pytest.approx(row["per_year_usd"] * 3)
    assert sum(row["cheapest_probability"] for row in found["cpus"]) == pytest.approx(1)


def test_the_table_names_the_demand(run: Run, saved: Path) -> None:
    result = run("tco", saved, *CPUS, "--rps", "5000", "--max-latency", "50 ms", "--years", "4")
    assert "5,000 samples/s within 50.0 ms over 4 years" in result.stdout
    assert "USD per" in result.stdout


def test_csv_has_one_line_per_cpu(run: Run, saved: Path) -> None:
    result = run("tco", saved, *CPUS, "-f", "csv", "--price", "epyc_9654=9000 USD")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["cpu"]: float(row["price_usd"]) for row in rows} == {
        "xeon_8490h": 17000,
        "epyc_9654": 9000,
    }


def test_the_published_three_year_figures(run: Run, saved: Path) -> None:
    """With the prices that give them; the one of the 8490H is really the 8592+'s."""
    result = run(
        *("tco", saved, "--simple", "--electricity", "0.10", "-f", "csv"),
        *("--price", "ampereone_192=5000", "--price", "xeon_8490h=11600"),
    )
    rows = {row["cpu"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    found = {
        cpu: (round(float(row["power_usd"])), round(float(row["total_usd"])))
        for cpu, row in rows.items()
    }
    assert found == {
        "ampereone_192": (744, 5744),
        "xeon_8490h": (920, 12520),
        "epyc_9654": (946, 12751),
    }


def test_a_cpu_without_a_price_is_left_out_aloud(run: Run, saved: Path) -> None:
    result = run("tco", saved, *CPUS, "-c", "graviton4")
    assert result.exit_code == 0
    assert "graviton4" not in result.stdout
    assert "note: graviton4 is left out: it has no list price" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-c", "epyc_9654"], "two CPUs have the id 'epyc_9654'"),
        (["--rps", "0"], "rate: expected 1e-06 to 1e+12 per second, found 0 per second"),
        (["--rps", "-5"], "rate: expected 1e-06 to"),
        (["--years", "0"], "years: expected 0.01 to 100 years"),
        (["--electricity", "-0.1"], "expected a positive quantity"),
        (["--electricity", "0"], "expected a positive quantity"),
        (["--electricity", "0.1 USD"], "--electricity: '0.1 USD' has the unit 'USD'"),
        (["--pue", "0.9"], "--pue: expected 1 to 10, found 0.9"),
        (["--utilization", "0"], "--utilization: expected 0.001 to 1"),
        (["--server-price", "0"], "expected a positive quantity"),
        (["--price", "epyc_9654"], "expected ID=PRICE"),
        (["--price", "epyc_965=3"], "did you mean 'epyc_9654'"),
        (["--price", "epyc_9654=-3"], "expected a positive quantity"),
        (["--max-latency", "1 ns"], "no CPU meets 1 ns; the best each reaches: xeon_8490h"),
        (["--inputs", "absent.toml"], "absent.toml"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run, saved: Path, arguments: list[str], expected: str
) -> None:
    result = run("tco", saved, *CPUS, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_no_price_at_all_cannot_be_answered(run: Run, saved: Path) -> None:
    result = run("tco", saved, "-c", "graviton4")
    assert result.exit_code == 2
    assert "no CPU here has a list price (graviton4)" in result.stderr
