"""One line of an error: its reason, its place in the user's source, and what to do."""

from __future__ import annotations

import builtins
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException

from perfmodel.errors import TraceError
from perfmodel.tracing import trace_errors
from perfmodel.tracing.trace_errors import UnknownSize, explain, explain_node, reason

aten = torch.ops.aten
TORCH = str(Path(torch.__file__).parent)
LIBRARY = sysconfig.get_paths()["stdlib"]


def raised(call: Callable[[], Any]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("  first.:\n second"), "first"),
        (ValueError("\n\n second"), "second"),
        (RuntimeError(""), "RuntimeError"),
        (KeyError("x"), "KeyError: 'x'"),
        (NotImplementedError("x."), "NotImplementedError: x"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 240), "x" * 240),
        (ValueError("x" * 241), "x" * 240 + " ..."),
        (ValueError("x" * 237 + ". y" * 3), "x" * 237 + ". y ..."),
        (ValueError("x" * 238 + ". y" * 3), "x" * 238 + " ..."),
    ],
)
def test_a_reason_is_one_line(error: Exception, text: str) -> None:
    assert reason(error) == text


CODES = {
    "theirs": f"{TORCH}/nn/functional.py",
    "ours": str(Path(trace_errors.__file__).parent / "running.py"),
    "frozen": "<frozen importlib>",
    "library": f"{LIBRARY}/functools.py",
    "package": f"{LIBRARY}/site-packages/timm/layers.py",
    "user": "/home/me/model.py",
}


def test_lines_of_libraries_are_not_the_users() -> None:
    assert [name for name, path in CODES.items() if trace_errors._is_the_users(path)] == [
        "package",
        "user",
    ]


def run(path: str, line: int, code: str = "raise ValueError('bad')", **names: Any) -> Any:
    """Run code as if it stood in a file at a line."""
    scope = {"__builtins__": builtins, "__name__": "model", **names}
    exec(compile("\n" * (line - 1) + code, path, "exec"), scope)
    return scope.get("result")


def test_the_innermost_line_of_the_user_s_is_named() -> None:
    def inner() -> None:
        run(CODES["theirs"], 7)

    def outer() -> None:
        run("/home/me/model.py", 3, "inner()", inner=inner)

    error = raised(lambda: run("/home/me/main.py", 9, "outer()", outer=outer))
    # The frames of this file are the user's, too, as it stands in no library.
    here = trace_errors.place(error)
    assert here.startswith(f" at {__file__}:")
    assert "`exec(compile(" in here
    bad = raised(lambda: run("/home/me/model.py", 3))
    assert trace_errors.place(bad) == " at /home/me/model.py:3"
    assert trace_errors.place(ValueError("nowhere")) == ""
    text = raised(lambda: compile("x = 1\n  y = (", "/home/me/broken.py", "exec"))
    assert trace_errors.place(text) == " at /home/me/broken.py:2 `y = (`"
    assert trace_errors.place(SyntaxError("bad", ("f.py", None, None, None))) == " at f.py:1"


def test_here_is_the_file_that_runs() -> None:
    def here() -> str:
        return str(run(CODES["theirs"], 2, "result = of()", of=trace_errors.here))

    name, _, line = here().partition(":")
    assert name == "test_trace_errors.py"
    assert int(line) > 1
    called = {"of": trace_errors.here}
    assert run("/home/me/model.py", 5, "result = of()", **called) == "model.py:5"
    assert run(CODES["package"], 5, "result = of()", **called) == "timm/layers.py:5"


STACK = f'''  File "/home/me/main.py", line 3, in forward
    x = self.a(x)
  File "/home/me/model.py", line 12, in forward
    return x[mask]
  File "{TORCH}/nn/modules/module.py", line 9, in _call_impl
    return forward_call(*args)
'''


def test_the_stack_that_an_export_keeps() -> None:
    where = " at /home/me/model.py:12 `return x[mask]`"
    said = trace_errors.unknown_size("aten.index", STACK)
    assert said.startswith(f"a size depends on the values of a tensor{where} (aten.index). A trace")
    assert trace_errors.unknown_size("aten.index", None).startswith(
        "a size depends on the values of a tensor (aten.index). "
    )
    said = explain_node(ValueError("bad"), "aten.index", STACK)
    assert said.startswith(f"the program cannot be run on shapes alone{where} (aten.index): bad. ")
    needed = ValueError("bad")
    needed.__cause__ = UnknownSize(aten.nonzero.default)
    said = explain_node(needed, "aten.index", STACK)
    assert said.startswith(f"the program depends on the values of a tensor{where} (aten.index). ")


