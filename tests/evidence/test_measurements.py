from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import perfmodel
from perfmodel.errors import MeasurementError
from perfmodel.evidence.cases import cases, load_cases
from perfmodel.evidence.measurements import (
    FIT,
    SHIPPED,
    VALIDATION,
    load_measurements,
)
from perfmodel.evidence.validation import predict
from perfmodel.machine import load_machine
from perfmodel.machine.parts import with_cores
from perfmodel.workload.parametric import load
from tests.calibration.synthetic import SHAPES, text


def test_points_for_fitting_and_for_validation_are_disjoint() -> None:
    points = load_cases(SHIPPED)
    assert {case.split for case in points} == {FIT, VALIDATION}
    repeated = [key for key, count in Counter(case.key for case in points).items() if count > 1]
    assert repeated == []


@pytest.mark.parametrize("name", SHIPPED)
def test_every_set_says_where_it_is_from(name: str) -> None:
    found = load_measurements(name)
    for group in found.set:
        assert re.match(r"github\.com/|ahelpme\.com/", found.sources[group.source])
    assert set(found.sources) == {group.source for group in found.set}


def test_values_are_read_in_their_unit(tmp_path: Path) -> None:
    path = tmp_path / "made.toml"
    path.write_text(text([float(i + 1) for i in range(len(SHAPES))]))
    points = load_cases([path])
    assert [case.measured for case in points] == pytest.approx(
        [(i + 1) * 1e-6 for i in range(len(SHAPES))]
    )
    m, n, k = SHAPES[0]
    assert points[0].workload.flops == 2 * m * n * k
    assert points[0].name == f"matmul {m}x{n}x{k}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"machine": "i7_12700"}, "did you mean 'i7_12700k'"),
        ({"unit": '"GB"'}, "unit: 'GB'"),
        ({"unit": '"furlong"'}, "not a known unit"),
        ({"quantity": '"throughput"'}, "samples/s"),
        ({"precision": '"fp31"'}, "did you mean 'fp32'"),
        ({"software": '"onnx_runtime"'}, "did you mean 'onnxruntime'"),
        ({"runtime": '"eager"'}, "runtime: unknown field"),
        ({"source": '"there"'}, "expected a key of [sources]"),
        ({"machin": '"x"'}, "machin: unknown field (did you mean 'machine'?)"),
    ],
)
def test_what_is_wrong_with_a_set_is_one_line(
    tmp_path: Path, change: dict[str, str], expected: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text([1.0] * len(SHAPES), **change))
    with pytest.raises(MeasurementError) as caught:
        load_cases([path])
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{ model = "resnet5", value = 1 }', "did you mean 'resnet50'"),
        ('{ model = "resnet50", value = 0 }', "greater than 0"),
        ('{ model = "resnet50", value = nan }', "finite"),
        ('{ model = "resnet50" }', "value: missing"),
        ("{ value = 1 }", "no subject"),
        (
            f"{{ matmul = {{ m = {7 * 10**18}, n = 1, k = 1 }}, value = 1 }}",
            "expected a product of at most 1e+18 FLOPs",
        ),
        ('{ model = "resnet50", probe = "relu 64", value = 1 }', "model and probe"),
        ('{ probe = "linear 64x64", value = 1 }', "expected linear with 3 sizes"),
        ('{ probe = "lstm 64", value = 1 }', "kinds are linear"),
        ('{ probe = "linear 7000000000000000000x64x64", value = 1 }', "expected at most 1e+16"),
        ('{ probe = "conv 1x9999x9999x999 to 99 by 99", value = 1 }', "expected at most 1e+16"),
        ('{ model = "resnet50", value = 1, split = "test" }', "'fit' or 'validation'"),
        ('{ model = "absent.json.gz", value = 1 }', "absent.json.gz: no such file"),
        (
            '{ model = "resnet50", value = 1, cores = 13 }',
            "13 cores in all; expected at most the 12",
        ),
        (
            '{ model = "resnet50", value = 1, cores = 4, instances = 4 }',
            "16 cores in all; expected at most the 12 of i7_12700k on 1 socket",
        ),
        (
            '{ model = "resnet50", value = 1, cores = 4, threads = 9 }',
            "expected at most the 8 threads of 4 cores",
        ),
        ('{ model = "resnet50", value = 1, threads = 9 }', "threads without cores"),
        ('{ model = "resnet50", value = 1, repeat = 1 }', "repeat"),
        ('{ model = "resnet50", value = 1, percentile = "median" }', "percentile"),
    ],
)
def test_what_is_wrong_with_a_row_is_one_line(tmp_path: Path, row: str, expected: str) -> None:
    path = tmp_path / "bad.toml"
    whole = text([1.0] * len(SHAPES))
    path.write_text(f"{whole[: whole.index('rows')]}rows = [{row}]\n")
    with pytest.raises(MeasurementError) as caught:
        load_cases([path])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"),
        (b"set = [", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "missing"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeasurementError, match=expected):
        load_measurements(path)


