"""FLOPs against PyTorch's own counter, and the zoo against torchvision's own table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from perfmodel.models import zoo
from perfmodel.models._torchvision import import_torchvision
from perfmodel.tracing import operators
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload


def counted(run: Callable[[], object]) -> int:
    """What PyTorch's counter says; right on meta tensors only."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def cost(name: str, result: torch.Tensor, **arguments: Any) -> Cost:
    formula = operators.find(f"aten.{name}")
    assert formula is not None
    return formula(Call(arguments, (tuple(result.shape),)))


def loops_say(cost: Cost) -> int:
    assert cost.gemm is not None
    batch, m, n, k = cost.gemm
    return 2 * batch * m * n * k


@pytest.fixture(scope="module", params=zoo.DEFAULT_MODELS)
def traced(request: pytest.FixtureRequest) -> tuple[Workload, torch.nn.Module, Any]:
    name: str = request.param
    module, inputs = zoo.build(name)
    return trace(module, inputs, name=name), module, inputs


def test_flops_are_those_of_the_counter(traced: Any) -> None:
    workload, module, inputs = traced
    assert workload.flops == counted(lambda: module(*inputs))


def test_parameters_and_flops_are_those_torchvision_publishes(traced: Any) -> None:
    workload, _, _ = traced
    models = import_torchvision().models
    weights = models.get_model_weights(workload.name).DEFAULT
    if workload.name == "deeplabv3_resnet50":
        # Published for 520 pixels and with the classifier that serves training only.
        with torch.device("meta"):
            module = models.get_model(
                workload.name, weights=None, weights_backbone=None, aux_loss=True
            )
        workload = trace(module, meta(1, 3, 520, 520), name=workload.name)
    assert workload.parameters == weights.meta["num_params"]
    # The table counts a multiply-accumulate as one operation.
    assert workload.flops / 2e9 == pytest.approx(weights.meta["_ops"], rel=0.01)


def test_every_kernel_of_products_is_its_loops(traced: Any) -> None:
    kernels = traced[0].kernels
    plain = [i for i, op in enumerate(kernels.operator) if "attention" not in op]
    assert (2 * kernels.gemm[plain].prod(axis=1) == kernels.flops[plain]).all()


sizes = st.integers(1, 9)
conv_cases = st.fixed_dictionaries(
    {
        "dims": st.integers(1, 3),
        "batch": st.integers(1, 3),
        "groups": st.sampled_from([1, 1, 2, 3, 4]),
        "fan_in": st.integers(1, 4),
        "fan_out": st.integers(1, 4),
        "extra": st.integers(0, 6),
        "kernel": st.lists(st.integers(1, 3), min_size=3, max_size=3),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "bias": st.booleans(),
    }
)


@given(conv_cases)
def test_convolutions(case: dict[str, Any]) -> None:
    dims, groups, kernel = case["dims"], case["groups"], case["kernel"][: case["dims"]]
    spatial = [case["dilation"] * (k - 1) + 1 + case["extra"] for k in kernel]
    x = meta(case["batch"], groups * case["fan_in"], *spatial)
    weight = meta(groups * case["fan_out"], case["fan_in"], *kernel)
    bias = meta(groups * case["fan_out"]) if case["bias"] else None
    options = {"stride": case["stride"], "dilation": case["dilation"], "groups": groups}
    operator = getattr(torch.nn.functional, f"conv{dims}d")
    y = operator(x, weight, bias, **options)
    ours = cost(f"conv{dims}d", y, input=x, weight=weight, bias=bias, **options)
    assert ours.flops == counted(lambda: operator(x, weight, bias, **options)) == loops_say(ours)
    assert ours.vector_ops == (y.numel() if case["bias"] else 0)
    assert (ours.family == "depthwise_conv") == (groups > 1 and case["fan_in"] == 1)


@given(conv_cases)
def test_transposed_convolutions(case: dict[str, Any]) -> None:
    dims, groups, kernel = case["dims"], case["groups"], case["kernel"][: case["dims"]]
    x = meta(case["batch"], groups * case["fan_in"], *([1 + case["extra"]] * dims))
    weight = meta(groups * case["fan_in"], case["fan_out"], *kernel)
    options = {"stride": case["stride"], "dilation": case["dilation"], "groups": groups}
    operator = getattr(torch.nn.functional, f"conv_transpose{dims}d")
    y = operator(x, weight, **options)
    ours = cost(f"conv_transpose{dims}d", y, input=x, weight=weight, **options)
    assert ours.flops == counted(lambda: operator(x, weight, **options)) == loops_say(ours)
    assert ours.gemm is not None
    assert ours.gemm[1] == x.numel() // x.shape[1]


