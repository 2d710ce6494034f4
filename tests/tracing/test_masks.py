"""Reading by a mask of unknown values: an error with its place, or all elements where allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError
from perfmodel.tracing.tracing import trace


class Selects(nn.Module):
    """A linear layer on what ``select`` leaves of 100 rows."""

    def __init__(self, select: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.select, self.layer = select, nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.select(x))


X = torch.zeros(100, 6)
#: Each selects some of 100 rows.
READS: dict[str, Callable[[torch.Tensor], Any]] = {
    "index": lambda x: x[x[:, 0] > 0],
    "index of two dimensions": lambda x: x.view(20, 5, 6)[(x > 0).view(20, 5, 6)[..., 0]],
    "mask beside a slice": lambda x: x.t()[:, x[:, 0] > 0].t(),
    "masked_select": lambda x: x.masked_select(x > 0).view(-1, 6),
    "masked_select, broadcast": lambda x: x.masked_select(x[:, :1] > 0).view(-1, 6),
    "nonzero": lambda x: x[(x[:, 0] > 0).nonzero().squeeze(1)],
    "where": lambda x: x[torch.where(x[:, 0] > 0)],
    "argwhere": lambda x: x[torch.argwhere(x[:, 0] > 0)[:, 0]],
}


@pytest.mark.parametrize("read", READS)
def test_all_elements_are_taken_where_that_is_allowed(read: str) -> None:
    workload = trace(Selects(READS[read]), X, allow_masks=True)
    assert workload.flops == 2 * 100 * 6 * 7
    note = workload.provenance["assumptions"]
    assert note.startswith("reading by a mask takes all elements, an upper bound (test_masks.py:")


@pytest.mark.parametrize("read", READS)
def test_without_that_the_message_names_the_place_and_the_option(read: str) -> None:
    with pytest.raises(TraceError, match=r"at .*test_masks\.py:\d+ .*--allow-masks\), which takes"):
        trace(Selects(READS[read]), X)


def test_a_mask_whose_values_are_there_selects_what_it_says() -> None:
    module = Selects(lambda x: x[module.mask])
    module.register_buffer("mask", torch.arange(100) < 30)
    module.mask = module.mask[:64]
    workload = trace(module, X[:64], allow_masks=True)
    assert workload.flops == 2 * 30 * 6 * 7
    assert "assumptions" not in workload.provenance


def test_a_number_that_depends_on_a_mask_is_still_an_error() -> None:
    with pytest.raises(TraceError, match="depends on the values"):
        trace(Selects(lambda x: x[: int((x[:, 0] > 0).sum())]), X, allow_masks=True)


def test_few_places_are_named() -> None:
    def five_times(x: torch.Tensor) -> torch.Tensor:
        x = x[x[:, 0] > 0]
        x = x[x[:, 1] > 0]
        x = x[x[:, 2] > 0]
        x = x[x[:, 3] > 0]
        return x[x[:, 4] > 0]

    note = trace(Selects(five_times), X, allow_masks=True).provenance["assumptions"]
    assert note.count("test_masks.py") == 3
    assert note.endswith(" and elsewhere)")
