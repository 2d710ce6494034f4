"""Instances, sockets and memory on the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from perfmodel.machine.rented import instances
from tests.builder import Builder
from tests.cli.conftest import Run


def test_instances_are_listed_with_prices(run: Run) -> None:
    found = json.loads(run("cpus", "--instances", "-f", "json").stdout)
    assert [record["id"] for record in found] != []
    assert {record["id"] for record in found} == set(instances())
    (one,) = (record for record in found if record["id"] == "c7i.8xlarge")
    assert one["usd_per_hour"] == {"us-east-1": pytest.approx(1.428)}
    assert (one["vcpus"], one["cores"], one["memory_gib"]) == (32, 16, 64)
    text = run("cpus", "--instances").stdout
    assert "c7i.8xlarge" in text
    assert "us-east-1, 2026-01-19" in text
    result = run("cpus", "--instances", "--sources", "epyc_9654")
    assert result.exit_code == 2


def test_an_instance_goes_wherever_a_cpu_does(run: Run, saved: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('base = "c7i.8xlarge"\nname = "Ours"\n')
    arguments = ("-c", "c7i.8xlarge", "-c", str(own), "-f", "csv")
    rows = list(csv.DictReader(io.StringIO(run("compare", saved, *arguments).stdout)))
    assert {row["cpu"] for row in rows} == {"c7i.8xlarge", "own"}
    assert len({row["latency_ms"] for row in rows}) == 1


def test_tco_of_instances_and_cpus(run: Run, saved: Path) -> None:
    cpus = ("-c", "epyc_9654", "-c", "c7i.8xlarge", "--samples", "16")
    result = run("tco", saved, *cpus, "--hours-per-month", "365", "-f", "json")
    found = json.loads(result.stdout)
    rows = {row["cpu"]: row for row in found["cpus"]}
    rented = rows["c7i.8xlarge"]
    assert rented["rent_usd"] == pytest.approx(rented["sockets"] * 1.428 * 8760 / 2)
    assert rows["epyc_9654"]["rent_usd"] == 0
    text = run("tco", saved, *cpus).stdout
    assert "rented" in text
    assert "bought" in text
    priced = run("tco", saved, *cpus, "--price", "c7i.8xlarge=2 USD/h", "-f", "csv")
    prices = {row["cpu"]: row for row in csv.DictReader(io.StringIO(priced.stdout))}
    assert float(prices["c7i.8xlarge"]["price_usd_per_hour"]) == pytest.approx(2)


def test_a_part_of_a_socket_has_no_price_of_the_socket_and_its_power_is_noted(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    own = tmp_path / "part.toml"
    own.write_text('base = "xeon_8480plus"\ncores.count = 16\n')
    result = run("tco", saved, "-c", own)
    assert result.exit_code == 2
    assert "no CPU here has a list price (part)" in result.stderr
    assert "power.tdp: 350 W is that of xeon_8480plus" in result.stderr
    assert "power.tdp: 350 W is that of xeon_8480plus" in run("compare", saved, "-c", own).stderr


def test_two_sockets_serve_twice(run: Run, saved: Path) -> None:
    one, two = (
        json.loads(run("serve", saved, "-c", "epyc_9654", "--sockets", n, "-f", "json").stdout)[0]
        for n in ("1", "2")
    )
    best = [found["best"]["throughput_fps"] for found in (one, two)]
    assert best[1] >= 2 * best[0] * (1 - 1e-9)
    assert "numactl" in str(two["settings"])
    assert two["memory"]["total_bytes"] > 0
    text = run("serve", saved, "-c", "epyc_9654", "--sockets", "2").stdout
    assert "2 sockets" in text
    assert "What to set: epyc_9654" in text


@pytest.mark.parametrize("command", ["compare", "serve", "tco", "explain", "rank"])
def test_what_does_not_fit_is_never_a_number(run: Run, tmp_path: Path, command: str) -> None:
    b = Builder("wide")
    b.linear(b.input(4096), 1, 4096, 4096)
    file = tmp_path / "wide.json"
    b.workload().save(file)
    more = ("-c", "xeon_8490h") if command == "rank" else ()
    tiny = ("-c", "epyc_9654", *more, "--set", "epyc_9654.memory.capacity=20 MiB")
    fits = run(command, file, *tiny, "--precision", "int8")
    assert fits.exit_code == 0, fits.stderr
    result = run(command, file, *tiny, "--precision", "fp32")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "wide: needs 64.0" in result.stderr
    assert "epyc_9654 has at most 20 MiB: int8 needs 16.0" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serve", "-c", "c7i.9xlarge"], "unknown CPU 'c7i.9xlarge': did you mean"),
        (["serve", "-c", "epyc_9654", "--sockets", "0"], "greater than or equal to 1"),
        (["serve", "-c", "c7i.48xlarge", "--sockets", "2"], "has 2 sockets already"),
        (["tco", "-c", "c7i.8xlarge", "--region", "eu-west-1"], "has no price in eu-west-1"),
        (["tco", "-c", "c7i.8xlarge", "--price", "c7i.8xlarge=-1"], "expected a positive quantity"),
        (["tco", "-c", "c7i.8xlarge", "--price", "c7i.8xlarge=9 USD"], "cannot be read as USD/s"),
        (["tco", "-c", "c7i.8xlarge", "--simple"], "--simple: it is a form for CPUs that are"),
        (["tco", "-c", "c7i.8xlarge", "--hours-per-month", "800"], "expected 0.01 to 730"),
        (["serve", "-c", "epyc_9654", "--script", "m.py"], "--script measures in fp32 or bf16"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run, saved: Path, arguments: list[str], expected: str
) -> None:
    command, *rest = arguments
    result = run(command, saved, *rest)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
