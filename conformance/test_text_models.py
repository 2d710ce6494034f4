"""Published text models at full size, by configuration, against closed forms and known sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from perfmodel.models.decoding import import_transformers
from perfmodel.models.generation import trace_generation
from tests.models.test_text_models import held, read_of_state, read_of_weights
from tests.models.text_models import ENCODER_DECODERS, FORMS

transformers = import_transformers()


def sizes(hidden: int, width: int, layers: int, heads: int, kv: int, words: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": words,
        "max_position_embeddings": 8192,
        "pad_token_id": 0,
        "tie_word_embeddings": False,
    }


#: Architecture, configuration as published, and parameters as published or of its checkpoint.
PUBLISHED: dict[str, tuple[str, dict[str, Any], int]] = {
    "Llama-2-7B": ("llama", sizes(4096, 11008, 32, 32, 32, 32000), 6_738_415_616),
    "Llama-3.1-8B": ("llama", sizes(4096, 14336, 32, 32, 8, 128256), 8_030_261_248),
    "Llama-3.1-70B": ("llama", sizes(8192, 28672, 80, 64, 8, 128256), 70_553_706_496),
    "Qwen2.5-7B": ("qwen2", sizes(3584, 18944, 28, 28, 4, 152064), 7_615_616_512),
    "Qwen3-8B": (
        "qwen3",
        {**sizes(4096, 12288, 36, 32, 8, 151936), "head_dim": 128},
        8_190_735_360,
    ),
    "Qwen3-30B-A3B": (
        "qwen3_moe",
        {
            **sizes(2048, 6144, 48, 32, 4, 151936),
            "head_dim": 128,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
        },
        30_532_122_624,
    ),
    "gemma-2-9b": (
        "gemma2",
        {
            **sizes(3584, 14336, 42, 16, 8, 256000),
            "head_dim": 256,
            "sliding_window": 4096,
            "tie_word_embeddings": True,
        },
        9_241_705_984,
    ),
    "Phi-3-mini": ("phi3", sizes(3072, 8192, 32, 32, 32, 32064), 3_821_079_552),
    "Mistral-7B": (
        "mistral",
        {**sizes(4096, 14336, 32, 32, 8, 32000), "sliding_window": 4096},
        7_241_732_096,
    ),
    "DeepSeek-V2-Lite": (
        "deepseek_v2",
        {
            **sizes(2048, 10944, 27, 16, 16, 102400),
            "q_lora_rank": None,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 1408,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        },
        15_706_484_224,
    ),
    "gpt-oss-20b": (
        "gpt_oss",
        {
            **sizes(2880, 2880, 24, 64, 8, 201088),
            "head_dim": 64,
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
            "sliding_window": 128,
        },
        20_914_757_184,
    ),
    "mamba-130m": (
        "mamba",
        {"hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280, "state_size": 16},
        129_135_360,
    ),
}
CONTEXT, TOKENS = 5000, 512


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    kind, options, parameters = PUBLISHED[name]
    config = transformers.CONFIG_MAPPING[kind](**options)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    form = FORMS[kind](config)
    assert form.parameters == parameters == sum(p.numel() for p in module.parameters())
    prefill = trace_generation(module, tokens=TOKENS)
    assert prefill.flops == form.prefill(TOKENS)
    decode = trace_generation(module, phase="decode", context=CONTEXT)
    assert decode.flops == form.decode(CONTEXT)
    assert read_of_weights(decode, module) == form.read(1)
    assert held(decode) == read_of_state(decode) == form.cache(CONTEXT)


def test_a_state_space_of_2048_tokens_is_scanned() -> None:
    kind, options, _ = PUBLISHED["mamba-130m"]
    config = transformers.CONFIG_MAPPING[kind](**options)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config).eval()
    found = trace_generation(module, tokens=2048)
    assert found.flops == FORMS[kind](config).prefill(2048)
    # One for each token, and the projection of the time steps of all.
    assert found.kernels.operator.count("aten.matmul") == 24 * (2048 + 1)
    assert "of the 2048 passes" in found.provenance["assumptions"]


def test_encoder_decoders_at_their_published_sizes() -> None:
    options: dict[str, Any] = {
        "d_model": 768,
        "encoder_layers": 12,
        "decoder_layers": 12,
        "encoder_attention_heads": 12,
        "decoder_attention_heads": 12,
        "encoder_ffn_dim": 3072,
        "decoder_ffn_dim": 3072,
    }
    whisper = transformers.WhisperConfig(**options, vocab_size=51865)
    t5 = transformers.T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12)
    with torch.device("meta"):
        pairs = [
            (whisper, transformers.WhisperForConditionalGeneration(whisper), 241_734_912, 1500),
            (t5, transformers.T5ForConditionalGeneration(t5), 222_903_552, 512),
        ]
    for config, module, parameters, source in pairs:
        form = ENCODER_DECODERS[config.model_type](config)
        assert form.parameters == parameters == sum(p.numel() for p in module.parameters())
        assert trace_generation(module.eval()).flops == form.prefill(source)
        decode = trace_generation(module, phase="decode", context=100)
        assert decode.flops == form.decode(100, source)
        assert held(decode) == read_of_state(decode) == form.cache(100, source)
