"""Long loops over tokens: the tables of a few passes and copies are those of all passes."""

from __future__ import annotations

import builtins
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from perfmodel.errors import TraceError
from perfmodel.models.decoding import import_transformers
from perfmodel.tracing import repeating
from perfmodel.tracing.repeating import LEAST, WARM
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload

WIDTH, STEPS = 8, 40
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "head_dim": 8,
    "pad_token_id": 0,
    "use_cache": False,
}
MODELS: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 4},
    "falcon_mamba": {"state_size": 4},
    "rwkv": {},
    "recurrent_gemma": {"lru_width": 32, "num_hidden_layers": 3, "num_key_value_heads": 1},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 1,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
    },
}


def assert_equal(left: Workload, right: Workload) -> None:
    """All columns are the same, to the last name."""
    for part in ("tensors", "kernels", "accesses"):
        columns = getattr(left, part), getattr(right, part)
        for field in fields(columns[0]):
            one, other = (getattr(table, field.name) for table in columns)
            assert np.array_equal(one, other), f"{part}.{field.name}"


def unrolled(monkeypatch: pytest.MonkeyPatch, module: nn.Module, *inputs: Any) -> Workload:
    with monkeypatch.context() as patch:
        patch.setattr(repeating, "LEAST", 1 << 30)
        return trace(module, inputs)


def copied(workload: Workload) -> bool:
    return "are copies" in workload.provenance.get("assumptions", "")


@pytest.mark.parametrize("kind", MODELS)
def test_recurrences_of_transformers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = import_transformers()
    config = transformers.CONFIG_MAPPING[kind](**{**SMALL, **MODELS[kind]})
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    ids = torch.zeros(2, STEPS, dtype=torch.long)
    found = trace(module, ids)
    assert copied(found)
    expected = unrolled(monkeypatch, module, ids)
    assert not copied(expected)
    assert_equal(found, expected)


class Recurrence(nn.Module):
    """A network that is written as people write it; its steps are what differs below."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        self.mix = nn.Parameter(torch.zeros(STEPS, WIDTH, WIDTH))
        self.scale = nn.Parameter(torch.zeros(WIDTH))
        self.calls = 0

    def own(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * 2 if self.calls % 7 else x


class Cells(Recurrence):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, results = x.new_zeros(len(x), WIDTH), []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            results.append(F.relu(state) * self.scale)
        return torch.stack(results, dim=1) + state[:, None]


class Weights(Recurrence):
    """Each step reads another part of a weight, and writes another part of its result."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = torch.zeros_like(x)
        state, gates = x[:, 0], []
        for step in range(1, x.shape[1]):
            gate = torch.sigmoid(x[:, step - 1])
            state = torch.tanh(state @ self.mix[step]) * gate
            result[:, step] = state
            gates.append(gate)
        return result.sum() + torch.cat(gates).sum() + state.sum()


@pytest.mark.parametrize("kind", [Cells, Weights])
def test_recurrences_of_ones_own(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = kind(), torch.zeros(3, STEPS, WIDTH)
    found = trace(module, x)
    assert copied(found)
    assert f"of the {STEPS - (kind is Weights)} passes" in found.provenance["assumptions"]
    assert_equal(found, unrolled(monkeypatch, module, x))


class Branches(Recurrence):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x[:, 0]
        for step in range(x.shape[1]):
            if step % 8 == 5:
                state = state @ self.mix[0]
            state = state + x[:, step]
        return state


class Counts(Recurrence):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, state = 0, x[:, 0]
        for step in range(x.shape[1]):
            count += 1
            state = state + x[:, step]
        return state.expand(count, *state.shape) @ self.mix[0]


class Calls(Recurrence):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x[:, 0]
        for step in range(x.shape[1]):
            state = state + self.own(x[:, step])
        return state


class Numbers(Recurrence):
    """The number of a step is more than an index."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = []
        for step in range(x.shape[1]):
            steps.append(step)  # noqa: PERF402
        return x[:, : len(steps)] + 1


class Grows(Recurrence):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x[:, 0]
        for step in range(x.shape[1]):
            state = state + x[:, : step + 1].sum(1)
        return state


class Layers(Recurrence):
    """Each step reads another weight, not another part of one."""

    def __init__(self) -> None:
        super().__init__()
        self.all = [nn.Parameter(torch.zeros(WIDTH, WIDTH)) for _ in range(STEPS)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in range(len(self.all)):
            x = x @ self.all[step]
        return x


class Ends(Recurrence):
    """The last steps have less to read."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x[:, 0]
        for step in range(x.shape[1]):
            state = state + x[:, step : step + 2].sum(1)
            state = state * x[:, step : step + 2].reshape(-1, WIDTH).sum(0)
        return state


@pytest.mark.parametrize("kind", [Branches, Counts, Calls, Numbers, Grows, Layers, Ends])
def test_other_loops_are_run(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(3, STEPS, WIDTH)
    found = trace(kind(), x)
    assert not copied(found)
    assert_equal(found, unrolled(monkeypatch, kind(), x))


def test_a_loop_of_few_passes_is_run() -> None:
    assert not copied(trace(Cells(), torch.zeros(3, LEAST - 1, WIDTH)))
    assert copied(trace(Cells(), torch.zeros(3, LEAST, WIDTH)))
    assert LEAST > WARM + 1


class Fails(Cells):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(range(3), range)
        assert range is not builtins.range
        return super().forward(x) @ x


@pytest.mark.parametrize("kind", [Cells, Fails])
def test_the_name_is_put_back(kind: type[nn.Module]) -> None:
    if kind is Fails:
        with pytest.raises(TraceError):
            trace(kind(), torch.zeros(3, STEPS, WIDTH))
    else:
        trace(kind(), torch.zeros(3, STEPS, WIDTH))
    assert "range" not in globals()
