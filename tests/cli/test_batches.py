"""``compare --batch`` with several numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel.comparison import DEFAULT_CPUS, compare, rankings
from perfmodel.errors import TraceError
from perfmodel.models import zoo
from tests.cli.conftest import Run
from tests.ranking.test_sweep import layer


@pytest.fixture
def parametric(tmp_path: Path) -> Path:
    """A saved workload with a batch dimension."""
    path = tmp_path / "layer.json"
    text = json.dumps(layer().to_dict()).replace("rows", "batch")
    path.write_text(text)
    return path


def test_a_list_gives_rows_per_batch(run: Run, parametric: Path) -> None:
    result = run("compare", parametric, "-b", "1,8", "-b", "64,8", "-f", "json")
    records = json.loads(result.stdout)
    assert [r["batch"] for r in records] == [1] * 3 + [8] * 3 + [64] * 3
    for record in records:
        (expected,) = compare([parametric], [record["cpu"]], batch=record["batch"])
        assert record == expected.to_dict()


def test_the_table_groups_by_batch_and_ranks_each(run: Run, parametric: Path) -> None:
    lines = run("compare", parametric, "--batch", "1,64", "-m", "roofline").stdout.splitlines()
    header = next(line for line in lines if line.startswith("model"))
    assert header.split()[:3] == ["model", "batch", "CPU"]
    assert "batch 1, 64" in lines[0]
    body = [line for line in lines if line.split()[-1:] == ["%"]]
    assert [line.split()[:2] for line in body][::3] == [["layer", "1"], ["64", body[3].split()[1]]]
    assert [sum(cpu in line for line in body) for cpu in DEFAULT_CPUS] == [2] * 3
    ranked = [line for line in lines if " > " in line]
    assert [line.partition("  ")[0] for line in ranked] == ["layer, batch 1", "layer, batch 64"]
    rows = compare([parametric], batch=[1, 64])
    assert [ranking.batch for ranking in rankings(rows)] == [1, 64]


def test_one_batch_has_no_column_of_its_own(run: Run, parametric: Path) -> None:
    lines = run("compare", parametric, "--batch", "8").stdout.splitlines()
    assert next(line for line in lines if line.startswith("model")).split()[:2] == ["model", "CPU"]


@pytest.mark.parametrize("batches", ["", "0", "1,,2", "a", "-1", "1.5", "1 2"])
def test_anything_but_whole_numbers_is_one_line(run: Run, saved: Path, batches: str) -> None:
    result = run("compare", saved, f"--batch={batches}")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "expected whole numbers of at least 1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_saved_workload_without_dimensions_keeps_its_batch(run: Run, saved: Path) -> None:
    result = run("compare", saved, "--batch", "1,2")
    assert result.exit_code == 2
    assert "was traced at batch 1, not 2" in result.stderr


def test_a_model_without_a_symbolic_batch_is_traced_at_each_and_that_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise TraceError("resnet50: the forward allows no other batch than 1")

    asked: list[int] = []
    one = zoo.workload("resnet50")

    def workload(name: str, batch: int = 1, **options: object) -> object:
        asked.append(batch)
        return one

    monkeypatch.setattr(zoo, "parametric", refuse)
    monkeypatch.setattr(zoo, "workload", workload)
    result = run("compare", "resnet50", "--batch", "1,2", "-m", "roofline")
    assert result.exit_code == 0
    assert asked == [1, 2]
    assert result.stderr.count("note: resnet50: traced at each batch") == 1