def test_causes_are_followed_to_the_first_and_once_each() -> None:
    first, second, third = ValueError("1"), ValueError("2"), ValueError("3")
    third.__cause__, third.__context__ = second, KeyError()
    second.__context__ = first
    first.__context__ = third
    assert list(trace_errors._chain(third)) == [third, second, first]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("No module named 'a.b'", name="a.b"), "Install the package a"),
        (ModuleNotFoundError("without a name"), "Check number, names"),
        (RuntimeError("needs it (No module named 'flash_attn.layers')"), "package flash_attn"),
        (AssertionError("Torch not compiled with CUDA enabled"), "a device that is not here"),
        (RuntimeError("cuda:0 is not available"), "a device that is not here"),
        (RuntimeError("Found no NVIDIA driver on your system"), "a device that is not here"),
        (RuntimeError("can't convert a FakeTensor to numpy"), "NumPy needs values"),
        (RuntimeError("x.NUMPY() of a subclass"), "NumPy needs values"),
        (RuntimeError("Cannot access data pointer of Tensor"), "reads the memory of a tensor"),
        (ValueError("Uninitialized parameter"), "A lazy module"),
        (ValueError("shapes 3 and 4"), "Check number, names, shapes and dtypes"),
    ],
)
def test_advice(error: Exception, advice: str) -> None:
    said = explain(error, nn.ReLU())
    assert said.startswith(f"the forward failed: {reason(error)}. ")
    assert advice in said


class Block(nn.Module):
    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self) -> Any:
        return self.call()


class Around(Block):
    """A block of another class."""


def fails(kind: type[Exception], *args: Any) -> Callable[[], Any]:
    def call() -> None:
        raise kind(*args)  # the line

    return call


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_innermost_module_of_the_model_is_named(depth: int) -> None:
    module = Block(fails(ValueError, "bad"))
    for _ in range(depth):
        module = Around(module)
    said = explain(raised(lambda: module()), module)
    path = ".".join(["call"] * depth)
    within = f" in module {path!r} (Block)" if depth else ""
    assert said.startswith(f"the forward failed{within} at {__file__}:")
    assert "`raise kind(*args)  # the line`: bad. Check number" in said
    # A module that is none of the model's is not named.
    assert " in module" not in explain(raised(lambda: module()), nn.ReLU())


@pytest.mark.parametrize(
    ("operator", "masks"),
    [
        (aten.nonzero.default, True),
        (aten.index.Tensor, True),
        (aten.unique_dim.default, False),
        (None, False),
    ],
)
def test_what_depends_on_values_says_so(operator: Any, masks: bool) -> None:
    error = raised(fails(DynamicOutputShapeException, operator))
    outer = ValueError("outer")
    outer.__cause__ = error
    said = explain(outer, nn.ReLU())
    named = f" ({operator})" if operator is not None else ""
    assert said.startswith(f"the forward depends on the values of a tensor at {__file__}:")
    assert f"`raise kind(*args)  # the line`{named}. A trace has shapes only" in said
    assert said.endswith("plain Python argument") != masks
    assert ("--allow-masks" in said) == masks
    assert "Check number" not in said


def test_an_observer_looks_at_values() -> None:
    def observe() -> None:
        run("/x/observer.py", 1, "of()", of=fails(DynamicOutputShapeException, None),
            __name__="torch.ao.quantization.observer")  # fmt: skip

    said = explain(raised(observe), nn.ReLU())
    assert "switch observers off" in said
    assert "A trace has shapes only" not in said


def test_an_error_of_ours_is_said_as_it_is() -> None:
    assert explain(raised(fails(TraceError, "as it is")), nn.ReLU()) == "as it is"
    unknown = UnknownSize("aten.x")
    assert unknown.func == "aten.x"
    assert str(unknown) == "aten.x returns a tensor whose size depends on values"
