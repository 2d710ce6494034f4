"""What a CPU would refuse, or nobody wants counted, is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError
from perfmodel.tracing.tracing import trace
from tests.networks import Function

X = torch.ones(5, 6)


class Speaks(nn.Module):
    """A model of text and images, with tokens that stand for an image (7) and a sound (8)."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(image_token_id=7, audio_token_id=8)
        self.words = nn.Embedding(10, 4)

    def forward(self, input_ids: Any = None, pixel_values: Any = None, **_: Any) -> torch.Tensor:
        embedded = self.words(input_ids)
        return embedded if pixel_values is None else embedded + pixel_values.mean()


IDS = torch.tensor([[1, 7, 7, 2]])


@pytest.mark.parametrize(("args", "named"), [((IDS,), {}), ((), {"input_ids": IDS})])
def test_the_token_of_an_image_without_one(args: Any, named: Any) -> None:
    with pytest.raises(
        TraceError, match=r"stands for image \(7, 2 times\).* pass pixel_values"
    ) as e:
        trace(Speaks(), args, kwargs=named)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (IDS, {"pixel_values": torch.ones(1, 3, 4, 4)}),
        (torch.tensor([[1, 2, 3]]), {}),
        (IDS.to("meta"), {}),  # without values
        (torch.tensor([[1, 8]]), {}),  # its forward takes no sound: it is a word like any other
    ],
)
def test_what_is_no_such_mistake_traces(ids: torch.Tensor, named: dict[str, Any]) -> None:
    assert "aten.embedding" in trace(Speaks(), (ids,), kwargs=named).kernels.operator


def test_a_position_beyond_the_embedding_is_the_error_that_it_is_on_a_cpu() -> None:
    positions = nn.Embedding(8, 4)

    def at(length: int) -> nn.Module:
        return Function(lambda x: positions(torch.arange(length)) + x, positions=positions)

    assert trace(at(8), torch.ones(4), batch=1).flops == 0
    with pytest.raises(TraceError, match="index 8 into an embedding of 8 rows"):
        trace(at(9), torch.ones(4), batch=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.to("cuda:0"),
        lambda x: torch.zeros(6, device="cuda"),
        lambda x: x + torch.ones(6, device="cuda"),
        lambda x: x.cuda(),
    ],
)
def test_a_device_that_is_not_there(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(TraceError, match="asks for a device that is not here") as e:
        trace(Function(function), X)
    assert "\n" not in str(e.value)
