"""What the arguments of a forward are called, which are state, and what is refused."""

from __future__ import annotations

import dataclasses
from collections import UserDict, deque
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError
from perfmodel.tracing import arguments, inputs, placeholders
from tests.networks import Function


def t(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


@dataclasses.dataclass
class Holder:
    first: Any
    other: Any = None


class Slots:
    __slots__ = ("left", "right")

    def __init__(self, left: Any) -> None:
        self.left = left


class Takes(nn.Module):
    def forward(self, a: Any, *More: Any, key: Any = None, **rest: Any) -> Any:
        return a


A, B, C = t(2), t(3), t(5)


@pytest.mark.parametrize(
    ("args", "named", "names"),
    [
        ((A,), {}, [["a"]]),
        ((A, B, C), {}, [["a"], ["more_0"], ["more_1"]]),
        ((A,), {"key": B, "Other": C}, [["a"], ["key"], ["other"]]),
        (([A, (B, C)],), {}, [["a_0"], ["a_1_0"], ["a_1_1"]]),
        (({"x.y": A, 3: B},), {}, [["a_x_y"], ["a_3"]]),
        ((A, 3, B), {"key": "text"}, [["a"], [], ["more_1"], []]),
        ((Holder(A, [B, {"z": C}]),), {}, [["a_first", "a_other_0", "a_other_1_z"]]),
        ((Holder(Holder(A), deque([B])),), {}, [["a_first_first", "a_other_0"]]),
        ((Slots(A),), {}, [["a_left"]]),
        ((UserDict(x=A),), {}, [["a_data_x"]]),
        ((nn.Linear(2, 2), torch.float32, None), {}, [[], [], []]),
        # What was taken already is numbered.
        (([A], B), {"a_0": C, "more_0": A}, [["a_0"], ["more_0"], ["a_0_1"], ["more_0_1"]]),
        ((A,), {"A": B, "a_1": C}, [["a"], ["a_1"], ["a_1_1"]]),
    ],
)
def test_tensors_are_called_by_the_path_to_them(args: Any, named: Any, names: Any) -> None:
    found = inputs.tensors(Takes(), args, named)
    assert [[name for name, _ in leaf] for leaf in found] == names


def test_what_is_met_again_inside_an_argument_is_not_counted_again() -> None:
    holder = Holder(A)
    holder.other = [holder, holder]
    ((only,),) = inputs.tensors(Takes(), (holder,), {})
    assert only == ("a_first", A)
    assert list(inputs.inside([holder, (B, C)])) == [A, B, C]


def test_arguments_that_do_not_fit_and_a_forward_without_signature() -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        inputs.tensors(Takes(), (), {})
    module = nn.Module()
    module.forward = torch.relu  # type: ignore[method-assign]
    assert inputs.tensors(module, (A, [B]), {}) == [[("args_0", A)], [("args_1_0", B)]]


def test_attributes_of_a_module() -> None:
    module = nn.Linear(2, 2)
    module.plain, module.table, module.number = A, {"x": [B, 3]}, 7
    module.pair, module.holder = (C, None), Holder(A)
    assert list(inputs.attributes(module)) == [("plain", A), ("table.x.0", B), ("pair.0", C)]


def test_a_symbol_comes_from_an_argument() -> None:
    assert inputs._Argument(3)._name_template == "argument_3"


# State and batch


def test_state_is_a_name_of_an_argument() -> None:
    args, named = (A, [B, C], B, {"x": C}), {"key": A, "past": (B, C)}
    owners = ["a", "More", "More", "More", "More", "key", "past", "past"]

    class Two(nn.Module):
        def forward(self, a: Any, *More: Any) -> Any:
            return a

    assert arguments.owners(Two(), args, named) == owners
    assert arguments.state_leaves("m", Two(), args, named, ["past", "a"]) == [0, 6, 7]
    assert arguments.state_leaves("m", Two(), args, named, []) == []
    with pytest.raises(
        TraceError, match=r"^m: state b, c is not among .*, which are a, More, key, past$"
    ):
        arguments.state_leaves("m", Two(), args, named, ["c", "a", "b"])
    with pytest.raises(TraceError, match="which are none"):
        arguments.check_names("m: state", ["x"], [])


@pytest.mark.parametrize(
    ("batch", "given", "expected"),
    [
        (None, [3, t(5, 2), t(7)], 5),
        (None, [t(), t(7)], 1),
        (1, [t(5)], 1),
        (7, [], 7),
        (None, [3], "no tensor among the inputs tells the batch"),
        (None, [t(0, 3)], "at least 1, not 0"),
        (0, [t(5)], "at least 1, not 0"),
        (True, [t(5)], "not True"),
        (2.0, [t(5)], r"not 2\.0"),
    ],
)
def test_the_batch(batch: Any, given: list[Any], expected: Any) -> None:
    if isinstance(expected, int):
        assert arguments.batch_of("m", batch, given) == expected
    else:
        with pytest.raises(TraceError, match=f"^m: .*{expected}"):
            arguments.batch_of("m", batch, given)


def kind(name: str, place: str) -> nn.Module:
    module: nn.Module = type(name, (nn.Module,), {"__module__": place})()
    return module


@pytest.mark.parametrize(
    ("part", "packed"),
    [
        (kind("Linear", "torch.ao.nn.quantized.modules.linear"), True),
        (kind("Linear", "torch.nn.quantized"), True),
        (kind("Linear", "torch.ao.nn.quantizable"), False),
        (kind("Linear", "mine.quantized"), False),
        (kind("FloatFunctional", "torch.ao.nn.quantized"), False),
        (kind("FXFloatFunctional", "torch.ao.nn.quantized"), False),
        (nn.Linear(2, 2), False),
    ],
)
def test_modules_with_packed_weights(part: nn.Module, packed: bool) -> None:
    module = nn.Sequential(nn.ReLU(), part)
    if packed:
        with pytest.raises(TraceError, match=r"^Sequential: 1 is a quantised module"):
            arguments.arguments(module, A, None, None)
        with pytest.raises(TraceError, match=r"^m: it is a quantised module"):
            arguments.arguments(part, A, None, "m")
    else:
        assert arguments.arguments(module, A, None, None) == ("Sequential", (A,), {})


def test_arguments_are_a_tensor_or_a_list_of_them() -> None:
    module = Function(lambda x: x)
    for given in (A, (A,), [A]):
        assert arguments.arguments(module, given, {"y": B}, "m") == ("m", (A,), {"y": B})
    assert arguments.arguments(module, (), None, "") == ("", (), {})
    with pytest.raises(TraceError, match=r"^m: kwargs\['y'\]\[1\] is set; pass a torch\.Tensor"):
        arguments.arguments(module, A, {"y": [B, {1}]}, "m")
    for kwargs in ({1: A}, ["y"], [1], 0):
        with pytest.raises(TraceError, match=r"^m: kwargs must be a dict of argument names"):
            arguments.arguments(module, A, kwargs, "m")  # type: ignore[arg-type]
    with pytest.raises(TraceError, match=r"not builtins\.dict|not dict; pass keyword arguments"):
        arguments.arguments(module, {"x": A}, None, "m")
    with pytest.raises(TraceError) as caught:
        arguments.arguments(module, 3, None, "m")
    assert str(caught.value).endswith("arguments, not int")


# Tokens that stand for something else


class Speaks(nn.Module):
    def __init__(self, **tokens: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(**tokens)


class OfSound(Speaks):
    def forward(self, input_ids: Any = None, input_features: Any = None, **kwargs: Any) -> Any:
        return input_ids


class OfAll(Speaks):
    def forward(
        self, input_ids: Any = None, inputs_embeds: Any = None, pixel_values: Any = None,
        video: Any = None, audio: Any = None,
    ) -> Any:  # fmt: skip
        return input_ids


IDS = torch.tensor([[7, 8, 8, 9]])
TOKENS = {"image_token_id": 5, "video_token_index": 7, "audio_token_id": 8}


@pytest.mark.parametrize(
    ("module", "args", "named", "missing"),
    [
        (OfAll(**TOKENS), (IDS,), {}, "stands for video (7, 1 times)|pass video"),
        (OfAll(**TOKENS), (IDS,), {"video": A}, "stands for audio (8, 2 times)|pass audio"),
        (OfAll(**TOKENS), (IDS,), {"video": A, "audio": B}, None),
        (OfAll(**TOKENS), (), {"input_ids": IDS[:, :1]}, "stands for video (7, 1 times)"),
        (OfAll(**TOKENS), (IDS, A), {}, None),  # embedded already
        (OfAll(**TOKENS), (IDS[:, 3:],), {}, None),
        (OfAll(), (IDS,), {}, None),
        (OfAll(video_token_id="7"), (IDS,), {}, None),
        (OfAll(video_token_id="7", video_token_index=7), (IDS,), {}, "stands for video"),
        (OfSound(**TOKENS), (IDS,), {}, "stands for audio (8, 2 times)|pass input_features"),
        (OfSound(**TOKENS), (IDS, A), {}, None),
        (OfSound(**TOKENS), (), {"inputs_embeds": A}, None),
        (OfSound(**TOKENS), (IDS,), {"inputs_embeds": A}, None),
        (OfAll(**TOKENS), (IDS, None, None, None, None, 7), {}, None),  # said where it is called
    ],
)
def test_tokens_that_stand_for_what_is_not_passed(
    module: nn.Module, args: Any, named: Any, missing: str | None
) -> None:
    if missing is None:
        placeholders.check("m", module, args, named)
    else:
        with pytest.raises(TraceError) as caught:
            placeholders.check("m", module, args, named)
        assert all(part in str(caught.value) for part in missing.split("|"))
