"""Products by other names, losses, samples, regions and what PyTorch composes of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from perfmodel.tracing import operators
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.tracing import trace
from tests.networks import touched, trace_function

X, Y = torch.empty(4, 8), torch.empty(4, 8)
LABELS = torch.zeros(4, dtype=torch.long)
IMAGE = torch.empty(1, 3, 8, 8)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape)


@pytest.mark.parametrize(
    ("operation", "shapes", "flops"),
    [
        (torch.addbmm, [(5, 7), (3, 5, 6), (3, 6, 7)], 2 * 3 * 5 * 6 * 7),
        (torch.inner, [(5, 6), (7, 6)], 2 * 5 * 7 * 6),
        (lambda x, y: torch.linalg.multi_dot([x, y, x]), [(5, 6), (6, 5)], 2 * 5 * 6 * 5 * 2),
        (F.bilinear, [(5, 6), (5, 7), (8, 6, 7)], 2 * 5 * 8 * 7 * (6 + 1)),
        (F.bilinear, [(2, 5, 6), (2, 5, 7), (8, 6, 7), (8,)], 2 * 10 * 8 * 7 * (6 + 1)),
        (torch.kron, [(5, 6), (6, 5)], 0),
        (torch.addr, [(5, 7), (5,), (7,)], 0),
        (torch.linalg.vecdot, [(5, 7), (5, 7)], 0),
        (lambda x, w, b: torch.conv_tbc(x, w, b, 1), [(9, 2, 4), (3, 4, 6), (6,)], 2 * 18 * 6 * 12),
        (lambda x: F.affine_grid(x, [2, 3, 4, 5], False), [(2, 2, 3)], 2 * 2 * 20 * 2 * 3),
    ],
)  # fmt: skip
def test_products_by_other_names(
    operation: Callable[..., Any], shapes: list[tuple[int, ...]], flops: int
) -> None:
    workload = trace_function(operation, *(torch.empty(shape) for shape in shapes))
    assert workload.flops == flops
    assert workload.unmodelled == ()


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_a_trilinear_product_is_the_bilinear_layer_that_pytorch_makes_of_it() -> None:
    layer = nn.Bilinear(6, 7, 8)
    program = torch.export.export(layer, (empty(5, 6), empty(5, 7))).run_decompositions()
    from perfmodel.tracing.exported import from_exported

    assert "_trilinear" in str(program.graph)
    assert from_exported(program).flops == trace(layer, (empty(5, 6), empty(5, 7))).flops


@pytest.mark.parametrize(
    ("operation", "vector_ops"),
    [
        (F.mse_loss, 3 * 32),
        (lambda x, y: F.mse_loss(x, y, reduction="none"), 2 * 32),
        (F.smooth_l1_loss, 5 * 32),
        (F.huber_loss, 5 * 32),
        (F.l1_loss, 3 * 32),  # composed: difference, magnitude, mean
        (F.binary_cross_entropy, 8 * 32),
        (F.binary_cross_entropy_with_logits, 9 * 32),
        (lambda x, y: F.cross_entropy(x, LABELS), 5 * 32 + 4),  # log-softmax, four elements added
        (lambda x, y: F.nll_loss(x, LABELS), 4),
        (lambda x, y: F.multi_margin_loss(x, LABELS), 4 * 32),
        (lambda x, y: torch.multinomial(x, 1), 4 * 32),
        (lambda x, y: torch.special.expit(x), 4 * 32),
        (lambda x, y: torch.special.logit(x), 4 * 32),
        (lambda x, y: torch.special.gammaln(x), 32),
        (lambda x, y: torch.special.entr(x), 2 * 32),
        (lambda x, y: torch.special.softmax(x, -1), 5 * 32),
        (lambda x, y: torch.sinc(x), 3 * 32),
        (lambda x, y: torch.histc(x, 10), 4 * 32),
        (lambda x, y: torch.quantile(x, 0.5, dim=-1), 3 * 32 + 3 * 4),
        (lambda x, y: torch.isin(x, y[0, :2]), 2 * 32),
        (lambda x, y: torch.isin(x, y), 64 * 6),  # sorted, both together
        (lambda x, y: torch.linalg.cross(x[:, :3], y[:, :3]), 3 * 12),
        (lambda x, y: torch.pdist(x), 3 * 6 * 8),
        (lambda x, y: torch.trace(x), 4),
        (lambda x, y: x.arccos(), 32),
        (lambda x, y: F.kl_div(x, y, reduction="none"), 32 * 4),  # y (log y - x): xlogy, product
        (lambda x, y: torch.empty_like(x).exponential_(), 2 * 32),
        (lambda x, y: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127), 7 * 32),
    ],
)
def test_operations_beside_products(operation: Callable[..., Any], vector_ops: int) -> None:
    workload = trace_function(operation, X, Y)
    assert workload.vector_ops == vector_ops
    assert workload.flops == 0
    assert workload.unmodelled == ()


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
        lambda x: F.fractional_max_pool2d(x, 2, output_size=3),
        lambda x: F.gumbel_softmax(x),
        lambda x: torch.gradient(x[0, 0])[0],
        lambda x: torch.trapezoid(x),
        lambda x: torch.vander(x[0, 0, 0]),
        lambda x: F.triplet_margin_loss(x, x, x),
        lambda x: torch.std(x) + torch.nanmean(x),
    ],
)
def test_these_are_modelled(operation: Callable[..., Any]) -> None:
    workload = trace_function(operation, IMAGE)
    assert workload.unmodelled == ()


def test_a_composed_operator_is_what_it_is_made_of() -> None:
    workload = trace_function(lambda x: F.cross_entropy(x, LABELS), X)
    assert workload.kernels.operator == ("aten._log_softmax", "aten.nll_loss_forward")
    # The loss reads one element of each row, and the labels.
    last = workload.accesses.kernel == 1
    assert sum(workload.accesses.elements[last].tolist()) == 4 + 4 + 1 + 1


def test_a_composed_operator_reads_and_writes_what_its_parts_do() -> None:
    composed = trace_function(torch.kron, empty(5, 6), empty(6, 5))
    assert composed.kernels.operator[-1] == "aten.mul"
    assert touched(composed) == {"weight": 0, "input": 60, "output": 900}


def test_a_decomposition_in_python_is_noted() -> None:
    formula = operators.find("aten.mse_loss")
    assert formula is not None
    operators.unregister("aten.mse_loss")
    try:
        workload = trace_function(F.mse_loss, X, Y)
    finally:
        operators.register("aten.mse_loss")(formula)
    assert workload.vector_ops == 3 * 32
    assert "aten.mse_loss has no formula" in workload.provenance["assumptions"]


def test_checks_are_free() -> None:
    def checked(x: torch.Tensor) -> torch.Tensor:
        torch.ops.aten._assert_async.msg(torch.ops.aten._is_all_true(x > 0), "positive")
        return x + 1

    workload = trace_function(checked, X)
    assert workload.kernels.operator == ("aten.gt", "aten.add")


def cost(name: str, result: tuple[int, ...], **arguments: Any) -> Cost:
    """What the formula says; these operators are declared by torchvision's C++ library only."""
    formula = operators.find(name)
    assert formula is not None
    return formula(Call(arguments, (result,)))


