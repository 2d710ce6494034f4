"""Text models by configuration: FLOPs, parameters, weights and cache against closed forms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perfmodel.models.decoding import import_transformers
from perfmodel.models.generation import trace_generation
from perfmodel.tracing.operators.experts import EVEN_ROUTING
from perfmodel.workload.workload import KINDS, OUTPUT, Workload
from tests.models.text_models import ENCODER_DECODERS, FORMS

transformers = import_transformers()

#: Of every model; lengths are such that a prompt of the same length as a window does not hide one.
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOKENS, CONTEXT, WINDOW = 24, 40, 16
_HALF = ["sliding_attention", "full_attention"]
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_LATENT = {
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
    "topk_group": 1,
}
_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 96}
_SPACE = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama4_text": {
        "head_dim": 16,
        "intermediate_size_mlp": 80,
        "num_local_experts": 4,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 64,
        "no_rope_layers": [1, 0],
    },
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "qwen2_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 48,
    },
    "qwen3_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "head_dim": 16,
    },
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "sliding_window": WINDOW, "layer_types": _HALF},
    "gemma3_text": {"head_dim": 16, "sliding_window": WINDOW, "layer_types": _HALF},
    "phi": {"num_key_value_heads": 4},
    "phi3": {},
    "phimoe": _EXPERTS,
    "mistral": {"sliding_window": WINDOW},
    "mixtral": _EXPERTS,
    "deepseek_v2": {**_LATENT, "q_lora_rank": None, "n_shared_experts": 2, "n_group": 1},
    "deepseek_v3": {**_LATENT, "q_lora_rank": 32, "n_shared_experts": 1, "n_group": 2},
    "gpt_oss": {
        **_EXPERTS,
        "head_dim": 16,
        "sliding_window": WINDOW,
        "layer_types": _HALF,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    },
    "olmo": {},
    "olmo2": {},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "falcon": {"multi_query": True, "parallel_attn": True, "bias": False},
    "gpt2": _GPT,
    "gpt_neox": {},
    "gptj": {**_GPT, "rotary_dim": 8},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "bloom": {"n_layer": 2, "n_head": 4},
    "starcoder2": {"sliding_window": None},
    "stablelm": {},
    "cohere": {},
    "glm": {"head_dim": 16},
    "granite": {},
    "granitemoe": _EXPERTS,
    "mamba": {"state_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 8, "n_groups": 2, "chunk_size": 16},
    "rwkv": {},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
    },
    "bamba": {**_SPACE, "attn_layer_indices": [1], "mamba_chunk_size": 16},
}


@functools.cache
def built(kind: str) -> tuple[Any, nn.Module]:
    """A configuration and its module, which tracing leaves as it is."""
    config = transformers.CONFIG_MAPPING[kind](**{**SIZES, **MODELS[kind]})
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    return config, module


def of_kind(workload: Workload, kind: str) -> Any:
    """Which rows of the tensors are of a kind."""
    return workload.tensors.kind == KINDS.index(kind)


def held(workload: Workload) -> int:
    """Elements of what outlives the run."""
    return int(workload.tensors.elements[of_kind(workload, "state")].sum())


def read_of_state(workload: Workload) -> int:
    """Elements of what outlives the run that all kernels read, each as often as it is read."""
    a = workload.accesses
    ours = of_kind(workload, "state")[a.tensor] & (a.role != OUTPUT)
    return int(a.elements[ours].sum())


def read_of_weights(workload: Workload, module: nn.Module) -> int:
    """Elements of parameters that are read, each once; rows of embeddings left out."""
    a = workload.accesses
    most = np.zeros(len(workload.tensors.name), np.int64)
    np.maximum.at(most, a.tensor[a.role != OUTPUT], a.elements[a.role != OUTPUT])
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    tables = {
        f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Embedding)
    }
    found = 0
    for name, elements in zip(workload.tensors.name, most.tolist(), strict=True):
        parameter = name.partition("[")[0]
        # A table that is the head's weight, too, is read whole.
        if parameter in sizes and (parameter not in tables or elements == sizes[parameter]):
            found += elements
    return found


def test_the_table_has_the_models_of_the_closed_forms() -> None:
    assert MODELS.keys() == FORMS.keys()
    assert len(MODELS) + len(ENCODER_DECODERS) >= 29


@pytest.mark.parametrize("kind", MODELS)
def test_parameters(kind: str) -> None:
    config, module = built(kind)
    assert FORMS[kind](config).parameters == sum(p.numel() for p in module.parameters())


# RWKV of transformers mixes the sequences of a batch where it reads its state, so a step of three
# runs nine rows: what it runs for one is asserted.
BATCH = {kind: 1 if kind == "rwkv" else 3 for kind in MODELS}


@pytest.mark.parametrize("kind", MODELS)
def test_prefill(kind: str) -> None:
    config, module = built(kind)
    form, batch = FORMS[kind](config), BATCH[kind]
    workload = trace_generation(module, tokens=TOKENS, batch=batch)
    assert workload.flops == batch * form.prefill(TOKENS)
    assert read_of_weights(workload, module) == form.read(batch * TOKENS)
    assert workload.unmodelled == ()


# With one sequence some of the experts run, with three all of them.
STEPS = [(kind, BATCH[kind]) for kind in MODELS] + [
    (kind, 1) for kind, changed in MODELS.items() if "num_experts_per_tok" in changed
]


@pytest.mark.parametrize(("kind", "batch"), STEPS)
def test_decode(kind: str, batch: int) -> None:
    config, module = built(kind)
    form = FORMS[kind](config)
    workload = trace_generation(module, phase="decode", context=CONTEXT, batch=batch)
    assert workload.flops == batch * form.decode(CONTEXT)
    assert read_of_weights(workload, module) == form.read(batch)
    assert held(workload) == batch * form.cache(CONTEXT)
    # Each element of a cache is read once, by attention or by what expands it; the state of RWKV
    # takes part in many elementwise operations.
    assert read_of_state(workload) == batch * form.cache(CONTEXT) or kind == "rwkv"
    routed = getattr(config, "num_experts_per_tok", 0) and kind != "llama4_text"
    assert (EVEN_ROUTING in workload.provenance.get("assumptions", "")) is bool(routed)


SMALL = {"d_model": 64, "vocab_size": 100, "pad_token_id": 0, "decoder_start_token_id": 0}
_BART = {
    **SMALL,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "forced_eos_token_id": 2,
}
PAIRS: dict[str, dict[str, Any]] = {
    "t5": {**SMALL, "d_ff": 96, "num_layers": 2, "num_heads": 4, "d_kv": 16},
    "bart": {**_BART, "max_position_embeddings": 128},
    "marian": {**_BART, "max_position_embeddings": 128},
    "whisper": {
        **_BART,
        "num_mel_bins": 8,
        "max_source_positions": 48,
        "max_target_positions": 64,
        "begin_suppress_tokens": None,
    },
}


@pytest.mark.parametrize("kind", PAIRS)
def test_encoder_decoders(kind: str) -> None:
    config = transformers.CONFIG_MAPPING[kind](**PAIRS[kind])
    auto = "AutoModelForSpeechSeq2Seq" if kind == "whisper" else "AutoModelForSeq2SeqLM"
    with torch.device("meta"):
        module = getattr(transformers, auto).from_config(config).eval()
    form = ENCODER_DECODERS[kind](config)
    assert form.parameters == sum(p.numel() for p in module.parameters())
    batch, source = 3, 48 if kind == "whisper" else 32
    tokens = None if kind == "whisper" else source
    prefill = trace_generation(module, tokens=tokens, batch=batch)
    assert prefill.flops == batch * form.prefill(source)
    decode = trace_generation(module, phase="decode", context=20, batch=batch)
    # What was encoded is as long as the model takes at most, or 512 tokens.
    encoded = {"t5": 512, "whisper": 48}.get(kind, 128)
    assert decode.flops == batch * form.decode(20, encoded)
    assert held(decode) == batch * form.cache(20, encoded)
    assert read_of_state(decode) == batch * form.cache(20, encoded)
