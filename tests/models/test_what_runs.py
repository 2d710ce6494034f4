"""The kernels of a trace are those that PyTorch's profiler sees when a CPU runs the model.

Weights and inputs are real here, so nothing that is done for an export alone (a mask, copies of
keys and values for grouped queries, a loop instead of a solver) can hide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from perfmodel.models.decoding import import_transformers
from perfmodel.tracing import operators
from perfmodel.tracing.tracing import trace
from tests.models.test_text_models import MODELS, PAIRS, SIZES

transformers = import_transformers()

#: Operators that return a part or another view of their argument, or, in eval mode, itself.
VIEWS = frozenset(
    {
        "alias", "chunk", "diagonal", "dropout", "expand", "expand_as", "lift_fresh", "narrow",
        "numpy_T", "permute", "select", "slice", "split", "split_with_sizes", "squeeze",
        "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as", "view_as_complex",
        "view_as_real",
    }
)  # fmt: skip
#: Operators that copy where they must.
PERHAPS = frozenset({"contiguous", "flatten", "reshape", "to", "type_as"})


def model(kind: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A small model with weights, and its arguments."""
    torch.manual_seed(0)
    ids = torch.randint(3, 100, (1, 24))
    if kind in MODELS:
        # GPT-2 looks for padding among the tokens once, to warn of it.
        unpadded = {"pad_token_id": None} if kind.startswith("gpt") else {}
        changed = {**SIZES, **MODELS[kind], **unpadded, "use_cache": False}
        config = transformers.CONFIG_MAPPING[kind](**changed)
        return transformers.AutoModelForCausalLM.from_config(config).eval(), {"input_ids": ids}
    config = transformers.CONFIG_MAPPING[kind](**{**PAIRS[kind], "use_cache": False})
    inputs = {"decoder_input_ids": ids[:, :6]}
    if kind == "whisper":
        module = transformers.AutoModelForSpeechSeq2Seq.from_config(config)
        return module.eval(), {**inputs, "input_features": torch.randn(1, 8, 96)}
    module = transformers.AutoModelForSeq2SeqLM.from_config(config)
    return module.eval(), {**inputs, "input_ids": ids}


def seen(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Counter[str]:
    """What the profiler sees the forward call, without what those calls are made of."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        module(**inputs)
    events = [event for event in profiled.events() if _is_operator(event)]
    copying = {
        id(outer) for event in events if event.name == "aten::copy_" for outer in _callers(event)
    }
    found: Counter[str] = Counter()
    for event in events:
        short = event.name.partition("::")[2]
        if (
            any(_callers(event))
            or short in VIEWS
            or (short in PERHAPS and id(event) not in copying)
        ):
            continue
        name = operators.canonical(event.name.replace("::", "."))
        if name not in operators.FREE:
            found[name] += 1
    return found


def _is_operator(event: Any) -> bool:
    return bool(event.name.startswith(("aten::", "transformers::")))


def _callers(event: Any) -> Iterator[Any]:
    while (event := event.cpu_parent) is not None:
        if _is_operator(event):
            yield event


@pytest.mark.parametrize("kind", [*MODELS, *PAIRS])
def test_kernels_are_those_of_a_run(kind: str) -> None:
    module, inputs = model(kind)
    workload = trace(module, (), kwargs=inputs, batch=1)
    assert Counter(workload.kernels.operator) == seen(module, inputs)
