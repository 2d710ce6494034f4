"""Operators without multiply-accumulates, and the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from perfmodel.errors import TraceError, UnmodelledOperator
from perfmodel.tracing import formula, operators
from perfmodel.tracing.operators import Call, Cost
from perfmodel.vocabulary import families
from tests.networks import touched, trace_function

X = torch.empty(2, 6, 8)
IMAGE = torch.empty(1, 4, 8, 8)
ROWS = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("operation", "family", "vector_ops"),
    [
        (lambda x: x + x, "elementwise", 96),
        (lambda x: x * 2, "elementwise", 96),
        (lambda x: x.clamp(0, 1), "elementwise", 2 * 96),
        (lambda x: x > 0, "elementwise", 96),
        (lambda x: torch.max(x, -x), "elementwise", 96),
        (lambda x: F.dropout(x, 0.5, training=True), "elementwise", 2 * 96),
        (F.relu, "activation", 96),
        (F.gelu, "activation", 5 * 96),
        (lambda x: F.gelu(x, approximate="tanh"), "activation", 9 * 96),
        (F.silu, "activation", 5 * 96),
        (F.glu, "activation", 5 * 48),
        (lambda x: x.softmax(-1), "softmax", 5 * 96),
        (lambda x: F.log_softmax(x, 1), "softmax", 5 * 96),
        (lambda x: F.layer_norm(x, (8,)), "norm", 5 * 96),
        (lambda x: F.layer_norm(x, (8,), torch.ones(8), torch.ones(8)), "norm", 7 * 96),
        (lambda x: F.rms_norm(x, (8,), torch.ones(8)), "norm", 4 * 96),
        (lambda x: F.group_norm(x, 3), "norm", 5 * 96),
        (lambda x: F.instance_norm(x), "norm", 5 * 96),
        (lambda x: F.batch_norm(x, torch.ones(6), torch.ones(6)), "norm", 2 * 96),
        (lambda x: x.mean((1, 2)), "reduction", 96),
        (lambda x: x.amax(-1), "reduction", 96),
        (lambda x: x.max(-1), "reduction", 96),
        (lambda x: x.argmax(-1), "reduction", 96),
        (lambda x: x.var(-1), "reduction", 4 * 96),
        (lambda x: torch.linalg.vector_norm(x), "reduction", 2 * 96),
        (lambda x: x.cumsum(1), "reduction", 96),
        (lambda x: x.sort(-1), "reduction", 3 * 96),  # log2 of 8
        (lambda x: x.topk(2), "reduction", 96),
        (lambda x: F.max_pool1d(x, 2), "pooling", 96),
        (lambda x: F.avg_pool1d(x, 2, 1), "pooling", 2 * 6 * 7 * 2),
        (lambda x: F.adaptive_avg_pool1d(x, 1), "reduction", 96),
        (lambda x: F.adaptive_max_pool1d(x, 1), "pooling", 96),
        (lambda x: F.adaptive_avg_pool1d(x, 2), "pooling", 96),
        (lambda x: F.interpolate(x, scale_factor=2, mode="linear"), "resample", 3 * 2 * 96),
        (lambda x: F.interpolate(x, scale_factor=2), "resample", 0),
        (lambda x: x.clone(), "data_movement", 0),
        (lambda x: x.double(), "data_movement", 0),
        (lambda x: x.tril(), "data_movement", 0),
    ],
)
def test_families_and_operation_counts(
    operation: Callable[[torch.Tensor], Any], family: str, vector_ops: int
) -> None:
    workload = trace_function(operation, X)
    assert workload.family_names()[-1] == family
    assert workload.kernels.vector_ops[-1] == vector_ops
    assert workload.flops == 0


@pytest.mark.parametrize(
    ("operation", "window", "size"),
    [
        (lambda x: F.max_pool2d(x, 3, 2, 1), 9, 4),
        (lambda x: F.max_pool2d(x, (3, 2), return_indices=True)[0], 6, None),
        (lambda x: F.avg_pool2d(x, 2), 4, 4),
        (lambda x: F.adaptive_avg_pool2d(x, (4, 2)), 2 * 4, None),
        (lambda x: F.adaptive_max_pool2d(x, 3), 9, 3),  # windows of 8 / 3 overlap
    ],
)
def test_pooling_counts_its_windows(operation: Any, window: int, size: int | None) -> None:
    workload = trace_function(operation, IMAGE)
    pooled = operation(IMAGE).numel()
    assert size is None or pooled == 4 * size * size
    assert workload.vector_ops == pooled * window


def copied(moved: int, *, fixed: int = 0) -> dict[str, int]:
    return {"weight": 0, "input": moved + fixed, "output": moved}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        # Elements read (with those of the index) and written. A slice costs a slice.
        (lambda x, i: x[:, i], copied(2 * 3 * 8, fixed=3)),
        (lambda x, i: x.index_select(1, i), copied(2 * 3 * 8, fixed=3)),
        (lambda x, i: x.gather(1, i.view(1, 3, 1).expand(2, 3, 8)), copied(2 * 3 * 8, fixed=3)),
        (lambda x, i: torch.cat([x, x[:1]]), {"weight": 0, "input": 96, "output": 144}),
        (lambda x, i: torch.zeros_like(x), {"weight": 0, "input": 0, "output": 96}),
        (lambda x, i: x.new_ones(5), {"weight": 0, "input": 0, "output": 5}),
        (lambda x, i: x[:, :2].clone(), copied(2 * 2 * 8)),
        (lambda x, i: x[:1].expand(4, 6, 8).clone(), {"weight": 0, "input": 48, "output": 192}),
        (lambda x, i: F.pad(x, (1, 1)), {"weight": 0, "input": 96, "output": 120}),
        (lambda x, i: x[:, :2].copy_(x[:, 2:4]), copied(2 * 2 * 8)),
        (lambda x, i: x[:, 0].zero_(), {"weight": 0, "input": 0, "output": 16}),
        # index_put: values of one row, written to three
        (lambda x, i: x.index_put_((i - i, i), x[0, 0]), {"weight": 0, "input": 14, "output": 24}),
        (
            lambda x, i: x.index_put_((i - i, i), x[0, 0], accumulate=True),
            {"weight": 0, "input": 8 + 24 + 6, "output": 24},
        ),
        (lambda x, i: x.index_fill_(1, i, 0.0), {"weight": 0, "input": 3, "output": 48}),
        (
            lambda x, i: x.index_add_(1, i, x[:, 3:]),
            {"weight": 0, "input": 48 + 48 + 3, "output": 48},
        ),
        (
            lambda x, i: x.scatter_(1, i.view(1, 3, 1), 1.0),
            {"weight": 0, "input": 3, "output": 3},
        ),
    ],
)
def test_only_what_is_touched_is_charged(operation: Any, expected: dict[str, int]) -> None:
    assert touched(trace_function(operation, X.clone(), ROWS)) == expected


def test_an_embedding_reads_the_rows_it_looks_up() -> None:
    table = nn.Embedding(1000, 16)
    workload = trace_function(table, torch.zeros(2, 5, dtype=torch.int64))
    assert workload.family_names() == ("embedding",)
    assert touched(workload) == {"weight": 10 * 16, "input": 10, "output": 160}
    assert workload.tensors.elements.max() == 16_000
    many = trace_function(nn.Embedding(3, 16), torch.zeros(8, dtype=torch.int64))
    assert touched(many)["weight"] == 3 * 16  # no more than there is


def test_every_registered_name_is_an_operator_of_pytorch() -> None:
    aten = {name.removeprefix("aten.") for name in operators.registered() if "aten." in name}
    aten |= {name.removeprefix("aten.") for name in operators.FREE}
    unknown = {
        name
        for name in aten
        if not (hasattr(torch.ops.aten, name) or hasattr(torch.ops.aten, f"{name}_"))
    }
    assert unknown <= {"cholesky"}  # PyTorch 2.14 has linalg_cholesky_ex alone


@pytest.fixture(scope="module")
def library() -> Iterator[str]:
    """A custom operator without a formula: mylib.mix(x, weight)."""
    with torch.library._scoped_library("perfmodel_tests", "DEF") as lib:
        lib.define("mix(Tensor x, Tensor weight) -> Tensor")
        lib.impl("mix", lambda x, weight: x.new_empty(x.shape), "Meta")
        lib.define("mix_(Tensor(a!) x, Tensor weight) -> Tensor(a!)")
        lib.impl("mix_", lambda x, weight: x, "Meta")
        yield "perfmodel_tests.mix"


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.perfmodel_tests.mix(x, self.weight)
        return y


class Mixers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Mixer(), Mixer()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = torch.special.hermite_polynomial_h(block(x), 3)
        return x


def test_every_operator_without_a_formula_is_named_with_its_places(library: str) -> None:
    with pytest.raises(UnmodelledOperator) as caught:
        trace_function(Mixers(), X, name="mixers")
    assert caught.value.model == "mixers"
    assert caught.value.operators[library] == ["function.blocks.0", "function.blocks.1"]
    assert caught.value.operators["aten.special_hermite_polynomial_h"] == ["function", "function"]
    assert "perfmodel_tests.mix at function.blocks.0, function.blocks.1" in str(caught.value)
    assert "register" in str(caught.value)


def test_unmodelled_operators_may_be_charged_for_their_bytes(library: str) -> None:
    workload = trace_function(Mixer(), X, allow_unmodelled=True)
    assert workload.unmodelled == (library,)
    assert workload.family_names() == ("unmodelled",)
    assert (workload.flops, workload.vector_ops) == (0, 0)
    assert touched(workload) == {"weight": 64, "input": 96, "output": 96}


@pytest.fixture
def mix(library: str) -> Iterator[None]:
    @operators.register(library)
    def formula(call: Call) -> Cost:
        rows = call.numel("x") // call.shape("x")[-1]
        n, k = call.shape("weight")
        return Cost(families.LINEAR, flops=2 * rows * n * k, gemm=(1, rows, n, k))

    yield
    operators.unregister(library)


@pytest.mark.usefixtures("mix")
def test_a_formula_can_be_registered(library: str) -> None:
    workload = trace_function(Mixer(), X)
    assert workload.unmodelled == ()
    assert workload.kernels.gemm.tolist() == [[1, 12, 8, 8]]
    assert workload.flops == 2 * 12 * 8 * 8
    with pytest.raises(ValueError, match="has a formula already"):
        operators.register(library)


@pytest.mark.usefixtures("mix")
def test_a_formula_serves_the_in_place_form(library: str) -> None:
    workload = trace_function(
        lambda x, w: torch.ops.perfmodel_tests.mix_(x, w), X.clone(), torch.empty(8, 8)
    )
    assert workload.kernels.operator == (library,)
    assert touched(workload) == {"weight": 0, "input": 96 + 64, "output": 96}


def test_a_formula_that_does_not_fit_is_reported(library: str) -> None:
    operators.register(library)(lambda call: Cost(families.LINEAR, call.numel("y") // 0))
    try:
        with pytest.raises(TraceError, match=r"formula of perfmodel_tests\.mix.* does not fit"):
            trace_function(Mixer(), X)
    finally:
        operators.unregister(library)


@pytest.mark.parametrize("name", ["conv2d", "aten.", ".conv2d", "aten::conv2d"])
def test_a_malformed_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name like 'aten\.conv2d'"):
        operators.register(name)


def test_a_formula_of_a_user_s_replaces_perfmodel_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that had to bring one does not break when perfmodel gets its own."""
    monkeypatch.setattr(formula, "_FORMULAS", dict(formula._FORMULAS))

    def mine(call: formula.Call) -> formula.Cost:
        return formula.Cost("elementwise", vector_ops=7)

    assert operators.find("aten.histc") is not None
    operators.register("aten.histc")(mine)
    assert operators.find("aten.histc") is mine
    assert "aten.histc" in formula.overrides()
    with pytest.raises(ValueError, match="has a formula already"):
        operators.register("aten.histc")