def one_row(tmp_path: Path, row: str, **changes: str) -> Path:
    path = tmp_path / "made.toml"
    whole = text([1.0] * len(SHAPES), **changes)
    path.write_text(f"{whole[: whole.index('rows')]}rows = [{row}]\n")
    return path


def test_a_model_may_be_a_saved_workload_beside_the_file(tmp_path: Path) -> None:
    saved = Path(perfmodel.__file__).parent / "evidence/workloads/mlp_4096_11008.json.gz"
    (tmp_path / "mine.json.gz").write_bytes(saved.read_bytes())
    row = '{ model = "mine.json.gz", batch = 32, cores = 4, value = 1 }'
    (case,) = load_cases([one_row(tmp_path, row)])
    assert case.workload == load(saved, batch=32)
    assert case.name == "mine, batch 32, 4 cores"


def test_cores_are_those_of_all_instances(tmp_path: Path) -> None:
    row = '{ model = "resnet50", cores = 2, instances = 4, value = 1 }'
    (case,) = load_cases([one_row(tmp_path, row)])
    assert case.machine.cores.count.typical == 8
    assert case.name == "resnet50, batch 1, 4 instances, 2 cores"


def test_a_throughput_without_a_batch_is_at_the_best(tmp_path: Path) -> None:
    rates = {"quantity": '"throughput"', "unit": '"samples/s"'}
    row = '{ model = "resnet50", value = 1 }'
    (free,) = load_cases([one_row(tmp_path, row, **rates)])
    (fixed,) = load_cases([one_row(tmp_path, row.replace("value", "batch = 1, value"), **rates)])
    assert (free.row.batch, fixed.row.batch) == (None, 1)
    assert (free.name, fixed.name) == ("resnet50", "resnet50, batch 1")
    at = {case.row.batch: predict(case) for case in (free, fixed)}
    assert "at batch 1," in at[1].detail
    assert at[None].predicted > at[1].predicted


def test_repeats_are_kept_for_the_spread_only(tmp_path: Path) -> None:
    path = one_row(
        tmp_path,
        '{ model = "resnet50", value = 1 }, { model = "resnet50", value = 2, repeat = true }',
    )
    assert [case.measured for case in load_cases([path])] == [1e-6]
    everything = cases(load_measurements(path), tmp_path, repeats=True)
    assert [case.measured for case in everything] == [1e-6, 2e-6]


def test_points_come_with_the_conditions_they_were_taken_under() -> None:
    found = {name: load_measurements(name) for name in SHIPPED}
    rows = [(group, row) for file in found.values() for group, row in file.rows()]
    assert len(rows) > 700
    for group, row in rows:
        # One run states its cores; so do several at once, but where the best number is meant.
        stated = row.cores is not None or group.family in ("desktop", "llama_cpp", "server")
        assert stated or group.quantity == "throughput", (group.name, str(row))
        assert row.instances is None or row.cores is not None
        assert group.quantity != "throughput" or row.split == VALIDATION
    doubts = [row.doubt for group, row in rows if row.doubt]
    assert any("256" in doubt for doubt in doubts)  # the length of hf_GPT2
    (genoa,) = (row for group, row in rows if group.name == "epyc_9654_offline")
    assert "both sockets" in genoa.doubt


def test_fewer_cores_than_caches_leave_the_other_caches_unused() -> None:
    machine = load_machine("epyc_9654")
    few = with_cores(machine, 2)
    assert few.cores.count.typical == 2
    assert few.l3_per_domain == machine.l3_per_domain
    assert with_cores(machine, 96) is machine


def test_paths_of_machines_start_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "i7_12700k"\n')
    path = tmp_path / "made.toml"
    path.write_text(text([1.0] * len(SHAPES), machine="mine.toml"))
    assert {case.machine.id for case in load_cases([path])} == {"mine"}
