"""``perfmodel explore``: what its tables say, and what is wrong in one line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run

SPACE = """
models = ["{model}"]
cpus = ["epyc_9654", "xeon_8490h"]
{more}
[figures]
"cores.count" = [24, 48]
"""


def space(tmp_path: Path, saved: Path, more: str = "") -> str:
    file = tmp_path / "space.toml"
    file.write_text(SPACE.format(model=saved, more=more))
    return str(file)


def test_the_table_names_the_cpu_though_one_alone_is_on_the_front(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    folder = str(tmp_path / "results")
    table = run("explore", space(tmp_path, saved), "-o", folder)
    assert table.exit_code == 0, table.stderr
    assert "What moves the latency" in table.stdout
    front = table.stdout.partition("Pareto front")[2].partition("Figures are")[0]
    assert any(cpu in front for cpu in ("epyc_9654", "xeon_8490h"))


def test_rows_that_are_as_good_are_one_line(run: Run, saved: Path, tmp_path: Path) -> None:
    """A rating moves no time: what differs by it alone is one design, as far as latency goes."""
    more = 'samples = 3\n[sampled]\n"power.tdp" = { low = "200 W", high = "400 W" }'
    made = run("explore", space(tmp_path, saved, more), "-o", str(tmp_path / "results"))
    assert made.exit_code == 0, made.stderr
    front = made.stdout.partition("Pareto front")[2].partition("Figures are")[0]
    (line,) = [line for line in front.splitlines() if "epyc" in line or "xeon" in line]
    assert "as good" in front
    assert line.split()[-1] == "2"


def test_the_table_shows_the_objectives_that_were_asked_for(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    folder = str(tmp_path / "results")
    run("explore", space(tmp_path, saved), "-o", folder)
    table = run("explore", folder, "--maximise", "fps_per_watt").stdout
    assert "fps_per_watt" in table.partition("Figures are")[0]
    assert "high: fps_per_watt." in table


def test_nothing_within_the_constraints_is_said(run: Run, saved: Path, tmp_path: Path) -> None:
    more = 'constraints = ["latency_ms < 0"]'
    found = run("explore", space(tmp_path, saved, more), "-o", str(tmp_path / "results"))
    assert found.exit_code == 0, found.stderr
    assert "0 of them within the constraints" in found.stdout
    assert "What moves" not in found.stdout


def test_a_space_that_is_not_there_is_one_line(run: Run, tmp_path: Path) -> None:
    found = run("explore", str(tmp_path / "spcae.toml"))
    assert found.exit_code == 2
    assert found.stderr.count("\n") == 1
    assert "spcae.toml: no such file" in found.stderr
