"""Transformers of Hugging Face, written out as configurations: nothing is ever downloaded.

The hyper-parameters are those that were published; :mod:`perfmodel.models.huggingface` says what
is counted.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from perfmodel.models.huggingface import causal_lm, encoder, speech_to_text
from perfmodel.models.spec import ModelInput, ModelSpec


def _text(tokens: int) -> tuple[ModelInput, ...]:
    return (
        ModelInput("input_ids", (tokens,), "int64"),
        ModelInput("attention_mask", (tokens,), "int64"),
    )


def _image(_tokens: int) -> tuple[ModelInput, ...]:
    return (ModelInput("pixel_values", (3, 224, 224)),)


#: How each model is made; its layers can be chosen, which tests do.
_FACTORIES: Final[tuple[partial[ModelSpec], ...]] = (
    # Devlin et al. 2018, arXiv:1810.04805; sequence and head as in MLPerf Inference.
    partial(
        encoder,
        "bert_large",
        "BERT-large",
        "BertForQuestionAnswering",
        {
            "vocab_size": 30522,
            "hidden_size": 1024,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "max_position_embeddings": 512,
        },
        task="question answering",
        layers=24,
        inputs=_text,
        tokens=384,
        longest=512,
        notes="with the question-answering head and without the pooler; all tokens are computed, "
        "those the attention mask leaves out too",
    ),
    # The same paper; sequence and head as in GLUE's tasks of one sentence.
    partial(
        encoder,
        "bert_base",
        "BERT-base",
        "BertForSequenceClassification",
        {
            "vocab_size": 30522,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 512,
        },
        task="text classification",
        layers=12,
        inputs=_text,
        tokens=128,
        longest=512,
        notes="with the pooler and a classifier of two classes; all tokens are computed, those the "
        "attention mask leaves out too",
    ),
    # Dosovitskiy et al. 2020, arXiv:2010.11929.
    partial(
        encoder,
        "vit_b_16_hf",
        "ViT-B/16 (Transformers)",
        "ViTForImageClassification",
        {
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "num_labels": 1000,
        },
        task="image classification",
        layers=12,
        inputs=_image,
        notes="the same network as torchvision's vit_b_16, to check one against the other",
    ),
    # Radford et al. 2019; the 1.5 B model.
    partial(
        causal_lm,
        "gpt2_xl",
        "GPT-2 XL (1.5B)",
        "GPT2LMHeadModel",
        {
            "vocab_size": 50257,
            "n_positions": 1024,
            "n_embd": 1600,
            "n_head": 25,
            # The function of GPT-2's own "gelu_new", as one operator instead of eight.
            "activation_function": "gelu_pytorch_tanh",
        },
        layers=48,
        kv_heads=25,
        head_dim=64,
        longest=1024,
        notes="embedding and head share their weight",
    ),
    # Touvron et al. 2023, arXiv:2307.09288.
    partial(
        causal_lm,
        "llama_7b",
        "Llama-2-7B",
        "LlamaForCausalLM",
        {
            "vocab_size": 32000,
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "max_position_embeddings": 4096,
        },
        layers=32,
    ),
    partial(
        causal_lm,
        "llama_2_70b",
        "Llama-2-70B",
        "LlamaForCausalLM",
        {
            "vocab_size": 32000,
            "hidden_size": 8192,
            "intermediate_size": 28672,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "max_position_embeddings": 4096,
        },
        layers=80,
    ),
    # Grattafiori et al. 2024, arXiv:2407.21783. The rescaled rotary frequencies of Llama 3.2 are
    # left out: they are other values of the same buffer.
    partial(
        causal_lm,
        "llama_3_8b",
        "Llama-3-8B",
        "LlamaForCausalLM",
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 8192,
        },
        layers=32,
    ),
    partial(
        causal_lm,
        "llama_3_2_1b",
        "Llama-3.2-1B",
        "LlamaForCausalLM",
        {
            "vocab_size": 128256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": True,
        },
        layers=16,
        notes="embedding and head share their weight",
    ),
    partial(
        causal_lm,
        "llama_3_2_3b",
        "Llama-3.2-3B",
        "LlamaForCausalLM",
        {
            "vocab_size": 128256,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": True,
        },
        layers=28,
        notes="embedding and head share their weight",
    ),
    # Jiang et al. 2024, arXiv:2401.04088.
    partial(
        causal_lm,
        "mixtral_8x7b",
        "Mixtral-8x7B",
        "MixtralForCausalLM",
        {
            "vocab_size": 32000,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "max_position_embeddings": 32768,
        },
        layers=32,
        notes="routing is assumed even: every token runs exactly 2 of 8 experts, and the tokens of "
        "a run spread evenly, so the weights of min(8, 2 * batch * tokens) experts are read",
    ),
    # Black et al. 2022, arXiv:2204.06745; the width of the vocabulary is padded.
    partial(
        causal_lm,
        "gpt_neox_20b",
        "GPT-NeoX-20B",
        "GPTNeoXForCausalLM",
        {
            "vocab_size": 50432,
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "num_attention_heads": 64,
            "max_position_embeddings": 2048,
            # The function of its own "gelu_fast", as one operator instead of eight.
            "hidden_act": "gelu_pytorch_tanh",
        },
        layers=44,
    ),
    # Almazrouei et al. 2023, arXiv:2311.16867: one head of keys and values, no biases.
    partial(
        causal_lm,
        "falcon_7b",
        "Falcon-7B",
        "FalconForCausalLM",
        {
            "vocab_size": 65024,
            "hidden_size": 4544,
            "num_attention_heads": 71,
            "multi_query": True,
            "parallel_attn": True,
            "new_decoder_architecture": False,
            "bias": False,
            "alibi": False,
            "max_position_embeddings": 2048,
            # Its attention is a class of its own, which knows only transformers' own kinds.
            "attn_implementation": "sdpa",
        },
        layers=32,
        kv_heads=1,
        head_dim=64,
        longest=2048,
        notes="embedding and head share their weight",
    ),
    # Abdin et al. 2024, arXiv:2412.08905.
    partial(
        causal_lm,
        "phi_4_14b",
        "Phi-4 (14B)",
        "Phi3ForCausalLM",
        {
            "vocab_size": 100352,
            "hidden_size": 5120,
            "intermediate_size": 17920,
            "num_attention_heads": 40,
            "num_key_value_heads": 10,
            "max_position_embeddings": 16384,
            "pad_token_id": 0,
        },
        layers=40,
    ),
    # Radford et al. 2022, arXiv:2212.04356.
    partial(
        speech_to_text,
        "whisper_small",
        "Whisper small",
        {
            "vocab_size": 51865,
            "num_mel_bins": 80,
            "d_model": 768,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
            "max_source_positions": 1500,
            "max_target_positions": 448,
        },
        layers=12,
        heads=12,
        head_dim=64,
        frames=1500,
        longest=448,
        prompt=4,
        notes="prefill encodes 30 s of speech and runs a prompt of 4 tokens; decode generates text",
    ),
)

#: All models, in the order in which tables show them.
SPECS: Final = tuple(factory() for factory in _FACTORIES)


def with_layers(name: str, layers: int) -> ModelSpec:
    """The spec called ``name`` with another number of layers; KeyError for an unknown one."""
    factories = {spec.name: factory for spec, factory in zip(SPECS, _FACTORIES, strict=True)}
    return factories[name](layers=layers)
