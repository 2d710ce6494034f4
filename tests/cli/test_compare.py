from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from perfmodel.cli import rendering
from perfmodel.comparison import DEFAULT_CPUS, compare
from tests.cli.conftest import Run

BOTH = ("-m", "roofline", "-m", "published")

REQUIRED = {
    "model": str,
    "cpu": str,
    "method": str,
    "precision": str,
    "batch": int,
    "latency_ms": float,
    "throughput_fps": float,
    "fps_per_watt": float,
    "power_basis": str,
    "utilization": float,
    "bottleneck": str,
}


def test_json_is_a_list_of_rows_in_full_precision(run: Run, saved: Path) -> None:
    result = run("compare", saved, "--format", "json")
    assert result.exit_code == 0
    records = json.loads(result.stdout)
    assert records == [row.to_dict() for row in compare([saved])]
    assert len(records) == len(DEFAULT_CPUS)
    for record in records:
        for key, kind in REQUIRED.items():
            assert type(record[key]) is kind, key
        assert all(math.isfinite(v) for v in record.values() if isinstance(v, float))


def test_csv_holds_the_same_figures(run: Run, saved: Path) -> None:
    records = json.loads(run("compare", saved, "-f", "json").stdout)
    lines = list(csv.DictReader(io.StringIO(run("compare", saved, "-f", "csv").stdout)))
    assert len(lines) == len(records)
    for line, record in zip(lines, records, strict=True):
        assert set(REQUIRED) <= set(line)
        assert float(line["latency_ms"]) == record["latency_ms"]
        assert (line["cpu"], line["bottleneck"]) == (record["cpu"], record["bottleneck"])


def test_markdown_is_a_table_with_every_cpu(run: Run, saved: Path) -> None:
    lines = run("compare", saved, "-f", "markdown").stdout.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert len(table) == 2 + len(DEFAULT_CPUS)
    assert set(table[1]) <= set("|-:")
    assert [row.cpu for row in compare([saved])] == [row.split("|")[2].strip() for row in table[2:]]


def test_the_table_is_plain_text_that_fits_where_nothing_is_known_of_the_reader(run: Run) -> None:
    result = run("compare", "resnet50")
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= rendering.PIPED_WIDTH
    assert result.stderr == ""


def test_both_methods_stand_side_by_side_with_their_rankings_and_a_reason(run: Run) -> None:
    lines = run("compare", "resnet50", *BOTH).stdout.splitlines()
    assert any("roofline" in line and "published" in line for line in lines[:3])
    rows = {cpu: next(line for line in lines if cpu in line).split() for cpu in DEFAULT_CPUS}
    # The published cells for ResNet-50, to the printed digit: 0.87, 4.61 and 4.24 ms.
    published = {
        cpu: [cell for cell in cells if cell[:4] == expected]
        for (cpu, cells), expected in zip(rows.items(), ("0.87", "4.61", "4.24"), strict=True)
    }
    assert all(len(cells) == 1 for cells in published.values())
    rankings = [line for line in lines if " > " in line]
    assert [line.count(" > ") for line in rankings] == [2, 2]
    assert "xeon_8490h 1.00x > ampereone_192" in rankings[1]
    reasons = [line for line in lines if line.split()[:1] == ["why"]]
    assert len(reasons) == 1


def test_a_method_left_out_is_told_on_stderr_alone(run: Run) -> None:
    result = run("compare", "--precision", "bf16", "--format", "json")
    assert {record["method"] for record in json.loads(result.stdout)} == {"roofline"}
    assert result.stderr.startswith("note: published method left out")
    assert result.stderr.count("\n") == 1


def test_a_model_that_is_named_is_not_told_of_the_published_method(run: Run, saved: Path) -> None:
    for model, precision in (("resnet50", "int8"), ("resnet50", "bf16"), (saved, "int8")):
        result = run("compare", model, "--precision", precision, "--format", "json")
        assert {record["method"] for record in json.loads(result.stdout)} == {"roofline"}
        assert result.stderr == ""


def test_notes_on_rows_go_to_stderr_once(run: Run, saved: Path, tmp_path: Path) -> None:
    document = json.loads(saved.read_text())
    document["unmodelled"] = ["aten.strange"]
    saved.write_text(json.dumps(document))
    result = run("compare", saved, "--method", "roofline")
    assert "strange" not in result.stdout
    assert result.stderr.count("aten.strange") == 1


def test_options_reach_the_estimate(run: Run, saved: Path) -> None:
    options = ("--state", "cold", "--runtime", "eager", "--precision", "fp32")
    result = run("compare", saved, "-c", "epyc_9654", *options, "-f", "json")
    (expected,) = compare([saved], ["epyc_9654"], "fp32", state="cold", software="eager")
    assert json.loads(result.stdout) == [expected.to_dict()]


def test_a_terminal_too_narrow_crops_no_figure(
    run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = run("compare", saved, "-c", "epyc_9654").stdout
    monkeypatch.setenv("COLUMNS", "30")
    narrow = run("compare", saved, "-c", "epyc_9654").stdout
    row = next(line for line in wide.splitlines() if line.startswith("small")).split()
    found = [line.split() for line in narrow.splitlines() if line.startswith("small")]
    assert len(found) > 1
    assert all(cells[:2] == row[:2] for cells in found)
    assert [cell for cells in found for cell in cells[2:]] == row[2:]


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "--energy"),
        ("compare", "--instances", "auto"),
        ("explain", "-c", "epyc_9654"),
        ("serve", "-c", "epyc_9654"),
        ("tco", "-c", "epyc_9654", "--samples", 2),
        ("rank", "-c", "epyc_9654", "-c", "xeon_8490h", "--samples", 2),
    ],
)
def test_tables_fit_sixty_columns(
    run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    name, *options = command
    result = run(name, saved, *options)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 60


def test_csv_has_the_same_columns_for_all_models_and_options(run: Run, saved: Path) -> None:
    decoding = saved.with_name("decoding.json")
    document = json.loads(saved.read_text())
    decoding.write_text(json.dumps(document | {"phase": "decode", "tokens": 1, "context": 64}))
    headers = {
        run("compare", *arguments, "-c", "epyc_9654", "-f", "csv").stdout.splitlines()[0]
        for arguments in (
            (saved,),
            (decoding,),
            (saved, "--instances", 4),
            (saved, "--energy", "--precision", "fp32"),
            ("resnet50", *BOTH),
        )
    }
    assert len(headers) == 1


def test_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        rendering.json_text([{"latency_ms": math.nan}])
