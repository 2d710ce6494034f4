"""Factories and saved programs that a user names, and everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perfmodel.comparison import compare
from perfmodel.errors import PerfmodelError, UnknownName, UnmodelledOperator
from perfmodel.resolve import resolve_model
from perfmodel.workload.workload import Workload

SOURCE = """
import torch
from torch import nn
import neighbour

def fixed():
    return nn.Linear(4, 2), torch.ones(3, 4)

def any_batch(batch=1):
    return nn.Linear(4, 2), (torch.ones(batch, 4),)

def with_names():
    class Scaled(nn.Module):
        def forward(self, x, *, scale):
            return x * scale
    return Scaled(), (), {"x": torch.ones(5, 4), "scale": neighbour.SCALE}

def polynomial():
    class Polynomial(nn.Module):
        def forward(self, x):
            return torch.special.chebyshev_polynomial_t(x, 3)
    return Polynomial(), torch.ones(4, 8)

class Group:
    @staticmethod
    def inner():
        return fixed()

def raises():
    raise ValueError("no such\\nlayer")

def on_meta():
    with torch.device("meta"):
        rates = [x.item() for x in torch.linspace(0, 1, 3)]  # the values
    return nn.Dropout(rates[0]), torch.ones(1)

def only_a_module():
    return nn.Linear(4, 2)

def of_a_width(width):
    return nn.Linear(width, 2), torch.ones(1, width)

def four():
    return nn.Linear(4, 2), (), {}, None

def the_wrong_way_round():
    return torch.ones(3, 4), nn.Linear(4, 2)

def a_class():
    return nn.Linear, torch.ones(3, 4)

def no_tensor():
    return nn.Linear(4, 2), ()

def branches():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x  # the branch
    return Branches(), torch.ones(2, 3)

size = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A package with a name of its own: modules stay imported from one test to the next.
    package = tmp_path / f"nets_of_{abs(hash(str(tmp_path)))}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "zoo.py").write_text(
        SOURCE.replace("import neighbour", "class neighbour: SCALE = 2")
    )
    (tmp_path / "nets.py").write_text(SOURCE)
    (tmp_path / "neighbour.py").write_text("SCALE = 2")
    monkeypatch.chdir(tmp_path)
    return package


def workload(text: str, batch: int | None = None) -> Workload:
    return resolve_model(text).workload(batch)


def test_a_factory_in_a_package_of_the_current_folder(folder: Path) -> None:
    source = resolve_model(f"{folder.name}.zoo:fixed")
    assert (source.name, source.fixed_batch, source.published) == ("zoo:fixed", 3, None)
    traced = source.workload()
    assert (traced.name, traced.batch, traced.flops) == ("zoo:fixed", 3, 2 * 3 * 4 * 2)
    assert workload(f"{folder.name}.zoo:Group.inner").flops == traced.flops


def test_a_factory_in_a_file_with_its_neighbours(folder: Path) -> None:
    traced = workload(str(folder.parent / "nets.py") + ":with_names")
    assert (traced.name, traced.batch) == ("nets:with_names", 5)
    assert traced.kernels.operator == ("aten.mul",)


def test_a_factory_that_takes_the_batch_is_made_for_any(folder: Path) -> None:
    source = resolve_model("nets.py:any_batch")
    assert source.fixed_batch is None
    assert [source.workload(batch).flops for batch in (None, 2, 8)] == [16, 32, 128]
    assert [row.batch for row in compare(["nets.py:any_batch"], ["epyc_9654"], batch=8)] == [8]


def test_another_batch_than_the_factorys_is_refused(folder: Path) -> None:
    with pytest.raises(
        PerfmodelError,
        match=r"nets\.py:fixed returns inputs of batch 3, not 8: .* def fixed\(batch=1\)",
    ):
        workload("nets.py:fixed", 8)


def test_a_phase_is_that_of_a_named_model(folder: Path) -> None:
    with pytest.raises(PerfmodelError, match="phase, tokens and context choose a run of a named"):
        resolve_model("nets.py:fixed", phase="decode")


def test_operators_without_a_formula(folder: Path) -> None:
    with pytest.raises(UnmodelledOperator, match=r"nets:polynomial: no formula for aten\.special"):
        workload("nets.py:polynomial")
    allowed = resolve_model("nets.py:polynomial", allow_unmodelled=True).workload()
    assert allowed.unmodelled == ("aten.special_chebyshev_polynomial_t",)
    (row,) = compare(["nets.py:polynomial"], ["epyc_9654"], allow_unmodelled=True)
    assert "charged for bytes only: aten.special_chebyshev_polynomial_t" in row.notes


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("nets.py:raises", r"the factory failed at .*nets\.py:\d+ `raise ValueError.*: no such$"),
        ("nets.py:on_meta", r"at .*nets\.py:\d+ `rates = .*`: .* meta device has no values: build"),
        ("nets.py:only_a_module", r"returned torch\.nn\.modules\.linear\.Linear; it must return"),
        ("nets.py:of_a_width", r"^nets\.py:of_a_width: missing a required argument: .width.; .*"),
        ("nets.py:four", r"returned a tuple of 4; it must return \(module, example_inputs\) or"),
        ("nets.py:the_wrong_way_round", r"returned torch\.Tensor where the module was expected"),
        ("nets.py:a_class", "returned type where the module was expected"),
        ("nets.py:no_tensor", "no tensor among the inputs tells the batch"),
        ("nets.py:branches", r"depends on the values of a tensor .*nets\.py:\d+ `return x if"),
        ("nets.py:size", "is int, not a function; it must return"),
        ("nets.py:fixd", r"unknown factory of nets\.py 'fixd': did you mean 'fixed'"),
        ("nets.py:Group.iner", "unknown factory of .* 'iner': did you mean 'inner'"),
        ("absent.py:net", r"there is no file absent\.py"),
        ("absent_package:net", "there is no module absent_package in the current folder or on Pyt"),
        ("broken.py:net", r"cannot be imported at .*broken\.py:2 `1 / 0`: ZeroDivisionError"),
        ("syntax.py:net", r"cannot be imported at .*syntax\.py:1 `def`: SyntaxError"),
        ("needs.py:net", r"at .*needs\.py:1 `import absent_library`: ModuleNotFoundError: No mod"),
    ],
)
def test_what_is_wrong_is_one_line(folder: Path, factory: str, expected: str) -> None:
    (folder.parent / "broken.py").write_text("x = 1\n1 / 0\n")
    (folder.parent / "syntax.py").write_text("def\n")
    (folder.parent / "needs.py").write_text("import absent_library\n")
    with pytest.raises(PerfmodelError, match=expected) as error:
        workload(factory)
    assert "\n" not in str(error.value)


def test_a_name_with_a_colon_that_is_no_factory_is_a_model(folder: Path) -> None:
    with pytest.raises(UnknownName, match="unknown model 'nets:'"):
        resolve_model("nets:")


def test_a_saved_program(folder: Path) -> None:
    program = torch.export.export(torch.nn.Linear(4, 2), (torch.ones(3, 4),), strict=False)
    torch.export.save(program, "line.pt2")
    source = resolve_model("line.pt2")
    assert (source.name, source.fixed_batch) == ("line", 3)
    assert source.workload().flops == 2 * 3 * 4 * 2
    with pytest.raises(PerfmodelError, match=r"line\.pt2 was traced at batch 3, not 4"):
        source.workload(4)
