from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from perfmodel.errors import PerfmodelError, WorkloadFormatError
from perfmodel.vocabulary import families as f
from perfmodel.workload.parametric import load
from perfmodel.workload.storage import VERSION
from perfmodel.workload.workload import Workload
from tests.examples import make_workload
from tests.strategies import workloads


@pytest.fixture
def workload() -> Workload:
    return make_workload()


@pytest.fixture
def document(workload: Workload) -> dict[str, Any]:
    return workload.to_dict()


def assert_same(one: Workload, other: Workload) -> None:
    """Field by field and dtype by dtype, without going through the document."""
    lengths = ("phase", "tokens", "context")
    for attribute in (
        "name",
        "batch",
        "parameters",
        "inputs",
        "provenance",
        "unmodelled",
        *lengths,
    ):
        assert getattr(one, attribute) == getattr(other, attribute)
    for table in ("tensors", "kernels", "accesses"):
        for column, values in vars(getattr(one, table)).items():
            restored = getattr(getattr(other, table), column)
            if isinstance(values, tuple):
                assert restored == values
            else:
                np.testing.assert_array_equal(restored, values, strict=True)


@given(workloads(allow_unmodelled=True))
def test_round_trip_changes_nothing(workload: Workload) -> None:
    text = json.dumps(workload.to_dict())
    restored = Workload.from_dict(json.loads(text))
    assert_same(workload, restored)
    assert json.dumps(restored.to_dict()) == text


