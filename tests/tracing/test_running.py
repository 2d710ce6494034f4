"""A forward runs as it does eagerly, whatever goes in and comes out, and leaves no trace behind."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import random
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F

from perfmodel.errors import TraceError
from perfmodel.tracing.tracing import trace
from tests.networks import Function

X = torch.ones(5, 6)
FLOPS = 2 * 5 * 6 * 7


@dataclasses.dataclass
class Holder:
    x: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Options:
    factor: int


class Slots:
    __slots__ = ("x",)

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x


class Pair(NamedTuple):
    x: torch.Tensor
    y: int


class Attributes(dict):  # type: ignore[type-arg]
    __getattr__ = dict.__getitem__


class Colour(enum.Enum):
    RED = 1


def linear(function: Callable[..., Any], **parts: Any) -> nn.Module:
    module = Function(lambda *args, **kwargs: function(module.layer, *args, **kwargs), **parts)
    module.layer = nn.Linear(6, 7)
    return module


# What comes out


@pytest.mark.parametrize(
    "result",
    [
        Holder,
        Slots,
        lambda y: {"a": [y], "b": {1, 2}},
        lambda y: (y, np.float32(1), None, "text"),
        lambda y: torch.distributions.Categorical(logits=y, validate_args=False),
        lambda y: lambda: y,
        lambda _: None,
        lambda y: (part for part in y),
    ],
)
def test_the_output_does_not_matter(result: Callable[[torch.Tensor], Any]) -> None:
    assert trace(linear(lambda layer, x: result(layer(x))), X).flops == FLOPS


def test_what_leads_to_no_output_runs_all_the_same() -> None:
    def forward(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        layer(x)
        return x * 2

    workload = trace(linear(forward), X)
    assert workload.kernels.operator == ("aten.linear", "aten.mul")


# What goes in


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda layer, d: layer(d.x), (Holder(X),)),
        (lambda layer, d: layer(d.x), (Slots(X),)),
        (lambda layer, d: layer(d.x), (Attributes(x=X),)),
        (lambda layer, d: layer(d.x), (Pair(X, 1),)),
        (lambda layer, d: layer(d["x"]), (collections.UserDict(x=X),)),
        (lambda layer, d: layer(d[0]), (collections.deque([X]),)),
        (lambda layer, x, options: layer(x), (X, Options(2))),
        (lambda layer, x, number: layer(x), (X, np.int64(3))),
        (lambda layer, x, colour: layer(x), (X, Colour.RED)),
        (lambda layer, x, call: call(layer(x)), (X, nn.Identity())),
        (lambda layer, x, call: call(layer(x)), (X, torch.detach)),
        (lambda layer, x, generator: layer(x), (X, torch.Generator())),
    ],
)
def test_arguments_of_any_type(function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
    workload = trace(linear(function), inputs)
    assert workload.flops == FLOPS
    assert workload.batch == 5
    assert [spec.shape for spec in workload.inputs] == [(5, 6)]


def test_arguments_are_left_as_they_were() -> None:
    def forward(layer: nn.Module, table: dict[str, Any], holder: Holder) -> torch.Tensor:
        table["y"] = layer(table["x"])
        holder.x = table["y"] * 2
        return holder.x

    table, holder = {"x": X}, Holder(X)
    trace(linear(forward), (table, holder))
    assert list(table) == ["x"]
    assert table["x"] is X
    assert holder.x is X


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
def test_a_nested_tensor_is_one_line() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(3, 6), torch.zeros(2, 6)])
    with pytest.raises(TraceError, match=r"^Function: a nested tensor cannot be traced: pad it"):
        trace(linear(lambda layer, x: layer(x)), (nested,))


# What is left behind


class Keeps(nn.Module):
    """Keeps tensors and flags wherever a module can, and fails if asked to."""

    shared: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 7)
        self.table: dict[str, Any] = {"inner": {}}
        self.items: list[Any] = [1]
        self.names = {"a"}
        self.holder = Holder(torch.ones(1))
        self.slots = Slots(torch.ones(1))
        self.flag = False

    def forward(self, x: torch.Tensor, fail: bool = False) -> torch.Tensor:
        y: torch.Tensor = self.layer(x) + cached(7)
        self.table["inner"]["y"] = y
        self.shared["y"] = y
        self.items.append(y)
        self.names.add("b")
        self.holder.x = y
        self.slots.x = y
        self.flag = True
        self.layer.register_forward_hook(lambda *_: None)
        self.layer.register_buffer("more", y)
        random.random()
        torch.rand(1)
        if fail:
            raise ValueError("as asked")
        return y


@functools.lru_cache
def cached(size: int) -> torch.Tensor:
    return torch.arange(float(size))


@pytest.mark.parametrize("fail", [False, True])
def test_everything_is_put_back(fail: bool) -> None:
    cached.cache_clear()
    module = Keeps()
    tables = {name: dict(part.__dict__) for name, part in module.named_modules()}
    state = random.getstate()
    first = None
    for _ in range(2):
        if fail:
            with pytest.raises(TraceError, match="as asked"):
                trace(module, (X, True))
        else:
            workload = trace(module, X)
            assert first is None or workload == first
            first = workload
    assert {name: dict(part.__dict__) for name, part in module.named_modules()} == tables
    assert module.table == {"inner": {}}
    assert module.items == [1]
    assert module.names == {"a"}
    assert module.holder == Holder(torch.ones(1))
    assert type(module.slots.x) is torch.Tensor
    assert not module.flag
    assert not Keeps.shared
    assert not module.layer._forward_hooks
    assert not module.layer._buffers
    assert random.getstate() == state
    assert cached.cache_info().currsize == 0
    assert type(module(X)) is torch.Tensor
    Keeps.shared.clear()


class Cached(nn.Module):
    """Makes its bias once, as several networks of timm do, and keeps it where ``keep`` says."""

    def __init__(self, keep: str) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4, 9))
        self.register_buffer("index", torch.zeros(9, dtype=torch.long))
        self.keep, self.table, self.made = keep, {}, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.keep == "dict":
            if "bias" not in self.table:
                self.table["bias"] = self.bias[:, self.index]
            return x + self.table["bias"]
        if self.made is None:
            self.made = self.bias[:, self.index]
        return x + self.made


@pytest.mark.parametrize("keep", ["dict", "attribute"])
def test_what_is_made_once_is_no_part_of_a_run(keep: str) -> None:
    """The run that counts is one of many: a trace before the first equals one after it."""
    module, x = Cached(keep), torch.zeros(4, 9)
    first = trace(module, x)
    assert type(module(x)) is torch.Tensor
    assert trace(module, x) == first
    assert first.kernels.operator == ("aten.add",)


def test_what_grows_from_run_to_run_counts_as_the_first() -> None:
    class Grows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.past: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.past = x * 1 if self.past is None else torch.cat([self.past, x])
            return self.past

    assert trace(Grows(), X).kernels.operator == ("aten.mul",)


# Values that are there


def test_a_buffer_sets_a_size_and_a_count() -> None:
    def forward(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        x = x[:, : int(module.size)]
        for _ in range(int(module.times)):
            layer(x)
        return x

    module = linear(forward)
    module.register_buffer("size", torch.tensor(6))
    module.register_buffer("times", torch.tensor(3))
    workload = trace(module, torch.ones(5, 9))
    assert workload.flops == 3 * FLOPS
    assert workload.provenance["values"] == "size = 6; times = 3"


def packed(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Rows of several sequences, as those of images of several sizes come."""
    starts = F.pad(lengths.cumsum(0), (1, 0))
    return torch.cat([x[a:b].mean(0, keepdim=True) for a, b in zip(starts, starts[1:])])  # noqa: B905, RUF007


