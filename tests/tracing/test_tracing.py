from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import perfmodel
from perfmodel.tracing.tracing import trace
from perfmodel.tracing.version import TRACER_VERSION
from perfmodel.workload.workload import KINDS, InputSpec, Workload
from tests.networks import Function, accesses, touched, trace_function

X = torch.ones(2, 4, 6)


class Residual(nn.Module):
    """A convolution, an in-place norm and activation, an in-place residual sum, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x))
        y += x
        y = self.act(y)
        y = self.act(y * 2)
        return self.head(self.drop(y.mean((2, 3))))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.embed(ids) * mask[..., None] * scale


# Kernels and their names


def test_kernels_are_the_operators_in_order_named_by_module() -> None:
    workload = trace(Residual(), torch.ones(2, 4, 6, 6))
    assert workload.kernels.name == (
        "conv/conv2d",
        "norm/batch_norm",
        "add",
        "act/relu",
        "mul",
        "act/relu#2",
        "mean",
        "head/linear",
    )
    assert workload.kernels.operator[2:4] == ("aten.add", "aten.relu")
    assert len(set(workload.kernels.name)) == len(workload)


def test_an_in_place_operator_reads_and_writes_one_tensor() -> None:
    workload = trace(Residual(), torch.ones(2, 4, 6, 6))
    elements = 2 * 4 * 6 * 6
    assert accesses(workload, 2) == {
        ("input", "norm/batch_norm"): elements,
        ("input", "x"): elements,
        ("output", "norm/batch_norm"): elements,
    }
    assert accesses(workload, 3) == {
        ("input", "norm/batch_norm"): elements,
        ("output", "norm/batch_norm"): elements,
    }
    assert workload.dependencies[4] == (1, 2, 3)


def test_each_tensor_has_one_row_with_its_kind() -> None:
    workload = trace(Residual(), torch.ones(2, 4, 6, 6))
    kinds = {
        name: KINDS[kind]
        for name, kind in zip(workload.tensors.name, workload.tensors.kind.tolist(), strict=True)
    }
    assert {name for name, kind in kinds.items() if kind == "weight"} == {
        "conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean",
        "norm.running_var", "head.weight", "head.bias",
    }  # fmt: skip
    assert {name for name, kind in kinds.items() if kind == "input"} == {"x"}
    assert len(kinds) == len(workload.tensors.name)


# Views


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "view": lambda x: x.view(8, 6),
    "reshape": lambda x: x.reshape(8, 6),
    "reshape transposed": lambda x: x.transpose(0, 1).reshape(8, 6),
    "reshape to other strides": lambda x: x.transpose(1, 2).reshape(2, 3, 2, 4),
    "flatten": lambda x: x.flatten(1),
    "flatten transposed": lambda x: x.mT.flatten(1),
    "contiguous": lambda x: x.contiguous(),
    "contiguous transposed": lambda x: x.mT.contiguous(),
    "channels last": lambda x: x[..., None].contiguous(memory_format=torch.channels_last),
    "to the same type": lambda x: x.to(torch.float32),
    "to another type": lambda x: x.to(torch.float64),
    "type_as": lambda x: x.type_as(x),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "identity": nn.Identity(),
    "expand": lambda x: x[:1].expand(3, 4, 6),
    "expand and reshape": lambda x: x[:1].expand(3, 4, 6).reshape(12, 6),
    "pad by nothing": lambda x: F.pad(x, (0, 0)),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split(1, 1)[2],
    "unbind": lambda x: x.unbind(0)[1],
    "tensor_split": lambda x: x.tensor_split(2, 1)[0],
    "select": lambda x: x[1],
    "slice with a step": lambda x: x[:, ::2],
    "unsqueeze": lambda x: x[None],
    "squeeze": lambda x: x[:1].squeeze(0),
    "squeeze_": lambda x: x[:1].detach().squeeze_(0),
    "permute": lambda x: x.permute(2, 0, 1),
    "movedim": lambda x: x.movedim(0, 2),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "view as complex": lambda x: torch.view_as_complex(x.view(2, 4, 3, 2)),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[0, 0], indexing="ij")[0],
    "ravel": lambda x: x.ravel(),
    "diagonal": lambda x: x[0].diagonal(),
    "clone": lambda x: x.clone(),
    "repeat": lambda x: x.repeat(1, 2, 1),
    "roll": lambda x: x.roll(1, 0),
    "index": lambda x: x[:, [0, 1]],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_kernel_is_recorded_exactly_where_pytorch_copies(name: str) -> None:
    result = VIEWS[name](X)
    copies = result.untyped_storage().data_ptr() != X.untyped_storage().data_ptr()
    workload = trace_function(VIEWS[name], X)
    assert len(workload) == copies
    assert set(workload.family_names()) <= {"data_movement"}
    assert workload.vector_ops == 0


def test_a_view_touches_only_its_own_distinct_elements() -> None:
    """A slice its slice, an expanded tensor what is stored, two views at most the whole."""
    assert touched(trace_function(lambda x: x[:, 1:3].relu(), X))["input"] == 2 * 2 * 6
    assert touched(trace_function(lambda x: x[:1].expand(5, 4, 6).relu(), X)) == {
        "weight": 0, "input": 24, "output": 120,
    }  # fmt: skip
    assert touched(trace_function(lambda x: x * x, X))["input"] == 48
    assert touched(trace_function(lambda x: x[:, :2] * x[:, 2:], X))["input"] == 48
    assert touched(trace_function(lambda x: x[:, :3] * x[:, 1:], X))["input"] == 48
    assert touched(trace_function(lambda x: x.unfold(2, 3, 1).relu(), X))["input"] == 48


def test_a_fused_projection_is_read_in_three_parts() -> None:
    """Queries, keys and values are views of one tensor, which is read once in all."""
    workload = trace_function(
        lambda x: F.scaled_dot_product_attention(
            *x.unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
        ),
        torch.ones(2, 5, 24),
    )
    assert accesses(workload)[("input", "args_0")] == 2 * 5 * 24


# Weights, constants and buffers


def test_constants_of_the_source_are_weights_and_copying_them_is_free() -> None:
    workload = trace_function(lambda x: x + torch.tensor([1.0, 2, 3, 4, 5, 6]), X)
    assert workload.kernels.operator == ("aten.add",)
    assert touched(workload) == {"weight": 6, "input": 48, "output": 48}


def test_a_tensor_attribute_is_a_weight() -> None:
    module = Function(lambda x: x * module.table, table=torch.ones(6))
    workload = trace(module, X)
    assert accesses(workload)[("weight", "table")] == 6
    assert workload.parameters == 0


def test_a_buffer_may_be_written() -> None:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("cache", torch.zeros(8, 6))
            self.register_buffer("steps", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.cache[2:4].copy_(x)
            self.steps += 1
            return self.cache[:4].sum(0)

    module = Cache()
    workload = trace(module, torch.ones(2, 6))
    assert workload.kernels.operator == ("aten.copy", "aten.add", "aten.sum")
    assert accesses(workload, 0) == {("input", "x"): 12, ("output", "cache"): 12}
    assert accesses(workload, 2)[("weight", "cache")] == 24
    assert module.cache.sum() == 0


def test_integer_tensors_keep_their_size() -> None:
    workload = trace_function(lambda i: i + 1, torch.zeros(4, dtype=torch.int32))
    assert workload.tensors.floating.tolist() == [False, False]
    assert workload.tensors.itemsize.tolist() == [4, 4]


# Inputs


def test_inputs_by_position_and_by_name_give_the_same_workload() -> None:
    ids, mask = torch.zeros(3, 5, dtype=torch.int64), torch.ones(3, 5)
    module = TwoInputs()
    by_position = trace(module, (ids, mask))
    assert by_position == trace(module, [ids], kwargs={"mask": mask})
    assert by_position == trace(module, kwargs={"ids": ids, "mask": mask})
    assert by_position.inputs == (
        InputSpec("ids", (3, 5), "int64"),
        InputSpec("mask", (3, 5), "float32"),
    )
    assert by_position.batch == 3
    assert by_position.name == "TwoInputs"
    assert trace(module, (ids, mask, 2.0), name="other", batch=1).batch == 1


def test_nested_inputs() -> None:
    workload = trace_function(lambda pair, more: pair[0] + pair[1] + more["z"], (X, X), {"z": X[0]})
    assert [spec.shape for spec in workload.inputs] == [(2, 4, 6), (2, 4, 6), (4, 6)]
    # The same tensor twice is one tensor.
    assert touched(workload, 0)["input"] == 48


def test_a_strided_input_is_traced_as_it_lies() -> None:
    image = torch.ones(1, 4, 6, 6).contiguous(memory_format=torch.channels_last)
    flatten = Function(lambda x: x.permute(0, 2, 3, 1).reshape(6, 24))
    assert len(trace(flatten, image)) == 0
    assert len(trace(flatten, image.contiguous())) == 1


# Devices and state


def attention_block() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)


@pytest.mark.parametrize(
    ("build", "shape"),
    [(Residual, (2, 4, 6, 6)), (attention_block, (2, 5, 16)), (lambda: nn.LSTM(16, 8), (2, 5, 16))],
)
def test_meta_and_cpu_give_the_same_workload(build: Callable[[], nn.Module], shape: Any) -> None:
    with torch.device("meta"):
        on_meta = build()
    on_cpu = build()
    workload = trace(on_cpu, torch.ones(shape))
    assert workload == trace(on_meta, torch.empty(shape, device="meta"))
    assert workload == trace(on_meta, torch.ones(shape))
    with torch.inference_mode():
        assert workload == trace(on_cpu, torch.ones(shape))


def test_a_module_on_meta_may_make_tensors_on_the_cpu() -> None:
    module = Function(lambda x: x + torch.arange(6.0), layer=nn.Linear(2, 2, device="meta"))
    assert trace(module, X.to("meta")).kernels.operator == ("aten.arange", "aten.add")


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(Residual(), nn.Dropout(), nn.BatchNorm1d(3)).train()
    module[0].norm.eval()
    module[0].conv.weight.requires_grad_(False)
    before = copy.deepcopy(module)
    tensors = [id(t) for t in (*module.parameters(), *module.buffers())]
    fast_path = torch.backends.mha.get_fastpath_enabled()

    trace(module, torch.ones(2, 4, 6, 6))
    with pytest.raises(perfmodel.TraceError):
        trace(module, torch.ones(2, 5, 6, 6))

    assert [m.training for m in module.modules()] == [m.training for m in before.modules()]
    assert [id(t) for t in (*module.parameters(), *module.buffers())] == tensors
    for (name, value), old in zip(
        module.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(value, old), name
    assert torch.backends.mha.get_fastpath_enabled() == fast_path
    module(torch.ones(2, 4, 6, 6)).sum().backward()
    assert module[0].head.weight.grad is not None


def test_what_the_forward_keeps_is_forgotten() -> None:
    class Remembers(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.last = x * 2
            return self.last + 1

    module = Remembers()
    assert len(trace(module, X)) == 2
    assert not hasattr(module, "last")


def test_training_mode_does_not_show() -> None:
    module = Residual()
    assert trace(module.train(), torch.ones(2, 4, 6, 6)) == trace(
        module.eval(), torch.ones(2, 4, 6, 6)
    )


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_gradient_blocks_inside_the_forward_are_looked_into(context: Any) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with context():
            y = (x * 2).view(8, 6)
        return y.mT + 1

    workload = trace_function(forward, X)
    assert workload.kernels.operator == ("aten.mul", "aten.add")
    assert workload.dependencies == ((), (0,))


def test_autocast_inside_the_forward_is_looked_into() -> None:
    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ w
        return y + 1

    workload = trace_function(forward, torch.ones(2, 3), torch.ones(3, 3))
    assert workload.kernels.operator == ("aten.matmul", "aten.add")
    assert workload.dependencies == ((), (0,))


# The whole


def test_doubling_the_batch_doubles_the_work_and_leaves_the_weights() -> None:
    one, two = (trace(Residual(), torch.ones(batch, 4, 6, 6)) for batch in (1, 2))
    assert two.flops == 2 * one.flops
    assert two.parameters == one.parameters
    assert two.weight_bytes("fp32") == one.weight_bytes("fp32")


def test_nothing_is_allocated_for_the_weights() -> None:
    with torch.device("meta"):
        module = nn.Linear(10**6, 10**7, bias=False)  # 40 TB
    workload = trace(module, torch.empty(1, 10**6, device="meta"))
    assert workload.flops == 2 * 10**13
    assert workload.parameters == 10**13


def test_provenance_and_the_public_name() -> None:
    workload = perfmodel.trace(nn.ReLU(), X)
    assert isinstance(workload, Workload)
    assert workload.provenance["tracer"] == str(TRACER_VERSION)
    assert workload.provenance["torch"] == torch.__version__


def test_a_traced_workload_can_be_stored() -> None:
    workload = trace(attention_block(), torch.ones(2, 5, 16))
    assert Workload.from_dict(workload.to_dict()) == workload
