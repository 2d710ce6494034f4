"""Mixtures of experts: the FLOPs and the bytes of the experts that run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perfmodel.errors import TraceError
from perfmodel.models.decoding import import_transformers
from perfmodel.tracing import operators
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.operators.experts import EVEN_ROUTING
from perfmodel.tracing.routing import RULE
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import KINDS, WEIGHT, Workload

HIDDEN, WIDTH, EXPERTS, CHOSEN, WORDS = 64, 32, 8, 2, 100
#: The weights of one expert: gate, up and down.
EXPERT = 3 * HIDDEN * WIDTH

COMMON = {
    "hidden_size": HIDDEN,
    "intermediate_size": WIDTH,
    "moe_intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": WORDS,
    "num_experts_per_tok": CHOSEN,
    "use_cache": False,
}
MODELS = {
    "Qwen3Moe": {"num_experts": EXPERTS, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "Mixtral": {"num_local_experts": EXPERTS},
    "Olmoe": {"num_experts": EXPERTS},
    "GraniteMoe": {"num_local_experts": EXPERTS},
    # Its router takes one expert after the other.
    "Phimoe": {"num_local_experts": EXPERTS},
}


def mixture(model: str, tokens: int, implementation: str | None = None) -> Workload:
    transformers = import_transformers()
    config = getattr(transformers, f"{model}Config")(**COMMON, **MODELS[model])
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    if implementation is not None:
        module.set_experts_implementation(implementation)
    return trace(module, torch.zeros(1, tokens, dtype=torch.long))


def read(workload: Workload) -> int:
    """Elements of the experts' weights that are read, each weight once."""
    a = workload.accesses
    kinds, names = workload.tensors.kind.tolist(), workload.tensors.name
    weights = [row for row, kind in enumerate(kinds) if kind == KINDS.index("weight")]
    ours = [row for row in weights if "experts." in names[row]]
    largest: dict[int, int] = {}
    for row, elements in zip(a.tensor.tolist(), a.elements.tolist(), strict=True):
        largest[row] = max(largest.get(row, 0), elements)
    return sum(largest[row] for row in ours)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("tokens", [1, 3, 40])