@pytest.mark.parametrize(("use_mask", "bias"), [(True, 6), (False, 6), (True, 0)])
def test_a_deformable_convolution_is_a_convolution_of_interpolated_inputs(
    use_mask: bool, bias: int
) -> None:
    found = cost(
        "torchvision.deform_conv2d",
        (1, 6, 8, 8),
        input=empty(1, 4, 10, 10),
        weight=empty(6, 4, 3, 3),
        offset=empty(1, 18, 8, 8),
        mask=empty(1, 9, 8, 8),
        bias=empty(bias),
        groups=1,
        use_mask=use_mask,
    )
    assert found.flops == 2 * 64 * 6 * 36
    assert found.gemm == (1, 64, 6, 36)
    # For 9 taps of 4 channels at 64 positions an interpolation (7) and perhaps a mask; the bias.
    assert found.vector_ops == (7 + use_mask) * 9 * 4 * 64 + bias * 64


@pytest.mark.parametrize(("ratio", "samples"), [(3, 9), (0, 4)])
def test_features_of_regions(ratio: int, samples: int) -> None:
    regions = {"input": empty(1, 4, 32, 32), "rois": empty(5, 5), "sampling_ratio": ratio}
    found = cost("torchvision.roi_align", (5, 4, 7, 7), **regions)
    assert found.vector_ops == 8 * samples * 5 * 4 * 49
    assert ("2 by 2" in found.note) == (ratio == 0)


def test_integer_and_scaled_products_count_like_others() -> None:
    a = torch.empty(32, 16, dtype=torch.int8)
    integer = trace_function(torch._int_mm, a, torch.empty(16, 24, dtype=torch.int8))
    assert integer.flops == 2 * 32 * 16 * 24
    assert integer.fixed_bytes(1).tolist() == [32 * 16 + 16 * 24]
    eighth = torch.empty(32, 16, dtype=torch.float8_e4m3fn)
    scaled = trace_function(
        lambda x, y, s: torch._scaled_mm(x, y.t(), s, s, out_dtype=torch.bfloat16),
        eighth,
        eighth.clone(),
        torch.ones(1),
    )
    counter = FlopCounterMode(display=False)
    with counter:
        m = eighth.to("meta")
        s = torch.ones(1, device="meta")
        torch._scaled_mm(m, m.t(), s, s, out_dtype=torch.bfloat16)
    assert scaled.flops == counter.get_total_flops() == 2 * 32 * 32 * 16


@pytest.mark.parametrize(
    ("operation", "operator", "vector_ops"),
    [
        (lambda _: torch.unique(torch.tensor([1, 2, 2, 3])), "aten._unique2", 4 * (2 + 1)),
        (lambda x: torch.linalg.lstsq(x.t(), x.t()).solution, "aten.linalg_lstsq", None),
        (lambda x: torch.histogramdd(x[:, :2], [3, 3]).hist, "aten._histogramdd_bin_edges", 4 * 8),
    ],
)
def test_operators_whose_shapes_pytorch_does_not_say(
    operation: Callable[..., Any], operator: str, vector_ops: int | None
) -> None:
    workload = trace_function(operation, torch.ones(4, 8), allow_masks=True)
    (cost,) = (
        ops
        for name, ops in zip(workload.kernels.operator, workload.kernels.vector_ops, strict=True)
        if name == operator
    )
    assert vector_ops is None or cost == vector_ops
    assert workload.unmodelled == ()


@pytest.mark.parametrize("kind", [tuple, torch.tensor])
def test_the_loss_of_a_recogniser(kind: Callable[[list[int]], Any]) -> None:
    labels = torch.ones(2, 3, dtype=torch.long)
    workload = trace_function(
        lambda x: F.ctc_loss(x, labels, kind([7, 7]), kind([3, 3])), torch.zeros(7, 2, 5)
    )
    assert "aten.ctc_loss" in "".join(workload.kernels.operator).replace("._ctc", ".ctc")
    assert workload.unmodelled == ()
