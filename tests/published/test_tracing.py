"""From PyTorch modules to graphs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from perfmodel import published
from perfmodel.errors import PerfmodelError, TraceError, UnknownName
from perfmodel.models._torchvision import import_torchvision
from perfmodel.published import tracing
from perfmodel.published.nodes import Convolution, Graph, Linear, Node

IMAGE = torch.empty(1, 3, 8, 8, device="meta")


def by_type(graph: Graph, type_: str) -> list[Node]:
    return [node for node in graph.nodes if node.type == type_]


class Small(nn.Module):
    """One of everything the method looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, (3, 1), groups=3)
        self.norm = nn.BatchNorm2d(6)
        self.bias = nn.Parameter(torch.zeros(6, 1, 1))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)) + self.bias
        x += 1
        tokens = x.flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return torch.relu(self.head(attended))


@pytest.fixture(scope="module")
def small() -> Graph:
    return published.trace(Small(), IMAGE)


def test_kinds_and_types_in_graph_order(small: Graph) -> None:
    assert [(node.kind, node.type) for node in small.nodes] == [
        ("placeholder", "x"),
        ("call_module", "Conv2d"),
        ("call_module", "BatchNorm2d"),
        ("get_attr", "bias"),
        ("call_function", "add"),
        ("call_function", "add"),  # FX has no in-place arithmetic
        ("call_method", "flatten"),
        ("call_method", "transpose"),
        ("call_module", "MultiheadAttention"),
        ("call_function", "getitem"),
        ("call_function", "getitem"),
        ("call_module", "Linear"),
        ("call_function", "relu"),
        ("output", "output"),
    ]
    assert small.model == "Small"


def test_attributes_and_parameters(small: Graph) -> None:
    (conv,) = by_type(small, "Conv2d")
    assert conv.convolution == Convolution(3, 6, (3, 1), 3)
    assert conv.parameters == 6 * 1 * 3 + 6
    (norm,) = by_type(small, "BatchNorm2d")
    assert norm.parameters == 12  # scale and shift; running statistics are buffers
    (attention,) = by_type(small, "MultiheadAttention")
    assert attention.parameters == 4 * (6 * 6 + 6)
    assert attention.shape is None
    (head,) = by_type(small, "Linear")
    assert head.linear == Linear(6, 5)
    assert head.parameters == 6 * 5 + 5
    assert head.shape == (1, 48, 5)


def test_a_tensor_passed_three_times_is_one_input(small: Graph) -> None:
    (attention,) = by_type(small, "MultiheadAttention")
    assert [small.nodes[i].type for i in attention.inputs] == ["transpose"]


def test_shapes_are_those_of_shape_prop() -> None:
    import_torchvision()
    with torch.device("meta"):
        from torchvision.models import mobilenet_v3_small

        traced = torch.fx.symbolic_trace(mobilenet_v3_small(weights=None).eval())
        ShapeProp(traced).propagate(torch.empty(1, 3, 224, 224))
    expected = {}
    for node in traced.graph.nodes:
        found = node.meta.get("tensor_meta")
        single = isinstance(found, TensorMetadata)
        expected[node.name] = tuple(found.shape) if single else None
    got = published.graph("mobilenet_v3_small")
    assert {node.name: node.shape for node in got.nodes} == expected


def test_stochastic_depth_is_one_function_node() -> None:
    types = {n.type for n in published.graph("convnext_tiny").nodes if n.kind == "call_function"}
    assert "stochastic_depth" in types


def test_the_module_is_left_as_it_was() -> None:
    module = Small().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    published.trace(module, torch.zeros(2, 3, 8, 8))
    assert module.training
    after = module.state_dict()
    assert all(after[name].device.type == "cpu" for name in before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_several_inputs() -> None:
    class Add(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    traced = published.trace(Add(), (torch.zeros(2, 3), torch.zeros(3)), name="sum")
    assert traced.model == "sum"
    assert by_type(traced, "add")[0].shape == (2, 3)


# --- bad input ----------------------------------------------------------------------------------


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x


def test_control_flow_on_values_cannot_be_traced() -> None:
    with pytest.raises(TraceError, match=r"Branches: torch\.fx cannot trace it .*control flow"):
        published.trace(Branches(), torch.zeros(3))


def test_wrong_input_names_the_node_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TraceError, match="no shapes for inputs 1x4x8x8: conv fails"):
        published.trace(Small(), torch.zeros(1, 4, 8, 8))
    assert capfd.readouterr() == ("", "")


def test_an_input_too_few_is_a_trace_error() -> None:
    with pytest.raises(TraceError, match="Small: no shapes"):
        published.trace(Small(), ())


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'resnet50'"):
        published.graph("resnet_50")


def test_a_model_of_another_kind_is_unknown() -> None:
    with pytest.raises(UnknownName):
        published.graph("r3d_18")  # video


@pytest.mark.parametrize("shape", [(224, 224), (3, 0, 224)], ids=str)
def test_an_input_that_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(PerfmodelError, match="channels, height and width"):
        published.graph("resnet18", shape)


# --- torchvision --------------------------------------------------------------------------------


def test_segmentation_models_are_known_by_name() -> None:
    models = import_torchvision().models
    for name in models.list_models(module=models.segmentation):
        assert tracing.default_input_shape(name) == (3, 512, 512)
    for name in models.list_models(module=models):
        assert tracing.default_input_shape(name) == (3, 224, 224)


@pytest.mark.parametrize(
    "name", ["resnet50", "regnet_x_400mf", "inception_v3", "lraspp_mobilenet_v3_large"]
)
def test_models_are_built_without_weights(name: str) -> None:
    # RegNet computes its widths with tensors; Inception announces a change of its initialisation.
    parameters = [p for p in tracing.build(name).parameters() if p.dim() > 1]
    assert parameters
    assert {p.device.type for p in parameters} == {"meta"}


def test_input_shape_can_be_chosen() -> None:
    small, large = (published.graph("resnet18", (3, size, size)) for size in (64, 128))
    assert small.nodes[0].shape == (1, 3, 64, 64)
    assert large.nodes[0].shape == (1, 3, 128, 128)