@given(st.lists(sizes, max_size=3), sizes, sizes)
def test_linear(lead: list[int], features: int, outputs: int) -> None:
    x, weight = meta(*lead, features), meta(outputs, features)
    y = torch.nn.functional.linear(x, weight)
    ours = cost("linear", y, input=x, weight=weight)
    assert ours.flops == counted(lambda: torch.nn.functional.linear(x, weight)) == loops_say(ours)


@given(
    st.lists(st.tuples(sizes, st.sampled_from(["both", "left", "right"])), max_size=2),
    st.integers(0, 2),
    sizes,
    sizes,
    sizes,
)
@example([], 0, 2, 3, 4)
def test_matmul(lead: list[tuple[int, str]], only_left: int, m: int, n: int, k: int) -> None:
    left = meta(*([2] * only_left), *(1 if who == "right" else s for s, who in lead), m, k)
    right = meta(*(1 if who == "left" else s for s, who in lead), k, n)
    y = left @ right
    ours = cost("matmul", y, self=left, other=right)
    assert ours.flops == counted(lambda: left @ right) == loops_say(ours)
    # By definition: each element of the result is a dot product of length k.
    assert ours.flops == 2 * y.numel() * k


@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((3, 4), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 5))]
)
def test_products_with_a_vector_count_like_any_other(shapes: Any) -> None:
    left, right = (meta(*shape) for shape in shapes)
    y = left @ right
    ours = cost("matmul", y, self=left, other=right)
    assert ours.flops == loops_say(ours) == 2 * y.numel() * 4


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    sizes,
    sizes,
    sizes,
    sizes,
    st.booleans(),
)
def test_attention(
    batch: int, kv_heads: int, shared: int, m: int, n: int, e: int, ev: int, masked: bool
) -> None:
    query = meta(batch, kv_heads * shared, m, e)
    key, value = meta(batch, kv_heads, n, e), meta(batch, kv_heads, n, ev)
    mask = meta(m, n) if masked else None

    def run() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, enable_gqa=shared > 1
        )

    ours = cost(
        "scaled_dot_product_attention", run(), query=query, key=key, value=value, attn_mask=mask
    )
    assert ours.flops == counted(run)
    assert ours.gemm == (batch * kv_heads * shared, m, n, e)


@st.composite
def contractions(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """An equation of two to four operands, with the sizes of its letters."""
    extent = {letter: draw(st.integers(1, 4)) for letter in "abcde"}
    terms = draw(
        st.lists(
            st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True).map("".join),
            min_size=2,
            max_size=4,
        )
    )
    used = sorted(set("".join(terms)))
    output = "".join(draw(st.lists(st.sampled_from(used), unique=True)))
    return f"{','.join(terms)}->{output}", [tuple(extent[i] for i in term) for term in terms]


@given(contractions())
@example(("...ij,jk->...ik", [(2, 2, 3, 4), (4, 5)]))
@example(("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 5)]))
@example(("ij,jk", [(3, 4), (4, 5)]))
@example(("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 5), (5, 6)]))
def test_einsum(case: tuple[str, list[tuple[int, ...]]]) -> None:
    equation, shapes = case
    tensors = [meta(*shape) for shape in shapes]
    y = torch.ops.aten.einsum(equation, tensors)
    ours = cost("einsum", y, equation=equation, tensors=tensors)
    assert ours.flops == counted(lambda: torch.ops.aten.einsum(equation, tensors))


def test_einsum_along_a_path() -> None:
    tensors = [meta(2, 30), meta(30, 4), meta(4, 5)]
    path = [1, 2, 0, 1]
    y = torch.ops.aten.einsum("ab,bc,cd->ad", tensors, path=path)
    ours = cost("einsum", y, equation="ab,bc,cd->ad", tensors=tensors, path=path)
    assert ours.flops == 2 * (30 * 4 * 5 + 2 * 30 * 5)
    assert ours.gemm == (1, 30, 5, 4)
