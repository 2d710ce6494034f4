"""Which axis of which argument is what, and the sizes to trace at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError, UnknownName
from perfmodel.tracing.arguments import owners
from perfmodel.tracing.symbolic import _Arguments


class Takes(nn.Module):
    def forward(self, x: Any, y: Any = None, more: Any = None) -> Any:
        return x


def t(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def plan(sizes: Any, *args: Any, **named: Any) -> _Arguments:
    return _Arguments("m", owners(Takes(), args, named), args, named, sizes)


def axes(made: _Arguments) -> dict[int, dict[int, str]]:
    found: dict[int, dict[int, str]] = {}
    for (leaf, axis), expression in made.axes.items():
        found.setdefault(leaf, {})[axis] = expression.text
    return found


def test_one_list_is_for_all_tensors_as_far_as_they_have_axes() -> None:
    made = plan(("b", "n"), t(3, 5, 7), [t(3), t(3, 5)], more=11)
    assert axes(made) == {0: {0: "b", 1: "n"}, 1: {0: "b"}, 2: {0: "b", 1: "n"}}
    assert made.defaults == {"b": 3, "n": 5}


def test_lists_by_name_of_the_argument() -> None:
    made = plan({"y": (None, "n"), "more": [("b",), ("b + n", 7)]}, t(3, 5), t(2, 5),
                [t(3), t(8, 7), t(9)])  # fmt: skip
    assert axes(made) == {1: {1: "n"}, 2: {0: "b"}, 3: {0: "b + n"}}
    assert made.defaults == {"n": 5, "b": 3}
    # One list for all tensors of an argument, and numbers that are what they say.
    made = plan({"more": ("b", 7)}, t(1), None, [t(3, 7), t(3, 7, 2)])
    assert axes(made) == {2: {0: "b"}, 3: {0: "b"}}


@pytest.mark.parametrize(
    ("sizes", "args", "message"),
    [
        ("b", (t(3),), r"expected a list of axes, such as \('b',\)"),
        ({"x": "b"}, (t(3),), r"expected a list of axes"),
        ({"x": ("b", "n")}, (t(3),), "x has 1 axes, 2 are named"),
        ((3,), (t(3),), "no tensor argument has a named dimension"),
        (("2",), (t(2),), "no tensor argument has a named dimension"),
        (("b",), (7,), "no tensor argument has a named dimension"),
        (("b", 4), (t(3, 5),), "axis 1 of x is 5, not 4"),
        ((4, "b"), (t(3, 5),), "axis 0 of x is 3, not 4"),
        (("b", "b"), (t(3, 5),), "axis 1 of x is 5, but b is 3"),
        (("b", "2 * b"), (t(3, 5),), r"axis 1 of x is 5, but 2 \* b is 6"),
        (("b + n", "n"), (t(3, 5),), "no axis is called 'b' alone, so its size is unknown"),
        (("b /",), (t(3),), "sizes: axis 0 of x: "),
        (("b",), (t(0),), "a named dimension is 0 in the example inputs"),
        (("b", "n"), (t(3, 0),), "a named dimension is 0 in the example inputs"),
        ({"z": ("b",)}, (t(3),), "sizes: z is not among the arguments passed, which are x"),
    ],
)
def test_sizes_that_do_not_fit(sizes: Any, args: Any, message: str) -> None:
    with pytest.raises(TraceError, match=f"^m: .*{message}"):
        plan(sizes, *args)


def test_the_batch_is_the_dimension_of_that_name_or_the_first_axis() -> None:
    assert plan(("n", "batch"), t(3, 5)).batch() == "batch"
    assert plan((None, "n"), t(3, 5)).batch() == 3
    assert plan(("2 * n", "n"), t(6, 3)).batch() == "2 * n"
    assert plan({"y": ("n",)}, 7, t(5)).batch() == "n"
    assert plan({"y": ("n",)}, t(), t(5)).batch() == 1
    assert plan({"y": ("n",)}, t(1, 2), t(5)).batch() == 1


def test_numbers_are_expressions_in_the_dimensions() -> None:
    made = plan(("b", "n"), t(3, 5))
    assert made.number("tokens", "2 * b + n").exactly({"b": 3, "n": 5}) == 11
    assert made.number("tokens", 7).exactly({}) == 7
    with pytest.raises(TraceError, match=r"^m: tokens: "):
        made.number("tokens", "b * z")


@pytest.mark.parametrize(
    ("examples", "ones", "sizes"),
    [
        ((7, 9), "", {"b": 7, "n": 9}),
        ((7, 9), "n", {"n": 1, "b": 7}),
        ((7, 9), "b n", {"b": 1, "n": 1}),
        # Those of 1, or alike, stand for small sizes that differ from all others.
        ((1, 1), "", {"b": 2, "n": 3}),
        ((7, 7), "", {"b": 7, "n": 2}),
        ((2, 1), "", {"b": 2, "n": 3}),
        ((2, 2), "", {"b": 2, "n": 3}),
        ((1, 9), "n", {"n": 1, "b": 2}),
    ],
)
def test_sizes_to_trace_at(examples: Any, ones: str, sizes: dict[str, int]) -> None:
    made = plan(("b", "n"), t(*examples))
    assert made.example_sizes(frozenset(ones.split())) == sizes


def test_every_combination_of_the_sizes_to_cover() -> None:
    made = plan(("b", "n"), t(3, 5))
    assert list(made.points({})) == [{"b": 3, "n": 5}]
    assert list(made.points({"b": []})) == [{"b": 3, "n": 5}]
    assert list(made.points({"n": [1, 2], "b": [7]})) == [{"b": 7, "n": 1}, {"b": 7, "n": 2}]
    assert len(list(made.points({"n": [1, 2], "b": (4, 5, 6)}))) == 6
    with pytest.raises(UnknownName, match="dimension of m 'k'"):
        list(made.points({"n": [1], "k": [1]}))


def test_arguments_at_other_sizes() -> None:
    x, y = t(3, 7, 5), t(8)
    made = plan({"x": ("b", None, "n"), "y": ("b + n",)}, x, y=[y, "text"])
    args, named = made.at({"b": 2, "n": 11})
    assert tuple(args[0].shape) == (2, 7, 11)
    assert tuple(named["y"][0].shape) == (13,)
    assert named["y"][1] == "text"


def resized(tensor: torch.Tensor, *sizes: int) -> torch.Tensor:
    names = "abc"[: len(sizes)]
    args, _ = plan(tuple(names), tensor).at(dict(zip(names, sizes, strict=True)))
    made: torch.Tensor = args[0]
    return made


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_axes_lie_in_memory_as_they_did(order: tuple[int, ...]) -> None:
    tensor = torch.empty(2, 3, 5, dtype=torch.int16).permute(order)
    made = resized(tensor, 7, 11, 13)
    assert tuple(made.shape) == (7, 11, 13)
    assert (made.dtype, made.device.type) == (torch.int16, "meta")
    ranks = [sorted(range(3), key=lambda axis: -x.stride(axis)) for x in (tensor, made)]
    assert ranks[0] == ranks[1]
    assert made.untyped_storage().nbytes() == 2 * 7 * 11 * 13
    # Of a tensor all of whose strides are alike the first axis is the outermost.
    assert resized(torch.empty(1, 1), 3, 5).stride() == (5, 1)
