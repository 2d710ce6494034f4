"""What decoding needs of the tracer: caches written in place, and arguments that are state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import INPUT, KINDS, OUTPUT, Workload

HEADS, LENGTH, HEAD_DIM = 2, 10, 4


class Step(nn.Module):
    """Grouped-query attention of one token over a cache to which its key is appended."""

    def forward(
        self,
        query: torch.Tensor,
        scale: float,
        cache: tuple[torch.Tensor, torch.Tensor],
        factor: torch.Tensor,
    ) -> torch.Tensor:
        keys, values = cache
        keys[:, :, -1:].copy_(query[:, :HEADS] * factor)
        return nn.functional.scaled_dot_product_attention(
            query, keys, values, scale=scale, enable_gqa=True
        )


def arguments() -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    with torch.device("meta"):
        query = torch.empty(1, 3 * HEADS, 1, HEAD_DIM)
        cache = tuple(torch.empty(1, HEADS, LENGTH, HEAD_DIM) for _ in range(2))
        return query, cache, torch.empty(())


def by_kind(workload: Workload, kind: str) -> set[str]:
    code = KINDS.index(kind)
    kinds = workload.tensors.kind.tolist()
    return {n for n, k in zip(workload.tensors.name, kinds, strict=True) if k == code}


def test_a_row_is_written_in_place_and_all_are_read() -> None:
    query, cache, factor = arguments()
    workload = trace(Step(), (query, 1.0, cache, factor), state=("cache",))
    assert by_kind(workload, "state") == {"cache_0", "cache_1"}
    assert by_kind(workload, "input") == {"query", "factor"}
    row, rows = HEADS * HEAD_DIM, HEADS * LENGTH * HEAD_DIM
    assert workload.state_traffic(OUTPUT, "fp32").sum() == row * 4
    # Query heads that share a head of keys and values read it once.
    assert workload.state_traffic(INPUT, "fp32").sum() == 2 * rows * 4
    assert workload.flops == 4 * 3 * HEADS * LENGTH * HEAD_DIM
    assert workload.parameters == 0
    assert workload.weight_bytes("fp32") == 0


def test_state_is_found_by_name_among_keyword_arguments_in_any_order() -> None:
    query, cache, factor = arguments()
    positional = trace(Step(), (query, 1.0, cache, factor), state=("cache",))
    named = {"factor": factor, "cache": cache}
    workload = trace(Step(), (query, 1.0), kwargs=named, state=["cache"])
    assert by_kind(workload, "state") == {"cache_0", "cache_1"}
    assert workload.state_bytes("bf16") == positional.state_bytes("bf16")


def test_without_state_a_cache_is_an_input() -> None:
    query, cache, factor = arguments()
    workload = trace(Step(), (query, 1.0, cache, factor))
    assert by_kind(workload, "state") == set()
    assert workload.state_bytes("fp32") == 0


def test_state_that_is_not_passed_is_said() -> None:
    query, cache, factor = arguments()
    with pytest.raises(TraceError, match=r"state past is not among .* query, scale, cache, factor"):
        trace(Step(), (query, 1.0, cache, factor), state=("past",))


class Windowed(nn.Module):
    """Attention over all keys, of which a mask leaves the last few."""

    sliding_window: int | None = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_a_window_that_is_narrower_than_the_keys_is_noted_and_charged_in_full() -> None:
    longer = trace(Windowed(), torch.empty(1, 2, 20, 4))
    assert longer.flops == 2 * 2 * 2 * 20 * 20 * 4
    assert "a window of 8 tokens is charged all scores" in longer.provenance["assumptions"]
    assert "assumptions" not in trace(Windowed(), torch.empty(1, 2, 8, 4)).provenance
    whole = Windowed()
    whole.sliding_window = None
    assert "assumptions" not in trace(whole, torch.empty(1, 2, 20, 4)).provenance