def test_file_round_trip(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    workload.save(path)
    assert_same(workload, load(path))
    assert workload == Workload.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.json"]


def test_integers_beyond_float_precision_survive(document: dict[str, Any]) -> None:
    document["kernels"]["flops"] = [2**53 + 1, 2**62]
    assert Workload.from_dict(document).kernels.flops.tolist() == [2**53 + 1, 2**62]


def test_a_column_is_a_line(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    workload.save(path)
    assert '  "flops": [48, 0],' in path.read_text().splitlines()


def test_loaded_columns_cannot_be_changed(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Workload.from_dict(document).kernels.flops[0] = 1


DELETE = object()

#: Where the document is spoiled, by what, and what the message must name.
SPOILED = [
    ("format", "perfmodel.machine", r"not a workload file.*perfmodel\.workload"),
    ("format", DELETE, "not a workload file"),
    ("version", VERSION + 1, r"version: written by a newer perfmodel .*upgrade"),
    ("version", 0, "version: expected the whole number 1, found 0"),
    ("version", "1", 'version: expected the whole number 1, found "1"'),
    ("version", True, "version: expected the whole number 1, found true"),
    ("version", DELETE, "version: expected the whole number 1, found null"),
    ("flops_per_mac", 1, "flops_per_mac: expected 2, found 1"),
    ("name", 7, "name: expected a valid string, found 7"),
    ("name", DELETE, "name: expected this field"),
    ("batch", 0, "batch: expected greater than or equal to 1, found 0"),
    ("batch", 1.0, r"batch: expected a valid integer, found 1\.0"),
    ("parameters", -1, "parameters: expected greater than or equal to 0, found -1"),
    ("kernel", {}, "kernel: not a field"),
    ("inputs", {}, "inputs: expected a valid list"),
    ("inputs.0.shape", [3, -4], r"inputs\[0\]\.shape\[1\]: expected .* found -4"),
    ("provenance.torch", 2.13, r"provenance\.torch: expected a valid string"),
    ("tensors", [], "tensors: expected"),
    ("tensors.itemsize", DELETE, r"tensors\.itemsize: expected this field, it is missing"),
    ("tensors.itemsize.2", 0, r"tensors\.itemsize\[2\]: expected greater than or equal to 1"),
    ("tensors.floating.1", 1, r"tensors\.floating\[1\]: expected a valid boolean, found 1"),
    (
        "tensors.kind.0",
        "gradient",
        r"tensors\.kind\[0\]: expected 'weight', 'input', 'activation' or ",
    ),
    ("phase", "training", "phase: expected 'prefill' or 'decode', found \"training\""),
    ("phase", DELETE, "phase: expected this field"),
    ("phase", "prefill", "tokens: expected at least 1 in a phase and 0 without one"),
    ("tokens", 1, "tokens: expected at least 1 in a phase and 0 without one"),
    ("context", 1, "context: expected at least 1 in decode and 0 elsewhere"),
    ("tensors.layout", [], r"tensors\.layout: not a field"),
    ("tensors.name", ["x"], r"tensors\.name: expected 4 entries.*found 1"),
    ("kernels.flops", [48], r"kernels\.flops: expected 2 entries, as in kernels\.name, found 1"),
    ("kernels.gemm_k", [], r"kernels\.gemm_k: expected 2 entries"),
    ("kernels.flops.0", -48, r"kernels\.flops\[0\]: .*greater than or equal to 0, found -48"),
    ("kernels.flops.1", 0.0, r"kernels\.flops\[1\]: expected a valid integer, found 0\.0"),
    ("kernels.flops.1", False, r"kernels\.flops\[1\]: expected a valid integer, found false"),
    ("kernels.flops.1", None, r"kernels\.flops\[1\]: expected a valid integer, found null"),
    ("kernels.flops.1", float("nan"), r"kernels\.flops\[1\]: expected .*, found NaN"),
    ("kernels.flops.1", float("inf"), r"kernels\.flops\[1\]: expected .*, found Infinity"),
    ("kernels.flops.0", 2**63, rf"kernels\.flops\[0\]: .*less than or equal to {2**63 - 1}"),
    ("kernels.flops.0", 2**200, r"kernels\.flops\[0\]: expected .* integer of 201 bits"),
    ("kernels.flops", [2**62, 2**62], r"kernels\.flops: the total is beyond"),
    ("kernels.family.1", "magic", r"kernels\.family\[1\]: expected one of conv, .*\"magic\""),
    ("accesses.role.3", "gradient", r"accesses\.role\[3\]: expected 'weight', 'input' or 'output'"),
    ("accesses.kernel.4", 2, r"accesses\.kernel\[4\]: expected .* one of 2 kernels, found 2"),
    ("accesses.tensor.1", 4, r"accesses\.tensor\[1\]: expected .* one of 4 tensors, found 4"),
    ("accesses.tensor.1", -1, r"accesses\.tensor\[1\]: .*greater than or equal to 0, found -1"),
    ("accesses.kernel.1", 1, r"accesses\.kernel\[2\]: expected rows ordered by kernel"),
    ("accesses.elements.0", 2**62, r"accesses\.elements: the total is beyond"),
]


@pytest.mark.parametrize(("place", "value", "message"), SPOILED)
def test_a_spoiled_file_is_refused_by_name(
    document: dict[str, Any], tmp_path: Path, place: str, value: Any, message: str
) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    holder: Any = document
    for part in parents:
        holder = holder[part]
    if value is DELETE:
        del holder[last]
    else:
        holder[last] = value
    path = tmp_path / "spoiled.json"
    path.write_text(json.dumps(document))
    with pytest.raises(WorkloadFormatError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"latency: 3 ms",
        b"\xff\xfe\x00garbage",
        b"[" * 100_000,
        b'{"batch": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "text", "binary", "nested", "digits"],
)
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(WorkloadFormatError, match="not valid JSON, or cut short"):
        load(path)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"perfmodel.workload"'])
def test_json_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(WorkloadFormatError, match="not a workload file"):
        load(path)


def test_a_file_cut_short_anywhere_is_refused(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    workload.save(path)
    whole = path.read_text().rstrip()
    for length in range(0, len(whole), 7):
        path.write_text(whole[:length])
        with pytest.raises(WorkloadFormatError, match="cut short"):
            load(path)


def test_a_folder_or_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadFormatError, match=r"cannot read .*Is a directory"):
        load(tmp_path)
    with pytest.raises(WorkloadFormatError, match=r"cannot read .*No such file"):
        load(tmp_path / "absent.json")


def test_an_unreadable_file_is_refused(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(WorkloadFormatError, match=r"cannot read .*secret\.json: Permission denied"):
        load(tmp_path / "secret.json")


def test_a_failed_save_keeps_the_old_file(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PerfmodelError, match=r"cannot write .*tiny\.json: No space left"):
        workload.save(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.json"]


def test_save_follows_links_and_spares_devices(workload: Workload, tmp_path: Path) -> None:
    path, link = tmp_path / "real.json", tmp_path / "link.json"
    path.write_text("old")
    link.symlink_to(path)
    workload.save(link)
    assert link.is_symlink()
    assert load(path) == workload
    workload.save("/dev/null")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(PerfmodelError, match=r"cannot write .*Is a directory"):
        workload.save(tmp_path)


def test_a_saved_file_has_ordinary_permissions(workload: Workload, tmp_path: Path) -> None:
    plain, saved = tmp_path / "plain", tmp_path / "saved.json"
    plain.touch()
    workload.save(saved)
    assert saved.stat().st_mode == plain.stat().st_mode


def test_equality_sees_every_column(workload: Workload, document: dict[str, Any]) -> None:
    texts = {"kind": "input", "family": "norm", "role": "weight"}
    for table in ("tensors", "kernels", "accesses"):
        for column, values in document[table].items():
            changed = copy.deepcopy(document)
            old = values[2 if column == "kernel" else -1]
            if isinstance(old, bool):
                new: Any = not old
            elif isinstance(old, int):
                new = old - 1 if column == "tensor" else old + 1
            else:
                new = texts.get(column, "new")
            changed[table][column][2 if column == "kernel" else -1] = new
            assert Workload.from_dict(changed) != workload, column
    assert Workload.from_dict(document) == workload


def test_loading_imports_no_torch(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    workload.save(path)
    code = (
        "import sys, perfmodel\n"
        f"workload = perfmodel.load_workload({str(path)!r})\n"
        "assert workload.flops == 48\n"
        "assert not {'torch', 'torchvision', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_documented_example_and_vocabulary_are_true(workload: Workload) -> None:
    page = (Path(__file__).parents[2] / "docs" / "workload-format.md").read_text()
    example = page.split("```json\n")[1].split("```")[0]
    assert Workload.from_dict(json.loads(example)) == dataclasses.replace(workload, provenance={})
    families = page.split("\nFamilies: ")[1].split(".\n")[0]
    assert tuple(families.replace("`", "").replace("\n", " ").split(", ")) == f.FAMILIES
    document = workload.to_dict()
    for table in ("tensors", "kernels", "accesses"):
        section = page.split(f"### `{table}`")[1].split("##")[0]
        for column in document[table]:
            assert f"`{column}`" in section
    for field in document:
        assert f"`{field}`" in page
