"""Branches and loops that are operators: what runs how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch._higher_order_ops.map import map as map_slices
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

from perfmodel.errors import TraceError
from perfmodel.tracing import control_flow, operators
from perfmodel.tracing.control_flow import BRANCH
from perfmodel.tracing.exported import from_exported
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.program import Step
from perfmodel.tracing.recording import Recorder
from perfmodel.tracing.tracing import trace
from perfmodel.vocabulary import families
from perfmodel.workload.workload import INPUT, OUTPUT

X = torch.zeros(5, 6)


class Branches(nn.Module):
    """One of two linear layers, of 6 to ``first`` and back, or of 6 to ``second`` and back."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(6, first), nn.Linear(first, 6))
        self.b = nn.Sequential(nn.Linear(6, second), nn.Linear(second, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.cond(x.sum() > 0, self.a.forward, self.b.forward, (x,))
        return y.relu()


@pytest.mark.parametrize(("first", "second"), [(7, 7), (3, 9), (9, 3)])
def test_the_dearer_branch_is_charged(first: int, second: int) -> None:
    workload = trace(Branches(first, second), X)
    most = max(first, second)
    assert workload.flops == 2 * 2 * 5 * 6 * most
    # Weights of the other branch are not read, and its kernels are not there.
    assert workload.weight_bytes("fp32") == 4 * (2 * 6 * most + most + 6)
    assert workload.kernels.operator == (
        "aten.sum", "aten.gt", "aten.linear", "aten.linear", "aten.relu",
    )  # fmt: skip
    assert workload.dependencies[-1] == (3,)
    assert workload.provenance["assumptions"] == BRANCH
    assert max(workload.accesses.tensor.tolist()) < len(workload.tensors.name)


class Recurrence(nn.Module):
    """A state of 8 that a matrix changes at each step; all states are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(8, 8))

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = torch.tanh(state @ self.w + x)
        return state, state + 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last, states = scan(self.step, torch.zeros(8), x)
        y: torch.Tensor = states.relu() + last
        return y


def test_a_scan_runs_its_body_once_for_each_slice() -> None:
    workload = trace(Recurrence(), torch.zeros(16, 8))
    assert workload.flops == 16 * 2 * 8 * 8
    operators_run = workload.kernels.operator
    assert operators_run.count("aten.matmul") == operators_run.count("aten.tanh") == 16
    assert len(set(workload.kernels.name)) == len(workload)
    # Each step reads the matrix and a slice of its input, and writes a slice of the states.
    assert workload.weight_bytes("fp32") == 4 * 64
    states = [i for i, name in enumerate(operators_run) if name == "aten.copy"]
    a = workload.accesses
    written = [int(a.elements[(a.kernel == i) & (a.role == OUTPUT)].sum()) for i in states]
    assert written == [8] * 16
    rectified = operators_run.index("aten.relu")
    assert int(a.elements[(a.kernel == rectified) & (a.role == OUTPUT)].sum()) == 16 * 8
    read = a.elements[(a.kernel == rectified) & (a.role != OUTPUT)]
    assert int(read.sum()) == 16 * 8


def test_a_scan_costs_what_the_loop_costs() -> None:
    class Unrolled(Recurrence):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, states = torch.zeros(8), []
            for row in x:
                state, out = self.step(state, row)
                states.append(out)
            y: torch.Tensor = torch.stack(states).relu() + state
            return y

    for steps in (1, 16):
        loop, scanned = (trace(m, torch.zeros(steps, 8)) for m in (Unrolled(), Recurrence()))
        assert scanned.flops == loop.flops
        assert scanned.vector_ops == loop.vector_ops


def test_a_map_runs_its_body_once_for_each_slice() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(6, 7)

        def forward(self, x: torch.Tensor) -> Any:
            return map_slices(lambda row: self.a(row), x)

    for slices in (1, 4):
        assert trace(Mapped(), torch.zeros(slices, 5, 6)).flops == slices * 2 * 5 * 6 * 7


class Until(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> Any:
        return while_loop(
            lambda i, x: x.sum() < 10, lambda i, x: (i + 1, self.a(x)), (torch.zeros(()), x)
        )


@pytest.mark.parametrize("count", [1, 10])
def test_a_loop_runs_as_often_as_the_module_says(count: int) -> None:
    module = Until()
    module.perfmodel_iterations = count
    workload = trace(module, X)
    assert workload.flops == count * 2 * 5 * 6 * 6
    assert f"{count} runs of its body" in workload.provenance["assumptions"]


def test_a_loop_of_unknown_length_says_how_to_give_it() -> None:
    with pytest.raises(TraceError, match="perfmodel_iterations of the module"):
        trace(Until(), X)
    module = Until()
    module.perfmodel_iterations = "ten"
    with pytest.raises(TraceError, match="must be a whole number, not 'ten'"):
        trace(module, X)


def test_a_formula_of_ones_own_comes_first() -> None:
    operators.register("higher_order.cond")(lambda call: Cost(families.LINEAR, flops=77))
    try:
        workload = trace(Branches(3, 9), X)
    finally:
        operators.unregister("higher_order.cond")
    assert workload.flops == 77


def test_a_program_holds_the_same_branches() -> None:
    module = Branches(3, 9)
    program = torch.export.export(module.eval(), (X,), strict=False)
    exported, traced = from_exported(program), trace(module, X)
    assert exported.flops == traced.flops
    assert exported.kernels.operator == traced.kernels.operator


def test_a_branch_whose_condition_is_known_is_taken() -> None:
    class Known(Branches):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = torch.tensor(1) > 0
            y: torch.Tensor = torch.cond(first, self.a.forward, self.b.forward, (x,))
            return y

    assert trace(Known(3, 9), X).flops == 2 * 2 * 5 * 6 * 3


class Condition(nn.Module):
    """A layer of 6 by 6 and a function of it and of the input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.a = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, *more: torch.Tensor) -> Any:
        return self.function(self.a, x, *more)


LAYER = 2 * 5 * 6 * 6


def test_branches_take_and_return_dicts() -> None:
    def either(a: nn.Module, x: torch.Tensor) -> Any:
        branches = (lambda d: {"y": a(d["x"])}, lambda d: {"y": d["x"] * 2})
        y = torch.cond(x.sum() > 0, *branches, ({"x": x},))["y"]
        return a(y)

    assert trace(Condition(either), X).flops == 2 * LAYER


def test_a_branch_may_return_what_it_was_given() -> None:
    def either(a: nn.Module, x: torch.Tensor) -> Any:
        y = torch.cond(x.sum() > 0, lambda x: x, lambda x: a(x), (x,))
        return x.relu() + y

    workload = trace(Condition(either), X)
    assert workload.flops == LAYER
    last = len(workload) - 1
    # The input is the input still, not what the other branch returned.
    assert workload.kernels.operator[last - 1] == "aten.relu"
    assert workload.dependencies[last - 1] == ()
    assert workload.dependencies[last] == (last - 2, last - 1)


def test_a_loop_whose_count_is_known_runs_as_often() -> None:
    def count(a: nn.Module, x: torch.Tensor, most: torch.Tensor) -> Any:
        start = torch.zeros((), dtype=torch.long)
        return while_loop(lambda i, x: i < most, lambda i, x: (i + 1, a(x)), (start, x))

    workload = trace(Condition(count), (X, torch.tensor(7)))
    assert workload.flops == 7 * LAYER
    assert workload.kernels.operator.count("aten.lt") == 8
    assert "more_0 = 7" in workload.provenance["values"]


def test_what_is_known_of_a_state_before_a_loop_decides_nothing_in_it() -> None:
    def steps(a: nn.Module, x: torch.Tensor) -> Any:
        def step(state: torch.Tensor, row: torch.Tensor) -> Any:
            state = torch.cond(state.sum() > 0, lambda s: a(s), lambda s: s * 2, (state,))
            return state + row, row + 0

        return scan(step, torch.zeros(6), x)

    assert trace(Condition(steps), X).flops == LAYER


@pytest.mark.parametrize(("count", "counted"), [(2, True), (3, False)])
def test_a_loop_is_counted_as_long_as_that_is_quick(
    count: int, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loop(a: nn.Module, x: torch.Tensor, most: torch.Tensor) -> Any:
        start = torch.zeros((), dtype=torch.long)
        return while_loop(lambda i, x: i < most, lambda i, x: (i + 1, a(x)), (start, x))

    monkeypatch.setattr(control_flow, "_MOST_RUNS", 3)
    module = Condition(loop)
    module.perfmodel_iterations = 7
    runs = count if counted else 7
    assert trace(module, (X, torch.tensor(count))).flops == runs * LAYER


def t(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def a_body(*shapes: tuple[int, ...], returned: int) -> SimpleNamespace:
    """A graph that adds its first argument to itself, and returns that so many times."""
    graph = fx.Graph()
    places = [graph.placeholder(f"p{i}") for i in range(len(shapes))]
    for place, shape in zip(places, shapes, strict=True):
        place.meta["val"] = t(*shape)
    made = []
    for _ in range(returned):
        made.append(graph.call_function(torch.ops.aten.add.Tensor, (places[0], places[-1])))
        made[-1].meta["val"] = t(*shapes[0])
    graph.output(tuple(made))
    return SimpleNamespace(body=fx.GraphModule(nn.Module(), graph))


def recorded_of(
    name: str, inner: SimpleNamespace, result: Any, *args: Any, **kwargs: Any
) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """Kernels of an operator that takes functions, and what a ReLU of its last result reads."""
    recorder = Recorder("model")
    for place, value in enumerate([*args, *kwargs.values()]):
        for tensor in value if isinstance(value, list) else [value]:
            recorder.declare(tensor, f"x{place}", "input")
    node = Step(args=args, kwargs=kwargs, meta={"val": result})
    assert control_flow.record(recorder, name, node, inner)  # type: ignore[arg-type]
    last = result[-1]
    recorder._node(  # type: ignore[arg-type]
        Step(target=torch.ops.aten.relu.default, args=(last,), meta={"val": t(*last.shape)}), None
    )
    found = recorder.finish(np.int64)
    a = found.accesses
    reads = (a.kernel == len(found.kernels.name) - 1) & (a.role == INPUT)
    rows = zip(a.tensor[reads].tolist(), a.elements[reads].tolist(), strict=True)
    return found.kernels.name[:-1], [(found.tensors.name[row], count) for row, count in rows]


BODY = SimpleNamespace(target="body")


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("wrap_with_set_grad_enabled", (True, BODY)),
        ("wrap_with_autocast", ("cpu", None, True, None, BODY)),
        ("wrap", (BODY,)),
        ("wrap_activation_checkpoint", (BODY,)),
        ("tag_activation_checkpoint", (BODY,)),
        ("invoke_subgraph", (BODY, "subgraph_0")),
    ],
)
def test_what_runs_a_function_once_is_that_function(name: str, before: Any) -> None:
    inner = a_body((5, 7), (5, 7), returned=1)
    found = recorded_of(name, inner, [t(5, 7)], *before, t(5, 7), t(5, 7))
    assert found == (("add",), [("add", 35)])


def test_an_operator_that_is_not_known() -> None:
    node = Step(args=(BODY,), meta={"val": []})
    assert not control_flow.record(Recorder("model"), "other", node, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_name", [False, True])
def test_a_scan_stores_what_is_no_state(by_name: bool) -> None:
    arguments = {"combine_fn": BODY, "init": [t(7)], "xs": [t(3, 7), t(3, 5)],
                 "additional_inputs": [t(2)]}  # fmt: skip
    inner = a_body((7,), (7,), (5,), (7,), returned=2)
    args, kwargs = ((), arguments) if by_name else (tuple(arguments.values()), {})
    kernels, read = recorded_of("scan", inner, [t(7), t(3, 7)], *args, **kwargs)
    run = ("add", "add#2", "copy")
    assert kernels == (*run, *(f"{name}@{i}" for i in (2, 3) for name in run))
    assert read == [("copy", 21)]


@pytest.mark.parametrize("name", ["map", "map_impl"])
def test_a_map_stores_all(name: str) -> None:
    inner = a_body((7,), (5,), (7,), returned=2)
    kernels, read = recorded_of(name, inner, [t(3, 7), t(3, 7)], BODY, [t(3, 7), t(3, 5)], [t(2)])
    run = ("add", "add#2", "copy", "copy#2")
    assert kernels == (*run, *(f"{name}@{i}" for i in (2, 3) for name in run))
    assert read == [("copy#2", 21)]


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_an_associative_scan_of_slices_takes_one_step_less(slices: int) -> None:
    inner = a_body((7,), (7,), (7,), returned=1)
    kernels, _ = recorded_of(
        "associative_scan", inner, [t(slices, 7)], BODY, [t(slices, 7)], [t(7)]
    )
    assert len(kernels) == 2 * (slices - 1)


def test_vmap_is_what_it_runs() -> None:
    layer = nn.Linear(6, 7)

    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m = layer

        def forward(self, x: torch.Tensor) -> Any:
            return torch.vmap(self.m)(x)

    assert trace(Mapped(), X).flops == 2 * 5 * 6 * 7
    program = torch.export.export(Mapped().eval(), (X,), strict=False)
    with pytest.raises(TraceError, match=r"inside torch\.vmap.* trace the module instead"):
        from_exported(program)


def test_flexible_attention_counts_all_scores() -> None:
    formula = operators.find("higher_order.flex_attention")
    assert formula is not None
    q, k, v = torch.empty(1, 4, 32, 16), torch.empty(1, 2, 20, 16), torch.empty(1, 2, 20, 8)
    cost = formula(Call({"query": q, "key": k, "value": v}, ((1, 4, 32, 8),)))
    assert cost.flops == 2 * 4 * 32 * 20 * (16 + 8)
    assert cost.gemm == (4, 32, 20, 16)
