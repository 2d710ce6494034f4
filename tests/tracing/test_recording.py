"""The tables that a recorder makes of steps: what each call touches, and what it is called."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch.export.graph_signature import InputKind

from perfmodel.errors import TraceError, UnmodelledOperator
from perfmodel.tracing import formula
from perfmodel.tracing.formula import Call, Cost
from perfmodel.tracing.overloads import operator_name, overload
from perfmodel.tracing.program import Program, Step, TensorSpec
from perfmodel.tracing.recording import Recorder, Recording, record
from perfmodel.tracing.repeating import Mark
from perfmodel.vocabulary import families
from perfmodel.workload.workload import INPUT, KINDS, OUTPUT, WEIGHT

aten = torch.ops.aten


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


class Steps:
    """The steps of a forward, made by running operators on tensors without contents."""

    def __init__(self) -> None:
        self.nodes: list[Step] = []
        self.specs: list[TensorSpec] = []

    def input(self, value: Any, name: str, kind: InputKind = InputKind.USER_INPUT) -> Any:
        own = name if kind is InputKind.USER_INPUT else ""
        self.nodes.append(Step(name=own, op="placeholder", meta={"val": value}))
        self.specs.append(TensorSpec(kind, name))
        return value

    def weight(self, value: Any, name: str) -> Any:
        return self.input(value, name, InputKind.PARAMETER)

    def call(self, func: Any, *args: Any, path: str = "", **kwargs: Any) -> Any:
        return self.note(func, func(*args, **kwargs), *args, path=path, **kwargs)

    def note(self, func: Any, result: Any, *args: Any, path: str = "", **kwargs: Any) -> Any:
        stack = {"outer": ("outer", "M"), "inner": (path, "M")} if path else {}
        meta = {"val": result, "nn_module_stack": stack}
        self.nodes.append(Step(target=func, args=args, kwargs=kwargs, meta=meta))
        return result

    def record(self, **options: Any) -> Recording:
        options = {"allow_unmodelled": False, **options}
        return record(Program(self.nodes, self.specs), "model", **options)


def touched(recording: Recording, kernel: int = -1) -> list[tuple[int, str, int]]:
    """Role, name and elements of what a kernel touches."""
    a = recording.accesses
    kernel %= len(recording.kernels.name)
    rows = zip(a.kernel.tolist(), a.role.tolist(), a.tensor.tolist(), a.elements.tolist(),
               strict=True)  # fmt: skip
    names = recording.tensors.name
    return [(role, names[row], elements) for at, role, row, elements in rows if at == kernel]


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A registry to put formulas into."""
    monkeypatch.setattr(formula, "_FORMULAS", dict(formula._FORMULAS))
    return formula._FORMULAS


def test_kinds_of_tensors(steps: Steps) -> None:
    kinds = {
        "parameter": InputKind.PARAMETER,
        "buffer": InputKind.BUFFER,
        "constant": InputKind.CONSTANT_TENSOR,
        "cache": InputKind.USER_INPUT,
        "x": InputKind.USER_INPUT,
    }
    values = [steps.input(t(3), name, kind) for name, kind in kinds.items()]
    steps.input(None, "none")
    steps.input(values[0][:2], "tied", InputKind.PARAMETER)  # of the same storage
    total = steps.call(aten.cat.default, values)
    steps.call(aten.relu.default, total)
    found = steps.record(state=frozenset({"cache", "parameter"}))
    assert found.tensors.name == (*kinds, "cat", "relu")
    names = [KINDS[kind] for kind in found.tensors.kind.tolist()]
    assert names == ["weight", "weight", "weight", "state", "input", "activation", "activation"]
    roles = [role for role, *_ in touched(found, 0)]
    assert roles == [WEIGHT, WEIGHT, WEIGHT, INPUT, INPUT, OUTPUT]


@pytest.mark.parametrize(
    ("dtype", "itemsize", "floating"),
    [
        (torch.float64, 8, True),
        (torch.bfloat16, 2, True),
        (torch.float8_e4m3fn, 1, False),
        (torch.int8, 1, False),
        (torch.int64, 8, False),
        (torch.complex64, 8, False),
    ],
)
def test_sizes_of_elements(steps: Steps, dtype: torch.dtype, itemsize: int, floating: bool) -> None:
    x = steps.input(t(5, 7, dtype=dtype), "x")
    steps.call(aten.clone.default, x[1:3])
    found = steps.record()
    assert found.tensors.itemsize.tolist() == [itemsize] * 2
    assert found.tensors.floating.tolist() == [floating] * 2
    # Of the input all is there, and two rows are read.
    assert found.tensors.elements.tolist() == [35, 14]
    assert touched(found) == [(INPUT, "x", 14), (OUTPUT, "clone", 14)]