@pytest.mark.parametrize(
    ("function", "inputs", "flops"),
    [
        (
            lambda layer, x, n: [layer(part) for part in x.split(n.tolist())],
            (X, torch.tensor([2, 3])),
            FLOPS,
        ),
        (
            lambda layer, x, n: layer(x.repeat_interleave(n, 0)),
            (X, torch.tensor([1, 2, 1, 1, 1])),
            FLOPS * 6 // 5,
        ),
        (lambda layer, x, m: layer(x) if m.all() else x, (X, torch.ones(5, 99) > 0), FLOPS),
        (lambda layer, x, m: layer(x[m]), (X, torch.tensor([1, 0, 1, 0, 1]) > 0), FLOPS * 3 // 5),
        (lambda layer, x, n: layer(packed(x, n)), (X, torch.tensor([2, 3])), FLOPS * 2 // 5),
        (lambda layer, x, n: layer(x[: n.max()]), (X, torch.tensor([1, 4])), FLOPS * 4 // 5),
        (
            lambda layer, x, m: layer(x[m.nonzero()[:, 0]]),
            (X, torch.tensor([0, 1, 1])),
            FLOPS * 2 // 5,
        ),
        (lambda layer, x, n: layer(x[: n.add_(1)]), (X, torch.tensor(3)), FLOPS * 4 // 5),
    ],
)
def test_small_integers_keep_their_values(
    function: Callable[..., Any], inputs: tuple[Any, ...], flops: int
) -> None:
    before = inputs[1].clone()
    workload = trace(linear(function), inputs)
    assert workload.flops == flops
    assert workload.provenance["values"].startswith("args_1 = ")
    assert torch.equal(inputs[1], before)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.ones(5), "mask"),  # no integers
        (torch.arange(65), "mask"),  # too many
        (torch.arange(3), "input_ids"),  # tokens
        (torch.arange(3, device="meta"), "mask"),  # not there
    ],
)
def test_other_values_are_not_there(value: torch.Tensor, named: str) -> None:
    module = linear(lambda layer, x, **kwargs: layer(x) if (kwargs[named] > 1).any() else x)
    with pytest.raises(TraceError, match="depends on the values of a tensor"):
        trace(module, X, kwargs={named: value})


def test_a_value_that_was_overwritten_is_not_there() -> None:
    def forward(layer: nn.Module, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        n.copy_(x.sum())
        return layer(x[: int(n)])

    with pytest.raises(TraceError, match="depends on the values of a tensor"):
        trace(linear(forward), (X, torch.tensor(3)))


def test_values_that_decide_nothing_are_not_noted() -> None:
    workload = trace(linear(lambda layer, x, n: layer(x) * n), (X, torch.tensor(3)))
    assert "values" not in workload.provenance


# As it runs


def test_the_branch_for_export_is_not_taken() -> None:
    def forward(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting() or torch.compiler.is_compiling():
            return layer(x).clone()
        return layer(x)

    assert trace(linear(forward), X).kernels.operator == ("aten.linear",)


def test_what_was_compiled_runs_as_it_was_written() -> None:
    inner = linear(lambda layer, x: layer(x).relu())
    module = Function(lambda x: torch.compile(inner)(x) + 1, inner=inner)
    assert trace(module, X).kernels.operator == ("aten.linear", "aten.relu", "aten.add")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_vmap_and_scripted_parts_are_run() -> None:
    assert trace(linear(lambda layer, x: torch.vmap(layer)(x)), X).flops == FLOPS
    scripted = Function(lambda x: scripted.part(x), part=torch.jit.script(nn.Linear(6, 7)))
    assert trace(scripted, X).flops == FLOPS


def test_casts_that_autocast_makes_are_left_out() -> None:
    def forward(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return layer(x)

    workload = trace(linear(forward), X)
    assert workload.kernels.operator == ("aten.linear",)
    assert workload.weight_bytes("fp32") == 4 * (6 * 7 + 7)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.mix(self.norm(x)).softmax(-1)


FAMILIES: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        ),
        torch.ones(2, 3, 8, 8),
    ),
    "attention": (Block, torch.ones(2, 5, 8)),
    "recurrence": (lambda: nn.LSTM(8, 4, batch_first=True), torch.ones(2, 5, 8)),
    "mixing": (
        lambda: Function(lambda x: torch.cat([x.mT @ x, x[:, :8].exp()], 1).sum(-1).sigmoid()),
        torch.ones(2, 8, 8),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_kernels_are_those_that_the_profiler_sees(family: str) -> None:
    """Each kernel of a trace is an event of the profiler in a run, in the same order."""
    build, x = FAMILIES[family]
    module = build().eval()
    traced = [
        operator.removeprefix("aten.").rstrip("_") for operator in trace(module, x).kernels.operator
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), torch.profiler.profile() as profile:
            module(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    events = sorted(profile.events(), key=lambda event: event.time_range.start)
    # Calls from Python only, not what an operator calls in turn.
    seen = [e.name.removeprefix("aten::").rstrip("_") for e in events if e.cpu_parent is None]
    counts = collections.Counter(seen)
    assert {name: counts[name] for name in traced} == collections.Counter(traced)
    kernels = [name for name in seen if name in traced]
    assert kernels == traced


# What the message says


def optional() -> None:
    """As libraries say it that wrap what they may do without."""
    raise RuntimeError("Rearrange needs (No module named 'not_there.layers')")


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (lambda layer, x: layer(x.cuda()), "asks for a device that is not here"),
        (lambda layer, x: layer(x.to("cuda")), "asks for a device that is not here"),
        (lambda layer, x: layer(torch.from_numpy(x.numpy())), "NumPy needs values"),
        (lambda layer, x: __import__("not_there"), "Install the package not_there"),
        (lambda layer, x: optional(), "Install the package not_there"),
        (lambda layer, x: layer(x[:, :5]), "Check number, names, shapes and dtypes"),
    ],
)
def test_the_advice_fits_the_cause(function: Callable[..., Any], advice: str) -> None:
    with pytest.raises(TraceError, match=advice) as caught:
        trace(linear(function), X)
    assert "\n" not in str(caught.value)
    assert ("Check number" in advice) == ("Check number" in str(caught.value))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
def test_a_sparse_weight_is_named() -> None:
    module = Function(lambda x: module.weight @ x, weight=torch.eye(5).to_sparse_csr())
    with pytest.raises(TraceError, match=r"a sparse tensor .*make it dense"):
        trace(module, X)


def test_a_module_is_found_again_after_a_copy() -> None:
    """A trace stores nothing in the module that would be copied or pickled with it."""
    module = linear(lambda layer, x: layer(x))
    trace(module, X)
    assert copy.copy(module).__dict__.keys() == module.__dict__.keys()


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel")
def test_a_converted_module_is_one_line() -> None:
    module = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(6, 7)), {nn.Linear}, torch.qint8
    )
    with pytest.raises(TraceError, match=r"^Sequential: 0 is a quantised .*trace the float model"):
        trace(module, X)