@pytest.mark.parametrize("implementation", [None, "batched_mm", "eager"])
def test_only_experts_that_run_are_counted_and_read(
    model: str, tokens: int, implementation: str | None
) -> None:
    workload = mixture(model, tokens, implementation)
    projections = HIDDEN * 64 * 2 + 2 * HIDDEN * 32
    kv = 4 * 16  # OLMoE has as many heads of keys as it is told, and its own width of a head
    if model == "Olmoe":
        projections = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * (HIDDEN // 2)
    per_token = projections + HIDDEN * EXPERTS + CHOSEN * EXPERT + HIDDEN * WORDS
    assert workload.flops == 2 * tokens * per_token + 4 * tokens * tokens * kv
    assert read(workload) == min(EXPERTS, CHOSEN * tokens) * EXPERT
    if implementation is None:
        assert EVEN_ROUTING in workload.provenance["assumptions"]


def test_a_run_of_one_token_moves_the_weights_of_its_experts_alone() -> None:
    workload = mixture("Qwen3Moe", 1)
    a = workload.accesses
    experts = [i for i, name in enumerate(workload.kernels.name) if "experts" in name]
    weights = (a.role == WEIGHT) & np.isin(a.kernel, experts)
    assert a.elements[weights].sum() == CHOSEN * EXPERT


class Looped(nn.Module):
    """A mixture as people write it: a loop over experts, each on the rows that chose it."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.router = nn.Linear(HIDDEN, EXPERTS, bias=False)
        self.experts = nn.ModuleList(nn.Linear(HIDDEN, WIDTH, bias=False) for _ in range(EXPERTS))

    def rows(self, chosen: torch.Tensor, expert: int) -> torch.Tensor:
        if self.style == "where":
            return torch.where(chosen == expert)[0]
        if self.style == "nonzero":
            return (chosen == expert).any(-1).nonzero().squeeze(-1)
        mask = nn.functional.one_hot(chosen, EXPERTS)[..., expert].sum(-1).bool()
        return torch.arange(len(chosen))[mask]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, chosen = self.router(x).softmax(-1).topk(CHOSEN)
        result = x.new_zeros(len(x), WIDTH)
        for expert, layer in enumerate(self.experts):
            rows = self.rows(chosen, expert)
            if len(rows):
                result[rows] += layer(x[rows])
        return result


class OneByOne(Looped):
    """The second choice is the best of the scores from which the first was taken."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.router(x)
        first = scores.max(-1, keepdim=True)[1]
        second = scores.scatter(-1, first, float("-inf")).argmax(-1, keepdim=True)
        chosen = torch.cat([first, second], -1)
        result = x.new_zeros(len(x), WIDTH)
        for expert, layer in enumerate(self.experts):
            rows = torch.where(chosen == expert)[0]
            if len(rows):
                result[rows] += layer(x[rows])
        return result


@pytest.mark.parametrize("tokens", [1, 3, 7, 40])
def test_choices_one_by_one(tokens: int) -> None:
    workload = trace(OneByOne(""), torch.zeros(tokens, HIDDEN))
    assert workload.flops == 2 * tokens * HIDDEN * (EXPERTS + CHOSEN * WIDTH)
    assert read(workload) == min(EXPERTS, CHOSEN * tokens) * HIDDEN * WIDTH


class Split(Looped):
    """The same by counts: rows sorted by expert and split."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, chosen = self.router(x).topk(CHOSEN)
        order = chosen.flatten().argsort()
        counts = torch.bincount(chosen.flatten(), minlength=EXPERTS).tolist()
        parts = x[order // CHOSEN].split(counts)
        done = [layer(part) for layer, part in zip(self.experts, parts, strict=True) if len(part)]
        return torch.cat(done)


@pytest.mark.parametrize("style", ["where", "nonzero", "mask", "split"])
@pytest.mark.parametrize("tokens", [1, 3, 7, 40])
def test_a_loop_over_experts(style: str, tokens: int) -> None:
    module = Split(style) if style == "split" else Looped(style)
    workload = trace(module, torch.zeros(tokens, HIDDEN))
    assert workload.flops == 2 * tokens * HIDDEN * (EXPERTS + CHOSEN * WIDTH)
    assert read(workload) == min(EXPERTS, CHOSEN * tokens) * HIDDEN * WIDTH
    assert RULE in workload.provenance["values"]


def test_the_choice_of_one_expert_by_the_largest_score() -> None:
    class Switch(Looped):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            chosen = self.router(x).argmax(-1)
            return torch.cat([e(x[chosen == i]) for i, e in enumerate(self.experts)])

    workload = trace(Switch(""), torch.zeros(20, HIDDEN))
    assert workload.flops == 2 * 20 * HIDDEN * (EXPERTS + WIDTH)


def test_the_largest_of_many_is_no_router() -> None:
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[: int(x.argmax(-1)[0])]

    with pytest.raises(TraceError, match="depends on the values"):
        trace(Greedy(), torch.zeros(2, 5000))


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def grouped(left: torch.Tensor, right: torch.Tensor, result: tuple[int, ...]) -> Cost:
    formula = operators.find("aten._grouped_mm")
    assert formula is not None
    arguments: dict[str, Any] = {"self": left, "mat2": right, "offs": meta(4, dtype=torch.int32)}
    return formula(Call(arguments, (result,)))


@pytest.mark.parametrize(
    ("left", "right", "result", "flops", "gemm"),
    [
        ((12, 8), (4, 8, 6), (12, 6), 2 * 12 * 8 * 6, (4, 3, 6, 8)),
        ((3, 8), (4, 8, 6), (3, 6), 2 * 3 * 8 * 6, (3, 1, 6, 8)),  # three of four run
        ((4, 5, 8), (8, 12), (5, 12), 2 * 12 * 8 * 5, (4, 3, 5, 8)),
        ((5, 12), (12, 6), (4, 5, 6), 2 * 5 * 12 * 6, (4, 5, 6, 3)),  # parts of the depth
        ((4, 5, 8), (4, 8, 6), (4, 5, 6), 2 * 4 * 5 * 8 * 6, (4, 5, 6, 8)),
    ],
)
def test_grouped_products(left: Any, right: Any, result: Any, flops: int, gemm: Any) -> None:
    found = grouped(meta(*left), meta(*right), result)
    assert found.flops == flops
    assert found.gemm == gemm


def test_weights_of_experts_without_rows_are_not_read() -> None:
    assert grouped(meta(3, 8), meta(4, 8, 6), (3, 6)).reads == {"mat2": 3 * 8 * 6}
    assert grouped(meta(0, 8), meta(4, 8, 6), (0, 6)).reads == {"mat2": 0}
