from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from perfmodel.calibration.cases import load_cases, with_cores
from perfmodel.evidence.measurements import (
    FIT,
    SHIPPED,
    VALIDATION,
    load_measurements,
)
from perfmodel.errors import MeasurementError
from perfmodel.machine import load_machine
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
        assert "github.com" in found.sources[group.source]
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
        ({"runtime": '"jit"'}, "unknown runtime"),
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
        ('{ model = "resnet50", probe = "relu 64", value = 1 }', "model and probe"),
        ('{ probe = "linear 64x64", value = 1 }', "expected linear with 3 sizes"),
        ('{ probe = "lstm 64", value = 1 }', "kinds are linear"),
        ('{ model = "resnet50", value = 1, split = "test" }', "'fit' or 'validation'"),
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