class Tables:
    """A class beside the module, with a table and names that a forward fills."""

    table: ClassVar[dict[str, Any]] = {}
    last: Any = None


SEEN: Any = None


def test_what_a_file_and_its_classes_hold_is_left_as_it_was() -> None:
    class Leaves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            global SEEN
            SEEN = Tables.last = x
            Tables.new = x  # type: ignore[attr-defined]
            return x + Tables.table.setdefault("x", x * 2)

    Leaves.__module__ = __name__
    trace(Leaves(), X)
    assert (Tables.table, Tables.last, SEEN, hasattr(Tables, "new")) == ({}, None, None, False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.einsum("abc->cab", x),
        lambda x: torch.broadcast_tensors(x, x[:1])[1],
        lambda x: torch.atleast_2d(x),
        lambda x: x.type_as(x),
    ],
)
def test_a_view_is_one_in_every_trace(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """PyTorch remembers results without contents, and forgets that one was a view."""
    module, x = Function(lambda x: function(x) * 2), torch.ones(2, 3, 4)
    counts = [collections.Counter(trace(module, x).kernels.operator) for _ in range(3)]
    assert counts == [{"aten.mul": 1}] * 3


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
def test_an_observer_of_quantisation_is_named() -> None:
    fake = torch.ao.quantization.FakeQuantize()
    with pytest.raises(TraceError, match=r"switch observers off .*disable_observer"):
        trace(fake, X)
    fake.disable_observer()
    assert trace(fake, X).flops == 0


def test_a_large_mask_that_the_forward_makes_itself_is_known() -> None:
    def masked(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        rows = torch.ones(512, dtype=torch.bool)
        allowed = rows[:, None] & rows[None, :]
        return layer(x) if allowed.all() else x

    assert trace(linear(masked), X).flops == FLOPS


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the kind that libraries have: the cache is in a closure."""
    cached = functools.lru_cache(maxsize=8)(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return cached(*args)

    return call


class Remembers(nn.Module):
    @remembered
    def scale(self, length: int) -> torch.Tensor:
        return torch.ones(length)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale(x.shape[-1])


def test_a_cache_inside_a_decorator_is_emptied() -> None:
    module = Remembers()
    first = trace(module, X)
    assert type(module(X)) is torch.Tensor
    # What is made once is no part of a run, whether a forward has made it or the trace did.
    assert first.kernels.operator == ("aten.mul",)
    assert trace(module, X).to_dict() == first.to_dict()


class Chosen(nn.Module):
    """Rows that a buffer names."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("rows", torch.arange(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)[self.rows]


def test_a_buffer_without_contents_has_a_shape_alone() -> None:
    with FakeTensorMode():
        empty = Chosen()
    x = torch.empty(4, 8)
    assert trace(empty, x).flops == trace(Chosen(), x).flops == 2 * 4 * 8 * 8