def test_labels_are_module_and_operator_numbered(steps: Steps) -> None:
    x = steps.input(t(3), "x")
    for path in ("", "a.b", "a.b", "", "c", "a.b"):
        steps.call(aten.relu.default, x, path=path)
    steps.call(aten.topk.default, x, 2)
    found = steps.record()
    labels = ("relu", "a.b/relu", "a.b/relu#2", "relu#2", "c/relu", "a.b/relu#3", "topk")
    assert found.kernels.name == labels
    assert found.tensors.name == ("x", *labels, "topk:1")
    assert found.kernels.operator == ("aten.relu",) * 6 + ("aten.topk",)
    families_ = [families.FAMILIES[code] for code in found.kernels.family.tolist()]
    assert families_ == ["activation"] * 6 + ["reduction"]
    assert found.kernels.vector_ops.tolist() == [3] * 6 + [3]
    assert found.kernels.gemm.tolist() == [[0, 0, 0, 0]] * 7


def test_what_a_view_touches(steps: Steps) -> None:
    x = steps.input(t(5, 7), "x")
    steps.call(aten.add.Tensor, x, x)
    steps.call(aten.add.Tensor, x[:3], x[2:])  # together more than there is
    steps.call(aten.add.Tensor, x[:1], x[4:])
    steps.call(aten.relu.default, x.view(torch.int16)[:, :3])  # as another type: half of each
    steps.call(aten.relu.default, x[:, :1].expand(5, 7))
    steps.call(aten.cat.default, [x[:0], x[:2]])
    found = steps.record()
    reads = [sum(row[2] for row in touched(found, i) if row[0] == INPUT) for i in range(6)]
    assert reads == [35, 35, 14, 15 * 2 // 4, 5, 14]
    assert found.tensors.name == ("x", "add", "add#2", "add#3", "relu", "relu#2", "cat")


def test_nothing_is_no_access(steps: Steps) -> None:
    x = steps.input(t(0, 7), "x")
    steps.call(aten.add.Tensor, x, x)
    found = steps.record()
    assert (found.kernels.name, found.tensors.name) == (("add",), ())
    assert touched(found) == []


def test_a_formula_may_say_that_less_is_touched(steps: Steps, own: Any) -> None:
    x, w = steps.input(t(5, 7), "x"), steps.weight(t(5, 7), "w")
    seen: list[Call] = []

    def less(call: Call) -> Cost:
        seen.append(call)
        return Cost("linear", 11, 13, (1, 2, 3, 5), {"self": 3, "other": 4}, writes=2, note="less")

    own["aten.add"] = less
    steps.call(aten.add.Tensor, x, x)
    steps.call(aten.add.Tensor, x, w)
    steps.call(aten.add_.Tensor, x, x[:1])
    steps.call(aten.add.out, x, w, out=steps.input(t(5, 7), "out"))
    found = steps.record()
    # The same view twice is read once, as far as it is read most.
    assert touched(found, 0) == [(INPUT, "x", 4), (OUTPUT, "add", 2)]
    assert touched(found, 1) == [(INPUT, "x", 3), (WEIGHT, "w", 4), (OUTPUT, "add#2", 2)]
    assert touched(found, 2) == [(INPUT, "x", 3 + 4), (OUTPUT, "x", 2)]
    assert touched(found, 3) == [(INPUT, "x", 3), (WEIGHT, "w", 4), (OUTPUT, "out", 2)]
    assert [call.in_place for call in seen] == [False, False, True, False]
    assert [call.weights for call in seen] == [set(), {"other"}, set(), {"other"}]
    assert [call.results for call in seen] == [((5, 7),)] * 4
    assert found.kernels.flops.tolist() == [11] * 4
    assert found.kernels.gemm.tolist() == [[1, 2, 3, 5]] * 4
    assert found.notes == ("less",)


@pytest.mark.parametrize(("first", "second"), [(3, 5), (5, 3)])
def test_the_same_view_is_read_as_far_as_it_is_read_most(
    steps: Steps, own: Any, first: int, second: int
) -> None:
    own["aten.add"] = lambda call: Cost("linear", reads={"self": first, "other": second})
    x = steps.input(t(7), "x")
    steps.call(aten.add.Tensor, x, x)
    assert touched(steps.record())[0] == (INPUT, "x", 5)


def test_each_placeholder_is_something(steps: Steps) -> None:
    steps.input(t(3), "x")
    steps.specs.append(TensorSpec(InputKind.USER_INPUT, "y"))
    with pytest.raises(ValueError, match="is longer than argument"):
        steps.record()


W = t(40, 7)


def a_pass(steps: Steps, state: torch.Tensor, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two kernels of one name in one module and one of another; the state, and what is kept."""
    mixed = steps.call(aten.add.Tensor, state, W[place], path="cell")
    entry = steps.call(aten.add.Tensor, mixed, W[0], path="cell")
    return steps.call(aten.topk.default, mixed, 7)[0], entry


@pytest.mark.parametrize("copies", [1, 2, 9])
def test_copies_of_a_pass_are_as_if_all_were_recorded(copies: int) -> None:
    """Four passes, copies of the last, and one more; their entries and the state are read then."""
    recordings = []
    for unrolled in (True, False):
        steps = Steps()
        steps.weight(W, "w")
        state, entries = steps.input(t(7), "x"), []
        steps.call(aten.add.Tensor, state, state, path="cell")
        for place in range(1, 5):
            steps.nodes.append(Step(op="mark", target=Mark()))
            state, entry = a_pass(steps, state, place)
            entries.append(entry)
        if unrolled:
            for place in range(5, 5 + copies):
                state, entry = a_pass(steps, state, place)
                entries.append(entry)
        else:
            others = tuple(t(7) for _ in range(copies))
            mark = Mark(copies, "copied", ((entries[-1], others),))
            steps.nodes.append(Step(op="mark", target=mark))
            entries[-1:-1] = others
        state, entry = a_pass(steps, state, 5 + copies)
        steps.call(aten.cat.default, [*entries, entry, state])
        recordings.append(steps.record())
    one, other = recordings
    assert (one.notes, other.notes) == ((), ("copied",))
    for part in ("tensors", "kernels", "accesses"):
        columns = getattr(one, part), getattr(other, part)
        for field in fields(columns[0]):
            left, right = (getattr(table, field.name) for table in columns)
            assert np.array_equal(left, right), field.name


def test_passes_that_differ_are_no_copies(steps: Steps) -> None:
    state = steps.input(t(7), "x")
    for place in range(1, 5):
        steps.nodes.append(Step(op="mark", target=Mark()))
        state, _ = a_pass(steps, state, place)
    steps.call(aten.relu.default, state)
    steps.nodes.append(Step(op="mark", target=Mark(3, "copied", ())))
    with pytest.raises(TraceError, match="passes of a loop differ that called the same"):
        steps.record()


def test_what_is_no_kernel(steps: Steps) -> None:
    x = steps.input(t(5, 7), "x")
    same = steps.note(aten.dropout.default, t(5, 7), x, 0.5, False)
    made = steps.call(aten.empty_like.default, x, path="a")
    steps.call(aten.copy_.default, x, x)
    steps.call(aten.copy_.default, x, x.view(5, 7))
    steps.call(aten.view.default, x, [35])
    steps.call(aten.sym_size.int, x, 0)
    steps.call(aten.add.Tensor, same, made)
    steps.call(aten.copy_.default, x, x.t().reshape(5, 7))
    found = steps.record()
    assert found.kernels.name == ("add", "copy")
    assert touched(found, 0) == [(INPUT, "x", 35), (INPUT, "a/empty_like", 35), (OUTPUT, "add", 35)]
    assert KINDS[found.tensors.kind.tolist()[1]] == "activation"


def test_operators_without_a_formula(steps: Steps, own: Any) -> None:
    del own["aten.add"]
    x = steps.input(t(3), "x")
    for path in ("", "a", "a"):
        steps.note(aten.special_hermite_polynomial_h.default, t(3), x, x, path=path)
    steps.call(aten.relu.default, x)
    with pytest.raises(UnmodelledOperator) as caught:
        steps.record()
    places = {"aten.special_hermite_polynomial_h": ["the top level", "a", "a"]}
    assert caught.value.operators == places
    found = steps.record(allow_unmodelled=True)
    assert found.unmodelled == tuple(places)
    assert [families.FAMILIES[c] for c in found.kernels.family.tolist()[:3]] == ["unmodelled"] * 3


def test_a_formula_that_fails_names_its_call(steps: Steps, own: Any) -> None:
    own["aten.relu"] = lambda call: Cost("linear", call.numel("self") // 0)
    steps.call(aten.relu.default, steps.input(t(3), "x"), path="a.b")
    with pytest.raises(TraceError, match=r"of aten\.relu\.default does not fit its call at a\.b "):
        steps.record()


def test_what_an_operator_is_composed_of_is_recorded(steps: Steps, own: Any) -> None:
    x, y = steps.input(t(3, 5), "x"), steps.input(t(2, 7), "y")
    whole = steps.call(aten.kron.default, x, y)
    steps.call(aten.relu.default, whole, path="a")
    found = steps.record()
    assert found.kernels.name == ("mul", "a/relu")
    assert touched(found, 1)[0] == (INPUT, "mul", 210)
    assert found.notes == ()
    del own["aten.mse_loss"]
    steps.call(aten.mse_loss.default, x, x)
    (note,) = steps.record().notes
    assert note.startswith("aten.mse_loss has no formula")


def test_sizes_as_they_are(steps: Steps) -> None:
    steps.call(aten.relu.default, steps.input(t(3), "x"))
    assert steps.record().accesses.elements.dtype == np.int64
    assert steps.record(symbolic=True).accesses.elements.dtype == np.object_


# A recorder by its parts


def recorder_of(*results: torch.Tensor) -> tuple[Recorder, list[Step]]:
    recorder = Recorder("model")
    x = t(5)
    recorder.declare(x, "x", "input")
    steps = [Step(target=aten.relu.default, args=(x,), meta={"val": result}) for result in results]
    return recorder, steps


def finished(recorder: Recorder) -> Recording:
    return recorder.finish(np.int64)


def test_a_recorder_returns_to_a_mark() -> None:
    recorder, (first, second, third) = recorder_of(t(5), t(5), t(5))
    recorder._node(first, None)
    recorder.note("before")
    mark = recorder.mark()
    assert recorder.since(mark) == (0, 0, 0)
    recorder._node(second, None)
    recorder.note("after")
    recorder.unmodelled["aten.x"] = ["a"]
    assert recorder.since(mark) == (0, 5, 10)
    assert finished(recorder).kernels.name == ("relu", "relu#2")
    recorder.cut(mark)
    assert finished(recorder).kernels.name == ("relu",)
    assert finished(recorder).notes == ("before",)
    assert recorder.unmodelled == {}
    recorder._node(third, None)
    assert finished(recorder).kernels.name == ("relu", "relu#2")
    assert finished(recorder).tensors.name == ("x", "relu", "relu#2")
    assert touched(finished(recorder)) == [(INPUT, "x", 5), (OUTPUT, "relu#2", 5)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_body_is_repeated(count: int) -> None:
    recorder, (first, *body) = recorder_of(t(5), t(5), t(5))
    recorder._node(first, None)
    mark = recorder.mark()
    for step in body:
        recorder._node(step, None)
    recorder.repeat(mark, count)
    found = finished(recorder)
    names = ["relu", "relu#2", "relu#3"][: 3 if count else 1]
    names += [f"relu#{i}@{run}" for run in range(2, count + 1) for i in (2, 3)]
    assert list(found.kernels.name) == names
    assert len(found.accesses.kernel) == 2 * len(names)
    for kernel in range(len(names)):
        assert [role for role, *_ in touched(found, kernel)] == [INPUT, OUTPUT]


def test_a_part_is_stored_in_a_whole() -> None:
    recorder, (step,) = recorder_of(t(5))
    recorder._node(step, None)
    recorder.store(step, step.meta["val"], t(3, 5))  # type: ignore[arg-type]
    found = finished(recorder)
    assert found.kernels.operator[1] == "aten.copy"
    assert touched(found) == [(INPUT, "relu", 5), (OUTPUT, "copy", 5)]
    assert found.tensors.elements.tolist() == [5, 5, 15]


def test_an_overload_says_what_it_writes() -> None:
    plain, in_place, out = (overload(f) for f in (aten.add.Tensor, aten.add_.Tensor, aten.add.out))
    assert plain.arguments == ("self", "other", "alpha")
    assert (plain.written, in_place.written, out.written) == (set(), {"self"}, {"out"})
    assert (plain.out, in_place.out, out.out) == (set(), set(), {"out"})
    assert plain.name == in_place.name == out.name == "aten.add"
    assert operator_name(aten.add_.Tensor) == "aten.add_"
    assert not plain.free
    assert overload(aten.empty_like.default).free
    assert overload(aten.squeeze_.default).free
    assert overload(aten.squeeze.default).formula is None
