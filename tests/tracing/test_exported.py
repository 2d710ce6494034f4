"""A program exported before, in memory or from a file, is the same workload as its module."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError, UnmodelledOperator
from perfmodel.tracing import exported
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload


class Net(nn.Module):
    """Tied weights, a buffer, views, an operator in place, a subgraph, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 64)
        self.hidden = nn.Linear(64, 64)
        self.head = nn.Linear(64, 100, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("offset", torch.zeros(64))

    def forward(self, tokens: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
        x = self.embedding(tokens) + self.offset
        with torch.no_grad():
            y = self.hidden(x.transpose(0, 1).contiguous()).relu_()
        every_other = y.view(-1, 64)[::2]
        return self.head(every_other) * torch.tensor([1.0, scale]).sum()


TOKENS = torch.zeros(4, 8, dtype=torch.long)


@pytest.fixture(scope="module")
def traced() -> Workload:
    return trace(Net(), TOKENS, name="net")


@pytest.fixture
def program() -> torch.export.ExportedProgram:
    return torch.export.export(Net().eval(), (TOKENS,), strict=False)


def saved(program: torch.export.ExportedProgram, path: Path) -> Path:
    torch.export.save(program, path)
    return path


def test_in_memory(traced: Workload, program: torch.export.ExportedProgram) -> None:
    before = {node.name: node.meta.get("val") for node in program.graph.nodes}
    assert exported.from_exported(program, name="net") == traced
    assert all(node.meta.get("val") is before[node.name] for node in program.graph.nodes)


def test_from_a_file(
    traced: Workload, program: torch.export.ExportedProgram, tmp_path: Path
) -> None:
    path = saved(program, tmp_path / "net.pt2")
    assert exported.from_exported(exported.load(path), name="net") == traced


def test_sizes_left_open_are_those_of_the_example(traced: Workload, tmp_path: Path) -> None:
    program = torch.export.export(
        Net().eval(),
        (TOKENS,),
        strict=False,
        dynamic_shapes={"tokens": {0: torch.export.Dim.AUTO}},
    )
    assert exported.from_exported(program, name="net") == traced
    loaded = exported.load(saved(program, tmp_path / "net.pt2"))
    assert exported.from_exported(loaded, name="net") == traced
    program.example_inputs = None
    with pytest.raises(TraceError, match=r"leaves sizes open .* export it with fixed shapes"):
        exported.from_exported(program, name="net")


def test_weights_on_meta(traced: Workload, tmp_path: Path) -> None:
    with torch.device("meta"):
        program = torch.export.export(Net().eval(), (TOKENS.to("meta"),), strict=False)
    assert exported.from_exported(program, name="net") == traced
    # The file does not keep which weights are shared; what is read and computed is the same.
    loaded = exported.from_exported(exported.load(saved(program, tmp_path / "net.pt2")), name="net")
    assert loaded.flops == traced.flops
    assert loaded.weight_bytes("fp32") == traced.weight_bytes("fp32")
    assert loaded.parameters == traced.parameters + 100 * 64


# Of torch itself, which copies its tree specifications.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
def test_decomposed_as_by_another_tool() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 4))
    image = torch.zeros(1, 3, 8, 8)
    program = torch.export.export(module.eval(), (image,), strict=False).run_decompositions()
    assert exported.from_exported(program).flops == trace(module, image).flops


def test_values_are_refused_with_the_line() -> None:
    class Picks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[x > 0] * 2  # the mask

    program = torch.export.export(Picks(), (torch.ones(4),), strict=False)
    with pytest.raises(TraceError, match=r"size depends on the values .*x\[x > 0\] \* 2"):
        exported.from_exported(program)


def test_operators_without_a_formula() -> None:
    class Transforms(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.hermite_polynomial_h(x, 3)

    program = torch.export.export(Transforms(), (torch.ones(4, 8),), strict=False)
    with pytest.raises(UnmodelledOperator, match=r"aten\.special_hermite"):
        exported.from_exported(program)
    workload = exported.from_exported(program, allow_unmodelled=True)
    assert workload.unmodelled == ("aten.special_hermite_polynomial_h",)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"absent\.pt2: cannot be read: No such file"):
        exported.load(tmp_path / "absent.pt2")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"{}"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"net\.pt2: not a program that torch\.export\.save wrote"):
        exported.load(path)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(TraceError, match="there is no exported program in it"):
        exported.load(path)


def rewritten(path: Path, change: dict[str, object]) -> Path:
    """The archive at ``path`` with other entries at the top of its program."""
    target = path.with_name("other.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member.endswith("models/model.json"):
                content = json.dumps({**json.loads(content), **change}).encode()
            new.writestr(member, content)
    return target


@pytest.mark.parametrize(("major", "way_out"), [(99, "upgrade torch"), (1, "export it again")])
def test_another_schema(
    program: torch.export.ExportedProgram,
    tmp_path: Path,
    major: int,
    way_out: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    change = {"schema_version": {"major": major, "minor": 7}}
    path = rewritten(saved(program, tmp_path / "net.pt2"), change)
    with pytest.raises(TraceError, match=rf"has schema version {major}\.7, .*: {way_out}"):
        exported.load(path)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_program(
    program: torch.export.ExportedProgram, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = rewritten(saved(program, tmp_path / "net.pt2"), {"graph_module": {}})
    with pytest.raises(TraceError, match=r"other\.pt2: torch .* cannot load this program") as error:
        exported.load(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_torch_says_nothing_while_it_loads() -> None:
    loggers = [logging.getLogger(name) for name in exported._NOISY_LOGGERS]
    before = [logger.level for logger in loggers]
    with exported._quiet():
        assert min(logger.level for logger in loggers) > logging.CRITICAL
    assert [logger.level for logger in loggers] == before


def test_a_truncated_file(program: torch.export.ExportedProgram, tmp_path: Path) -> None:
    path = saved(program, tmp_path / "net.pt2")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TraceError, match="or damaged"):
        exported.load(path)
