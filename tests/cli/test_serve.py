"""``perfmodel serve``: the partition and batch that serve most within a latency."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run

CPUS = ("-c", "xeon_8490h", "-c", "epyc_9654")


def sentences(found: object) -> set[str]:
    """Keys in what JSON holds, however deep, that are more than letters, digits and _."""
    return {key for key in keys(found) if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key)}


def keys(found: object) -> set[str]:
    """Every key in what JSON holds, however deep."""
    if isinstance(found, dict):
        return {str(key) for key in found}.union(*(keys(value) for value in found.values()))
    return set().union(*(keys(value) for value in found)) if isinstance(found, list) else set()


def test_json_holds_the_best_the_fastest_and_the_frontier(run: Run, saved: Path) -> None:
    result = run("serve", saved, *CPUS, "--max-latency", "1 ms", "-f", "json")
    assert result.exit_code == 0, result.stderr
    intel, amd = json.loads(result.stdout)
    assert (intel["cpu"], amd["cpu"]) == ("xeon_8490h", "epyc_9654")
    for found in (intel, amd):
        assert found["max_latency_ms"] == 1.0
        assert found["best"]["latency_ms"] <= 1.0
        assert found["fastest"]["latency_ms"] <= found["best"]["latency_ms"]
        assert found["frontier"][-1] == found["best"]
    (winner,) = (found for found in (intel, amd) if "settings" in found)
    shared = run("serve", saved, *CPUS, "--weights", "shared", "-f", "json")
    assert not sentences([json.loads(result.stdout), json.loads(shared.stdout)])
    assert {"first_instance", "software"} < winner["settings"].keys()
    assert "What to set" in run("serve", saved, *CPUS).stdout
    for label in ("first instance", "the last", "openvino"):
        assert label in run("serve", saved, *CPUS).stdout


def test_the_table_shows_the_partition_and_what_more_latency_buys(run: Run, saved: Path) -> None:
    result = run("serve", saved, *CPUS, "--max-latency", "50us", "--weights", "shared")
    assert result.exit_code == 0, result.stderr
    assert "at most 0.0500 ms, shared weights" in result.stdout
    assert "Highest throughput by latency" in result.stdout
    assert "note: epyc_9654 cannot meet the limit; the best it reaches is" in result.stderr


def test_csv_is_the_frontier(run: Run, saved: Path) -> None:
    result = run("serve", saved, *CPUS, "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["cpu"] for row in rows} == {"xeon_8490h", "epyc_9654"}
    assert sum(row["best"] == "True" for row in rows) == 2


def test_a_fixed_partition_is_the_only_one(run: Run, saved: Path) -> None:
    result = run("serve", saved, "-c", "epyc_9654", "--cores-per-instance", "8", "-f", "json")
    (found,) = json.loads(result.stdout)
    assert found["tried"] == 1
    best = found["best"]
    assert (best["instances"], best["cores_per_instance"]) == (12, 8)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-c", "epyc_9654"], "two CPUs have the id 'epyc_9654'"),
        (["--max-latency", "50"], "has no unit"),
        (["--max-latency", "0 ms"], "positive quantity"),
        (["--max-latency", "5 MB"], "cannot be read as s"),
        (["--max-latency", "soon"], "not a number"),
        (["--max-latency", "1 ns"], "no CPU meets 1 ns; the best each reaches: xeon_8490h"),
        (["--instances", "0"], "at least 1"),
        (["--instances", "some"], "a whole number or auto"),
        (["--instances", "31", "--cores-per-instance", "2"], "need 62; xeon_8490h has 60"),
        (["--batch", "4"], "was traced at batch 1, not 4"),
        (["--weights", "borrowed"], "'separate', 'shared'"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run,
    saved: Path,
    arguments: list[str],
    expected: str,
) -> None:
    result = run("serve", saved, *CPUS, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_a_rate_finds_the_fewest_sockets(run: Run, saved: Path) -> None:
    arguments = ("serve", saved, *CPUS, "--rps", "1e6", "--max-latency", "5 ms")
    result = run(*arguments, "-f", "json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert "waiting included" in found["definitions"]["latency"]
    assert not sentences(found)
    for fleet in found["fleets"]:
        assert fleet["servers"] == fleet["sockets"]
        assert fleet["latency_p50_ms"] <= fleet["latency_p99_ms"] <= 5
        assert fleet["sockets"] * fleet["requests_per_s_per_socket"] == pytest.approx(1e6)
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "-f", "csv").stdout)))
    assert [row["cpu"] for row in rows] == [fleet["cpu"] for fleet in found["fleets"]]
    table = run(*arguments).stdout
    assert "99 % with latency within 5.00 ms" in table
    assert "latency: from arrival to the end, waiting included." in table
    # Servers of two sockets: half as many, or one half more.
    pairs = json.loads(run(*arguments, "--sockets", "2", "-f", "json").stdout)
    by_cpu = {fleet["cpu"]: fleet for fleet in found["fleets"]}
    for fleet in pairs["fleets"]:
        assert fleet["sockets"] == 2 * fleet["servers"]
        assert fleet["sockets"] <= by_cpu[fleet["cpu"]]["sockets"] + 2
        assert fleet["sockets"] * fleet["requests_per_s_per_socket"] == pytest.approx(1e6)
    table = run(*arguments, "--sockets", "2").stdout
    assert "openvino software, servers of 2 sockets" in " ".join(table.split())
    assert "per socket" not in table


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rps", "5"], "state a limit"),
        (["--rps", "5", "--max-latency", "1s", "--script", "x.py"], "--script measures one"),
        (["--rps", "5", "--ttft", "1s"], "say how many tokens a request generates (--output)"),
        (["--output", "5", "--ttft", "1s", "--phase", "decode"], "leave --phase and --context out"),
        (["--output", "1", "--tpot", "1s"], "no time per output token"),
        (["--rps", "5", "--max-latency", "1s", "--percentile", "100"], "percentile: expected"),
        (["--rps", "5", "--max-latency", "1ns"], "reaches at best a latency of"),
    ],
)
def test_a_service_that_makes_no_sense_is_one_line(
    run: Run, saved: Path, arguments: list[str], expected: str
) -> None:
    result = run("serve", saved, "-c", "epyc_9654", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr


def test_default_cpus_are_those_that_the_software_runs_on(run: Run, saved: Path) -> None:
    for command in (("compare", saved), ("serve", saved)):
        result = run(*command, "--software", "ipex", "-f", "csv")
        assert result.exit_code == 0, result.stderr
        assert "left out: ampereone_192, for ipex needs avx2" in result.stderr
        cpus = {row["cpu"] for row in csv.DictReader(io.StringIO(result.stdout))}
        assert cpus == {"xeon_8490h", "epyc_9654"}
    named = run("serve", saved, "-c", "graviton3", "-c", "xeon_8490h", "--software", "ipex")
    assert named.exit_code == 2
    assert named.stderr.count("\n") == 1
    assert "ipex needs avx2, and graviton3" in named.stderr
    # An order needs two.
    assert "armnn needs neon, and xeon_8490h" in run("rank", saved, "--software", "armnn").stderr


def test_a_precision_that_nobody_measured_is_said(run: Run, saved: Path) -> None:
    arguments = ("compare", saved, "-c", "xeon_8490h", "--precision")
    for precision, expected in (("int8", "Fitted"), ("fp32", "none in FP32"), ("w4", "Datasheet")):
        assert expected in " ".join(run(*arguments, precision).stdout.split())
