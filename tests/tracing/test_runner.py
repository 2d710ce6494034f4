"""How a run takes single operators, contexts and bodies, and what is said of a whole program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from perfmodel.errors import TraceError
from perfmodel.tracing import decomposing, forward, running, tracing
from perfmodel.tracing.program import Program, Step, TensorSpec
from perfmodel.tracing.running import Runner, eager_branches, uncompiled
from perfmodel.tracing.stand_in import StandIns
from perfmodel.tracing.tracing import trace
from perfmodel.tracing.values import Values
from perfmodel.vocabulary import families
from tests.networks import Function

aten = torch.ops.aten
X = torch.ones(5, 6)


def t(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


class Asked(Exception):
    """What a forward raises that is to fail."""


@contextmanager
def failing() -> Iterator[None]:
    """A block that has to end with it."""
    with pytest.raises(Asked):
        yield


def runner() -> Runner:
    stand_ins = StandIns(FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True))
    return Runner(stand_ins, Values(stand_ins))


@pytest.mark.parametrize(
    ("func", "may_be"),
    [
        (aten.einsum.default, True),
        (aten.type_as.default, True),
        (aten.linear.default, False),  # always makes a tensor of its own
        (aten.dropout.default, False),
        (aten.add.Tensor, False),  # composed of nothing
        (aten.reshape.default, False),  # its schema says it
        (aten.view.default, False),
    ],
)
def test_what_may_return_a_view_without_saying_so(func: Any, may_be: bool) -> None:
    assert running._may_be_view(func) == may_be


def test_very_many_tensors() -> None:
    assert not running._is_long(([X] * 64, 1))
    assert running._is_long((1, [X] * 65))


def test_tensors_of_elsewhere_are_constants_by_number() -> None:
    run = runner()
    first, second = torch.ones(3), torch.ones(70)
    made = run.constant(first)
    assert run.constant(first) is made
    assert run.knows(made)
    other = run.constant(second)
    assert [spec.target for spec in run.specs] == ["lifted_tensor_0", "lifted_tensor_1"]
    assert {spec.kind for spec in run.specs} == {InputKind.CONSTANT_TENSOR}
    assert [(step.op, step.name) for step in run.steps] == [("placeholder", "")] * 2
    assert (run.values.of(made) is None, run.values.of(other) is None) == (False, True)
    run.declare(torch.ones(2), InputKind.USER_INPUT, "x")
    assert run.steps[-1].name == "x"
    assert run.results() == frozenset()


def test_a_call_knows_the_innermost_module_of_the_root() -> None:
    inner = nn.Sequential(nn.ReLU())
    outside = nn.ReLU()
    root = Function(lambda x: outside(inner(x)) + 1, part=inner)
    workload = trace(root, X)
    assert workload.kernels.name == ("part.0/relu", "relu", "add")
    original = nn.Module.__call__
    with failing(), runner().modules(root):
        assert nn.Module.__call__ is not original
        raise Asked
    assert nn.Module.__call__ is original


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("enabled", [False, True])
def test_autocast_of_a_cpu_is_known(device: str, enabled: bool) -> None:
    run = runner()
    context = SimpleNamespace(_enabled=enabled, device=device)
    kind = torch.amp.autocast_mode.autocast
    enter, leave = kind.__enter__, kind.__exit__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "__enter__", lambda self: "entered")
        patch.setattr(kind, "__exit__", lambda self, *error: error)
        with run.casts():
            assert run._autocast == 0
            assert kind.__enter__(context) == "entered"
            assert run._autocast == (enabled and device == "cpu")
            assert kind.__exit__(context, 1, 2, 3) == (1, 2, 3)
            assert run._autocast == 0
    assert (kind.__enter__, kind.__exit__) == (enter, leave)


def test_casts_are_as_if_they_were_not() -> None:
    """A cast is left out under autocast, of floating-point numbers; any other is a kernel."""

    def cast(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x.to(torch.bfloat16).to(torch.float64) + 1
            z = i.to(torch.float32)
        return y.to(torch.bfloat16) + z

    workload = trace(Function(cast), (X, torch.ones(6, dtype=torch.long)))
    assert workload.kernels.operator == ("aten.add", "aten.to", "aten.to", "aten.add")
    assert workload.dependencies == ((), (), (0,), (1, 2))


def test_what_is_compiled_is_the_function_itself() -> None:
    compile_, stance = torch.compile, torch.compiler
    with uncompiled():
        assert torch.compile is not compile_
        assert torch.compile(len) is len
        assert torch.compile(fullgraph=True)(len) is len
    assert torch.compile is compile_
    assert stance is torch.compiler


def test_masks_that_are_known_are_no_traced_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    place: Any = ModuleType("transformers.utils.import_utils")
    place.is_fake_tensor = original = lambda value: not isinstance(value, int)
    monkeypatch.setitem(sys.modules, place.__name__, place)
    values = runner().values
    known, unknown = t(3), t(3)
    known._perfmodel_value = torch.ones(3)  # type: ignore[attr-defined]
    with failing(), eager_branches(values):
        assert [place.is_fake_tensor(v) for v in (known, unknown)] == [False, True]
        assert place.is_fake_tensor(3) is False
        raise Asked
    assert place.is_fake_tensor is original
    del place.is_fake_tensor
    with eager_branches(values):
        assert not hasattr(place, "is_fake_tensor")
    monkeypatch.delitem(sys.modules, place.__name__)
    with eager_branches(values):
        pass


def test_indices_beyond_an_embedding() -> None:
    values = runner().values
    index = t(3)
    running._check(aten.embedding.default, (t(8, 4), index), t(3, 4), values)
    for largest, fails in ((7, False), (8, True), (9, True)):
        index._perfmodel_value = torch.tensor([1, largest])  # type: ignore[attr-defined]
        if fails:
            with pytest.raises(IndexError, match=f"index {largest} into an embedding of 8 rows"):
                running._check(aten.embedding.default, (t(8, 4), index), t(3, 4), values)
        else:
            running._check(aten.embedding.default, (t(8, 4), index), t(3, 4), values)
    running._check(aten.embedding_bag.default, (t(8, 4), index), t(3, 4), values)


# What an operator is made of


def test_parts_of_an_operator() -> None:
    found = decomposing.parts(aten.kron.default, (t(3, 5), t(2, 7)), {}, t(6, 35))
    assert found is not None
    assert found.composite
    assert [str(part.target) for part in found.calls][-2] == "aten.mul.Tensor"
    assert tuple(found.result.shape) == (6, 35)
    # A decomposition in Python stands for a kernel.
    loss = decomposing.parts(aten.mse_loss.default, (t(3), t(3)), {"reduction": 0}, t(3))
    assert loss is not None
    assert not loss.composite
    assert [str(part.target) for part in loss.calls] == [
        "aten.sub.Tensor",
        "aten.pow.Tensor_Scalar",
    ]
    assert loss.calls[1].args[0] is loss.calls[0].result
    # Another shape than the call had, values that are read, and what PyTorch does not say.
    assert decomposing.parts(aten.kron.default, (t(3, 5), t(2, 7)), {}, t(6, 34)) is None
    assert decomposing.parts(aten.mse_loss.default, (t(3), t(3)), {}, [t(), t()]) is None
    assert decomposing.parts(aten.mse_loss.default, (t(3), None), {}, t()) is None
    unknown = aten.special_hermite_polynomial_h.default
    assert decomposing.parts(unknown, (t(3), t(3)), {}, t(3)) is None
    assert decomposing.parts(torch.ops.higher_order.cond, (), {}, t(3)) is None


def test_calls_below_are_noted_with_their_arguments() -> None:
    with decomposing._Listener() as listener:
        made = torch.zeros(3, dtype=torch.float64, device="meta") + 1
    assert made.dtype == torch.float64
    first, *_, last = listener.calls
    assert first.kwargs["dtype"] == torch.float64
    assert last.args[1] == 1
    assert last.result is made


# The whole program


def test_inputs_of_a_program() -> None:
    placeholders = [Step(name=n, op="placeholder", meta={"val": v})
                    for n, v in (("x", t(3, 5)), ("", t(7)), ("n", 3))]  # fmt: skip
    specs = [TensorSpec(InputKind.USER_INPUT, "x"), TensorSpec(InputKind.PARAMETER, "w"),
             TensorSpec(InputKind.USER_INPUT, "n")]  # fmt: skip
    program = Program([*placeholders, Step(meta={"val": t(2)})], specs)
    assert program.user_inputs == ("x", "n")
    assert program.graph is program.graph_module is program.graph_signature is program
    (spec,) = tracing.input_specs(program)
    assert (spec.name, spec.shape, spec.dtype) == ("x", (3, 5), "float32")
    assert (program.leaves, program.sized, program.read, program.notes) == ((), {}, {}, ())
    step = Step()
    assert (step.name, step.op, step.target, step.args, step.kwargs, step.meta) == (
        "", "call_function", None, (), {}, {},
    )  # fmt: skip


def test_what_a_module_says_of_itself() -> None:
    module = nn.ReLU()
    assert tracing._boundary(module) == {}
    assert tracing._iterations("m", module) is None
    for said, fails in ((0, False), (3, False), (-1, True), (True, True), (1.0, True)):
        module.perfmodel_iterations = said
        if fails:
            with pytest.raises(
                TraceError, match=r"^m: perfmodel_iterations must be a whole number"
            ):
                tracing._iterations("m", module)
        else:
            assert tracing._iterations("m", module) == said
    for text, told in (("the body only", {"boundary": "the body only"}), (7, {})):
        module.perfmodel_boundary = text
        assert tracing._boundary(module) == told
    read = {"b": "[2]", "a": "1"}
    assert tracing._values(Program([], [], read=read)) == {"values": "a = 1; b = [2]"}
    assert tracing._values(Program([], [])) == {}


@pytest.mark.parametrize(
    ("windows", "keys", "said"),
    [
        ([8], [9, 3], "8"),
        ([8], [8, 3], None),
        ([8, 16], [9], "8, 16"),
        ([16, 8, 16], [17], "8, 16"),
        ([16, 8], [3], None),
        ([0], [9], None),
        ([True], [9], None),
        ([None, "8"], [9], None),
        ([8], [], None),
    ],
)
def test_a_window_narrower_than_some_keys(windows: Any, keys: list[int], said: Any) -> None:
    module = nn.Sequential(*(nn.ReLU() for _ in windows))
    for part, window in zip(module, windows, strict=True):
        part.sliding_window = window
    codes = [families.CODE[families.ATTENTION]] * len(keys) + [families.CODE[families.LINEAR]]
    gemm = [(1, 2, key, 3) for key in keys] + [(99, 99, 99, 99)]
    kernels = SimpleNamespace(family=np.array(codes), gemm=np.array(gemm, dtype=np.int64))
    recording: Any = SimpleNamespace(kernels=kernels, notes=("one",))
    found = tracing._window(module, recording)
    assert found == (
        (f"attention with a window of {said} tokens is charged all scores, as PyTorch runs it",)
        if said
        else ()
    )
    assert tracing.assumptions(recording, ("two", "three")) == {"assumptions": "one; two; three"}
    assert tracing.assumptions(SimpleNamespace(notes=())) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("there", [["torchvision"], ["transformers"], []])
def test_versions_of_what_is_imported(there: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torchvision", "transformers"):
        monkeypatch.delitem(sys.modules, library, raising=False)
    for library in there:
        monkeypatch.setitem(sys.modules, library, SimpleNamespace(__version__=7))
    versions = tracing.provenance()
    assert {name: versions[name] for name in there} == dict.fromkeys(there, "7")
    assert versions.keys() == {"tracer", "torch", *there}


def test_what_a_forward_writes_to_stderr_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    def says(x: torch.Tensor) -> torch.Tensor:
        print("said", file=sys.stderr)
        return x

    trace(Function(says), X)
    assert capsys.readouterr().err == "said\n"


def test_settings_are_those_of_before() -> None:
    def now() -> tuple[Any, ...]:
        return (
            torch.backends.mha.get_fastpath_enabled(),
            torch._C._get_mkldnn_enabled(),
            torch.backends.nnpack.is_available() and torch._C._get_nnpack_enabled(),
            [forward.logging.getLogger(name).level for name in forward._NOISY_LOGGERS],
            sys.stderr,
        )

    before = now()
    with failing(), forward._settings():
        assert not torch.backends.mha.get_fastpath_enabled()
        assert not torch._C._get_mkldnn_enabled()
        assert not torch._C._get_nnpack_enabled()
        levels = [forward.logging.getLogger(name).level for name in forward._NOISY_LOGGERS]
        assert min(levels) > forward.logging.CRITICAL
        raise Asked
    assert now() == before


def test_what_a_forward_returns_may_be_kept() -> None:
    layer = nn.Linear(6, 7)

    def keep(own: dict[str, Any], returned: Any) -> Any:
        return {name: tuple(v.shape) for name, v in own.items()}, tuple(returned.shape)

    module = Function(lambda x: layer(x), layer=layer)
    assert forward.returned("m", module, {"x": X}, keep) == ({"x": (5, 6)}, (5, 7))
    with pytest.raises(TraceError, match=r"^m: the forward failed.*shapes"):
        forward.returned("m", module, {"x": X[:, :3]}, keep)
