"""Parametric workloads: what they hold equals a trace at the same sizes, or they say that not."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from perfmodel.errors import (
    PerfmodelError,
    TraceError,
    UncoveredSize,
    UnknownName,
    WorkloadFormatError,
)
from perfmodel.models import huggingface_models, zoo
from perfmodel.tracing import symbolic, tracing
from perfmodel.tracing.symbolic import trace_parametric
from perfmodel.tracing.tracing import trace
from perfmodel.workload.parametric import ParametricWorkload, load
from perfmodel.workload.workload import Workload
from tests.examples import make_workload
from tests.networks import Function


def assert_same(parametric: Workload, fresh: Workload) -> None:
    """Equal in every field; a plain ``==`` would not say where they differ."""
    one, other = parametric.to_dict(), fresh.to_dict()
    assert one.keys() == other.keys()
    for key in one:
        assert one[key] == other[key], key


def small_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(nn.Embedding(50, 32), nn.TransformerEncoder(layer, 2))


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return small_encoder()


@pytest.fixture(scope="module")
def encoded(encoder: nn.Module) -> ParametricWorkload:
    return trace_parametric(
        encoder, torch.zeros(1, 6, dtype=torch.long), sizes=("batch", "tokens"), name="encoder"
    )


# -- equal to a fresh trace ----------------------------------------------------------------------


def test_both_dimensions_of_a_transformer(encoder: nn.Module, encoded: ParametricWorkload) -> None:
    for batch, tokens in product((1, 2, 8), (1, 5, 33)):
        fresh = trace(encoder, torch.zeros(batch, tokens, dtype=torch.long), name="encoder")
        assert_same(encoded.at(batch=batch, tokens=tokens), fresh)
    assert encoded.at() == encoded.at(batch=1, tokens=6)


def test_a_lookup_reads_no_more_than_the_table_at_any_size(encoded: ParametricWorkload) -> None:
    def read(tokens: int) -> int:
        workload = encoded.at(tokens=tokens)
        return int(workload.accesses.elements[workload.accesses.role == 0][0])

    assert (read(7), read(50), read(51)) == (7 * 32, 50 * 32, 50 * 32)


def folded(x: torch.Tensor) -> torch.Tensor:
    # Of one sample the transposed tensor is contiguous but for a dimension of 1: only a view.
    return x.transpose(0, 1).reshape(-1, 4).relu()


def test_a_copy_that_is_a_view_at_batch_1_is_a_case_of_its_own() -> None:
    workload = trace_parametric(Function(folded), torch.zeros(1, 3, 4), name="folded")
    assert workload.at(batch=1).operator_counts() == {"aten.relu": 1}
    assert workload.at(batch=2).operator_counts() == {"aten.relu": 1, "aten.reshape": 1}
    assert [len(case.where) for case in workload.cases] == [1, 1]
    for batch in (1, 2, 3):
        assert_same(
            workload.at(batch=batch),
            trace(Function(folded), torch.zeros(batch, 3, 4), name="folded"),
        )


def nets(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A random net on images or on sequences, and the shape of one sample."""
    if draw(st.booleans()):
        channels = draw(st.sampled_from([2, 4]))
        layers: list[nn.Module] = [nn.Conv2d(3, channels, draw(st.sampled_from([1, 3])))]
        choices: list[nn.Module] = [
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.AvgPool2d(2),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=draw(st.booleans())),
            nn.Upsample(scale_factor=2, mode="nearest"),
        ]
        layers += draw(st.lists(st.sampled_from(choices), max_size=3))
        tail = draw(st.sampled_from([[nn.Flatten()], [nn.AdaptiveAvgPool2d(1), nn.Flatten()], []]))
        return nn.Sequential(*layers, *tail), (3, 24, 16)

    class Mixer(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind = kind
            self.project = nn.Linear(8, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.project(x)
            if self.kind == "attention":
                y = self.attention(y, y, y)[0]
            elif self.kind == "heads":
                y = y.reshape(y.shape[0], -1, 2, 4).transpose(1, 2).flatten(2)
            elif self.kind == "swap":
                y = y.transpose(0, 1).contiguous() * 2
            elif self.kind == "mean":
                y = y - y.mean(dim=1, keepdim=True)
            return torch.cat([y, y], dim=-1)

    kind = draw(st.sampled_from(["attention", "heads", "swap", "mean", "none"]))
    return Mixer(kind), (draw(st.integers(1, 5)), 8)


@settings(max_examples=8)
@given(st.data(), st.lists(st.integers(1, 40), min_size=1, max_size=2, unique=True))
def test_random_nets_at_random_batches(data: st.DataObject, batches: list[int]) -> None:
    module, shape = data.draw(st.composite(nets)())
    workload = trace_parametric(module, torch.zeros(1, *shape), name="net")
    for batch in batches:
        assert_same(workload.at(batch=batch), trace(module, torch.zeros(batch, *shape), name="net"))


# -- where it does not hold ----------------------------------------------------------------------


class Branch(nn.Module):
    """Another layer above 16 tokens, as a model with a window of attention has."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Linear(4, 4)
        self.long = nn.Linear(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.long(x) if x.shape[1] > 16 else self.short(x)
        return out


def test_a_branch_that_was_not_traced_is_an_error_and_can_be_covered() -> None:
    sizes = ("batch", "tokens")
    one = trace_parametric(Branch(), torch.zeros(1, 8, 4), sizes=sizes, name="branch")
    assert one.dimension("tokens").maximum == 16
    assert one.at(tokens=16).tensors.name[1] == "short.weight"
    with pytest.raises(UncoveredSize, match="holds for tokens 1 to 16, not 17"):
        one.at(tokens=17)
    both = trace_parametric(
        Branch(), torch.zeros(1, 8, 4), sizes=sizes, name="branch", cover={"tokens": [64]}
    )
    for tokens in (1, 16, 17, 100):
        fresh = trace(Branch(), torch.zeros(1, tokens, 4), name="branch")
        assert_same(both.at(tokens=tokens), fresh)
    short, long = ([condition.text for condition in case.where] for case in both.cases)
    assert short == ["batch >= 1 and tokens <= 16 and tokens >= 1"]
    assert long == ["batch == 1 and tokens >= 17"]


@pytest.mark.parametrize(("example", "covered"), [((2, 3), (20, 21)), ((20, 21), (2, 3))])
@pytest.mark.parametrize("strict", [True, False])
def test_a_branch_that_depends_on_two_dimensions_ends_where_it_ends(
    example: tuple[int, int], covered: tuple[int, int], strict: bool
) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        elements = x.shape[0] * x.shape[1]
        return x.relu().exp() if (elements > 99 if strict else elements >= 100) else x.exp()

    cover = {"rows": [covered[0]], "columns": [covered[1]]}
    workload = trace_parametric(
        Function(forward), torch.zeros(example), sizes=("rows", "columns"), cover=cover
    )
    for rows, columns, kernels in ((9, 11, 1), (1, 99, 1), (10, 10, 2), (20, 20, 2)):
        assert len(workload.at(rows=rows, columns=columns)) == kernels
    with pytest.raises(UncoveredSize):  # A single row was traced below the limit only.
        workload.at(rows=1, columns=100)


def test_a_forward_that_allows_one_batch_only_cannot_be_parametric() -> None:
    def fixed(x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(4, 3)

    with pytest.raises(TraceError, match="allows no other batch than 4"):
        trace_parametric(Function(fixed), torch.zeros(4, 3), name="fixed")


def test_an_axis_that_is_1_in_the_examples_is_not_taken_for_a_symbol() -> None:
    def forward(x: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
        return x[:, 1:] + rest

    class Difference(nn.Module):
        def forward(self, x: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
            return forward(x, rest)

    sizes = {"x": (None, "n"), "rest": (None, "n - 1")}
    with pytest.raises(TraceError, match="n - 1 = 1 stays fixed"):
        trace_parametric(Difference(), (torch.zeros(3, 2), torch.zeros(3, 1)), sizes=sizes)


def test_unknown_dimensions_and_sizes_are_named(encoded: ParametricWorkload) -> None:
    with pytest.raises(UnknownName, match="dimension of encoder 'token': did you mean 'tokens'"):
        encoded.at(token=3)
    for size in (0, -1, 2.0, True):
        with pytest.raises(Exception, match="batch must be a whole number of at least 1"):
            encoded.at(batch=size)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"beyond 64-bit|63 bits"):
        encoded.at(batch=2**60)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (("batch", "batch"), "is 6, but batch is 2"),
        ({"y": ("batch",)}, "y is not among the arguments"),
        ({"x": ("batch", "tokens", "width")}, "has 2 axes, 3 are named"),
        (("batch", "past + tokens"), "no axis is called 'past' alone"),
        ((2, 6), "no tensor argument has a named dimension"),
        (("batch", 7), "axis 1 of x is 6, not 7"),
        (("batch", "2/3"), "is not integer arithmetic"),
        ("batch", "expected a list of axes"),
    ],
)
def test_sizes_that_do_not_fit_the_arguments(sizes: Any, message: str) -> None:
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return double(x)

    with pytest.raises(TraceError, match=message.replace("(", r"\(")):
        trace_parametric(Double(), torch.zeros(2, 6), sizes=sizes)


def test_sizes_by_argument_may_be_sums_of_dimensions() -> None:
    class Append(nn.Module):
        def forward(self, x: torch.Tensor, past: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.cat([past, x], dim=1) + mask

    sizes = {
        "x": ("batch", "tokens"),
        "past": ("batch", "past"),
        "mask": (None, "past + tokens"),
    }
    inputs = (torch.zeros(1, 2, 8), torch.zeros(1, 5, 8), torch.zeros(1, 7, 8))
    workload = trace_parametric(Append(), inputs, sizes=sizes, name="append")
    shapes = (3, 1, 8), (3, 9, 8), (1, 10, 8)
    fresh = trace(Append(), tuple(map(torch.zeros, shapes)), name="append")
    assert_same(workload.at(batch=3, tokens=1, past=9), fresh)


# -- the file ------------------------------------------------------------------------------------


def test_the_file_round_trip_keeps_everything(encoded: ParametricWorkload, tmp_path: Path) -> None:
    path = tmp_path / "encoder.json"
    encoded.save(path)
    restored = ParametricWorkload.load(path)
    assert restored == encoded
    assert_same(restored.at(batch=3, tokens=9), encoded.at(batch=3, tokens=9))
    assert_same(load(path, batch=3, tokens=9), encoded.at(batch=3, tokens=9))
    assert_same(load(path), encoded.at())
    assert any(line.strip().startswith('"flops": [') for line in path.read_text().splitlines())
    with pytest.raises(UnknownName, match="did you mean 'batch'"):
        load(path, bath=3)


def test_sizes_of_an_ordinary_file_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    make_workload().save(path)
    assert load(path, batch=3) == make_workload()
    with pytest.raises(UncoveredSize, match="traced at batch 3, not 4"):
        load(path, batch=4)
    with pytest.raises(UnknownName, match="choose one of batch"):
        load(path, tokens=4)


def tiny() -> dict[str, Any]:
    """The example of the documentation, with what that leaves out."""
    page = (Path(__file__).parents[2] / "docs" / "workload-format.md").read_text()
    document: dict[str, Any] = json.loads(page.split("```json\n")[2].split("```")[0])
    case = document["cases"][0]["workload"]
    whole = make_workload().to_dict()
    case["kernels"] = whole["kernels"] | case["kernels"]
    document["cases"][0]["workload"] = whole | case
    return document


def test_the_documented_example_is_true() -> None:
    workload = ParametricWorkload.from_dict(tiny())
    assert workload.at().kernels.flops.tolist() == make_workload().kernels.flops.tolist()
    assert workload.at().kernels.vector_ops.tolist() == [0, 6]
    five = workload.at(batch=5)
    assert (five.batch, five.inputs[0].shape, five.kernels.gemm[0].tolist()) == (
        5,
        (5, 4),
        [1, 5, 2, 4],
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "perfmodel.workload", "not a workload file"),
        (("version",), 2, "newer perfmodel"),
        (("dimensions",), [], "dimensions: expected"),
        (("dimensions", 0, "maximum"), 0, r"dimensions\[0\].maximum"),
        (("cases", 0, "where"), [], r"cases\[0\].where"),
        (("cases", 0, "where"), ["batch"], r"cases\[0\].where\[0\]: .* is not a condition"),
        (("cases", 0, "where"), ["tokens > 1"], "expected the dimensions batch, found tokens"),
        (("cases", 0, "workload", "batch"), "exit()", "is not integer arithmetic"),
        (("cases", 0, "workload", "batch"), 0, r"cases\[0\].workload: batch: expected"),
        (("cases", 0, "workload", "tensors", "elements", 2), "n", "found n"),
        (("cases", 0, "workload", "tensors", "itemsize", 2), "batch", r"itemsize\[2\]: expected"),
        (("cases", 0, "workload", "kernels", "flops"), ["1"], "expected 2 entries"),
        (("cases", 0, "workload", "accesses"), None, "accesses: expected"),
    ],
)
def test_a_file_that_breaks_the_format_names_file_field_and_expectation(
    path: tuple[str | int, ...], value: object, message: str, tmp_path: Path
) -> None:
    document: Any = tiny()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(document))
    with pytest.raises(WorkloadFormatError, match=message) as caught:
        ParametricWorkload.load(file)
    assert "broken.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_that_fit_and_a_total_that_does_not_are_an_error() -> None:
    document = tiny()
    document["cases"][0]["workload"]["kernels"]["flops"] = ["16*batch", "16*batch"]
    workload = ParametricWorkload.from_dict(document)
    assert workload.at(batch=2**57).flops == 2**62
    with pytest.raises(PerfmodelError, match="its totals are beyond 64-bit integers"):
        workload.at(batch=2**58)


def test_reading_and_evaluating_a_file_needs_neither_torch_nor_sympy(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    ParametricWorkload.from_dict(tiny()).save(path)
    code = (
        "import sys, perfmodel\n"
        f"workload = perfmodel.load_workload({str(path)!r}, batch=4)\n"
        "assert workload.flops == 64\n"
        "assert not {'torch', 'sympy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the zoo -------------------------------------------------------------------------------------


def test_the_zoo_traces_one_sample_and_one_symbol_for_any_number_of_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    runs = []
    run = symbolic.run

    def counted(*args: Any, **options: Any) -> Any:
        runs.append(args)
        return run(*args, **options)

    for place in (symbolic, tracing):
        monkeypatch.setattr(place, "run", counted)
    zoo.parametric("resnet50")
    assert len(runs) == 2
    workloads = [zoo.workload("resnet50", batch) for batch in (1, 8, 64)]
    assert [workload.batch for workload in workloads] == [1, 8, 64]
    assert [w.flops for w in workloads] == [workloads[0].flops * n for n in (1, 8, 64)]
    assert zoo.parametric("resnet50").at(batch=8) == workloads[1]
    assert len(runs) == 2
    with pytest.raises(UnknownName, match="dimension of resnet50 'tokens': choose one of batch"):
        zoo.parametric("resnet50", ["tokens"])


@pytest.mark.parametrize(
    ("name", "dimensions", "phase", "sizes"),
    [
        ("gpt2_xl", ("batch", "tokens"), "prefill", {"batch": 3, "tokens": 9}),
        ("gpt2_xl", ("batch",), "decode", {"batch": 3}),
        ("bert_large", ("tokens",), None, {"tokens": 17}),
    ],
)
def test_language_models_in_their_phases(
    name: str,
    dimensions: tuple[str, ...],
    phase: str | None,
    sizes: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(zoo._SPECS, name, huggingface_models.with_layers(name, 1))
    workload = zoo.parametric(name, dimensions, phase=phase)
    assert_same(workload.at(**sizes), zoo.workload(name, **sizes, phase=phase))
    assert_same(workload.at(), zoo.workload(name, phase=phase))
    if "tokens" in dimensions:
        with pytest.raises(UncoveredSize, match="tokens 1 to"):
            workload.at(tokens=5000)
