"""Closed forms of text models by their configuration; what they are made of is in text_layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.models.text_layers import (
    Attention,
    EncoderDecoder,
    Latent,
    Mamba,
    Mamba2,
    Mixer,
    Network,
    TextModel,
    TimeMix,
)


def _attention(c: Any, layer: int) -> Attention:
    dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    kv_heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    kinds = getattr(c, "layer_types", None)
    window = getattr(c, "sliding_window", None)
    if kinds and kinds[layer] == "chunked_attention":
        window = c.attention_chunk_size
    elif kinds and kinds[layer] != "sliding_attention":
        window = 0
    return Attention(c.hidden_size, c.num_attention_heads, kv_heads, dim, window or 0)


def _all_heads(c: Any) -> Attention:
    """As many heads of keys and values as of queries."""
    d, heads = c.hidden_size, c.num_attention_heads
    return Attention(d, heads, heads, d // heads)


def _decoder(
    c: Any,
    *,
    layer: int,
    final: int | None = None,
    matrices: int = 3,
    network: Callable[[int], Network] | None = None,
    mixer: Callable[[int], Mixer] | None = None,
    head: int = 0,
    tables: int = 0,
) -> TextModel:
    """A decoder; ``layer``, ``final``, ``head``: elements of norms and biases at these places."""
    d = c.hidden_size
    dense = Network(d, getattr(c, "intermediate_size", 0) or 4 * d, matrices)
    return TextModel(
        layers=tuple(
            (
                mixer(i) if mixer else _attention(c, i),
                network(i) if network else dense,
            )
            for i in range(c.num_hidden_layers)
        ),
        hidden=d,
        vocabulary=c.vocab_size,
        others=c.num_hidden_layers * layer + (d if final is None else final) + head,
        tied=bool(c.tie_word_embeddings),
        tables=tables,
    )


def _dim(c: Any) -> int:
    return int(getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads)


def _qkv(c: Any) -> int:
    """Biases of queries, keys and values."""
    return (c.num_attention_heads + 2 * c.num_key_value_heads) * _dim(c)


def llama(c: Any) -> TextModel:
    """Two norms a layer: Llama, Mistral, Gemma, OLMo's successors, Phi-3, Granite."""
    return _decoder(c, layer=2 * c.hidden_size)


def llama4(c: Any) -> TextModel:
    """Dense and mixed layers in turn; transformers multiplies every token by every expert."""
    d = c.hidden_size
    mixed = Network(
        d, c.intermediate_size, 3, c.num_local_experts, c.num_local_experts, c.intermediate_size
    )
    dense = Network(d, c.intermediate_size_mlp)
    return _decoder(c, layer=2 * d, network=lambda i: mixed if i in c.moe_layers else dense)


def qwen2(c: Any) -> TextModel:
    """Biases of queries, keys and values."""
    return _decoder(c, layer=2 * c.hidden_size + _qkv(c))


def qwen3(c: Any) -> TextModel:
    """Norms of each head's query and key."""
    return _decoder(c, layer=2 * c.hidden_size + 2 * _dim(c))


def qwen2_moe(c: Any) -> TextModel:
    """A shared expert with a gate of one weight for each input."""
    network = Network(
        c.hidden_size,
        c.moe_intermediate_size,
        experts=c.num_experts,
        chosen=c.num_experts_per_tok,
        shared=c.shared_expert_intermediate_size,
        beside=c.hidden_size,
    )
    return _decoder(c, layer=2 * c.hidden_size + _qkv(c), network=lambda i: network)


def qwen3_moe(c: Any) -> TextModel:
    """No shared expert."""
    network = Network(
        c.hidden_size,
        c.moe_intermediate_size,
        experts=c.num_experts,
        chosen=c.num_experts_per_tok,
    )
    return _decoder(c, layer=2 * c.hidden_size + 2 * _dim(c), network=lambda i: network)


def gemma2(c: Any) -> TextModel:
    """Four norms a layer."""
    return _decoder(c, layer=4 * c.hidden_size)


def gemma3(c: Any) -> TextModel:
    """Four norms a layer, and those of queries and keys."""
    return _decoder(c, layer=4 * c.hidden_size + 2 * _dim(c))


def phi(c: Any) -> TextModel:
    """One layer norm for attention and network side by side, biases everywhere."""
    d = c.hidden_size
    layer = 2 * d + _qkv(c) + d + c.intermediate_size + d
    return _decoder(c, layer=layer, final=2 * d, matrices=2, head=c.vocab_size)


def mixtral(c: Any) -> TextModel:
    """Experts only: Mixtral, OLMoE has norms of queries and keys beside."""
    return _decoder(c, layer=2 * c.hidden_size, network=lambda i: _local(c))


def _local(c: Any, **own: int) -> Network:
    experts = getattr(c, "num_local_experts", None) or c.num_experts
    return Network(
        c.hidden_size,
        c.intermediate_size,
        experts=experts,
        chosen=c.num_experts_per_tok,
        **own,
    )


def phimoe(c: Any) -> TextModel:
    """Layer norms, and biases of the head where the configuration asks for them."""
    d = c.hidden_size
    biases = (_qkv(c) + d) if c.attention_bias else 0
    head = c.vocab_size if c.lm_head_bias else 0
    return _decoder(c, layer=4 * d + biases, final=2 * d, head=head, network=lambda i: _local(c))


def olmoe(c: Any) -> TextModel:
    """Norms over all queries and all keys."""
    wide = (c.num_attention_heads + c.num_key_value_heads) * _dim(c)
    return _decoder(c, layer=2 * c.hidden_size + wide, network=lambda i: _local(c))


def gpt_oss(c: Any) -> TextModel:
    """Biases everywhere, those of experts included, and a sink for each head."""
    d, f = c.hidden_size, c.intermediate_size
    layer = 2 * d + _qkv(c) + d + c.num_attention_heads + c.num_local_experts
    return _decoder(c, layer=layer, network=lambda i: _local(c, own=2 * f + d))


def deepseek(c: Any) -> TextModel:
    """Latent attention; the first layers are dense."""
    latent = Latent(
        c.hidden_size,
        c.num_attention_heads,
        c.q_lora_rank or 0,
        c.kv_lora_rank,
        c.qk_nope_head_dim,
        c.qk_rope_head_dim,
        c.v_head_dim,
    )
    dense = Network(c.hidden_size, c.intermediate_size)
    mixed = Network(
        c.hidden_size,
        c.moe_intermediate_size,
        experts=c.n_routed_experts,
        chosen=c.num_experts_per_tok,
        shared=c.n_shared_experts * c.moe_intermediate_size,
    )
    return _decoder(
        c,
        layer=2 * c.hidden_size + (c.q_lora_rank or 0) + c.kv_lora_rank,
        network=lambda i: dense if i < c.first_k_dense_replace else mixed,
        mixer=lambda i: latent,
    )


def olmo(c: Any) -> TextModel:
    """Norms without weights."""
    return _decoder(c, layer=0, final=0)


def olmo2(c: Any) -> TextModel:
    """Norms behind attention and network, and over all queries and all keys."""
    wide = (c.num_attention_heads + c.num_key_value_heads) * _dim(c)
    return _decoder(c, layer=2 * c.hidden_size + wide)


def stablelm(c: Any) -> TextModel:
    """Layer norms with biases."""
    return _decoder(c, layer=4 * c.hidden_size, final=2 * c.hidden_size)


def falcon(c: Any) -> TextModel:
    """One head of keys and values, one layer norm, no biases."""
    d = c.hidden_size
    mixer = Attention(d, c.num_attention_heads, 1, d // c.num_attention_heads)
    network = Network(d, c.ffn_hidden_size, 2)
    return _decoder(c, layer=2 * d, final=2 * d, mixer=lambda i: mixer, network=lambda i: network)


def gpt2(c: Any) -> TextModel:
    """Positions in a table, biases everywhere."""
    d = c.hidden_size
    f = c.n_inner or 4 * d
    return _decoder(
        c,
        mixer=lambda i: _all_heads(c),
        layer=4 * d + 4 * d + f + d,
        final=2 * d,
        network=lambda i: Network(d, f, 2),
        tables=c.n_positions * d,
    )


def gpt_neox(c: Any) -> TextModel:
    """Layer norms, biases everywhere but in the head."""
    d = c.hidden_size
    return _decoder(
        c,
        layer=4 * d + 4 * d + c.intermediate_size + d,
        final=2 * d,
        matrices=2,
        mixer=lambda i: _all_heads(c),
    )


def gptj(c: Any) -> TextModel:
    """One layer norm; biases in the network and the head."""
    d = c.hidden_size
    f = c.n_inner or 4 * d
    return _decoder(
        c,
        mixer=lambda i: _all_heads(c),
        layer=2 * d + f + d,
        final=2 * d,
        network=lambda i: Network(d, f, 2),
        head=c.vocab_size,
    )


def opt(c: Any) -> TextModel:
    """Two more rows of positions than there are."""
    d = c.hidden_size
    return _decoder(
        c,
        layer=4 * d + 4 * d + c.ffn_dim + d,
        final=2 * d,
        mixer=lambda i: _all_heads(c),
        network=lambda i: Network(d, c.ffn_dim, 2),
        tables=(c.max_position_embeddings + 2) * d,
    )


def bloom(c: Any) -> TextModel:
    """A layer norm behind the embedding, too; ALiBi has no weights."""
    d = c.hidden_size
    return _decoder(
        c,
        layer=4 * d + 4 * d + 4 * d + d,
        final=4 * d,
        mixer=lambda i: _all_heads(c),
        network=lambda i: Network(d, 4 * d, 2),
    )


def starcoder2(c: Any) -> TextModel:
    """Layer norms, biases everywhere but in the head."""
    d = c.hidden_size
    layer = 4 * d + _qkv(c) + d + c.intermediate_size + d
    return _decoder(c, layer=layer, final=2 * d, matrices=2)


def cohere(c: Any) -> TextModel:
    """One norm for attention and network side by side."""
    return _decoder(c, layer=c.hidden_size)


def glm(c: Any) -> TextModel:
    """Two norms, and biases of queries, keys and values where the configuration asks for them."""
    return _decoder(c, layer=2 * c.hidden_size + (_qkv(c) if c.attention_bias else 0))


def _space(c: Any, layer: int) -> Mamba:
    del layer
    return Mamba(
        c.hidden_size, c.intermediate_size, c.state_size, int(c.time_step_rank), c.conv_kernel
    )


def mamba(c: Any) -> TextModel:
    """State spaces and nothing else."""
    return _decoder(
        c,
        layer=c.hidden_size,
        mixer=lambda i: _space(c, i),
        network=lambda i: Network(0, 0),
    )


def mamba2(c: Any) -> TextModel:
    """State spaces with heads and nothing else."""
    mixer = Mamba2(
        c.hidden_size,
        c.num_heads,
        c.head_dim,
        c.state_size,
        c.n_groups,
        c.conv_kernel,
        c.chunk_size,
    )
    return _decoder(c, layer=c.hidden_size, mixer=lambda i: mixer, network=lambda i: Network(0, 0))


def bamba(c: Any) -> TextModel:
    """State spaces with heads, attention in some layers, dense networks."""
    mixer = Mamba2(
        c.hidden_size,
        c.mamba_n_heads,
        c.mamba_d_head,
        c.mamba_d_state,
        c.mamba_n_groups,
        c.mamba_d_conv,
        c.mamba_chunk_size,
    )
    return _decoder(
        c,
        layer=2 * c.hidden_size,
        mixer=lambda i: _attention(c, i) if i in c.attn_layer_indices else mixer,
    )


def rwkv(c: Any) -> TextModel:
    """Mixes of two tokens in front of each matrix but the output's; a norm behind the embedding."""
    d, a = c.hidden_size, c.attention_hidden_size
    return _decoder(
        c,
        layer=4 * d + 2 * a + 3 * d + 2 * d,
        final=2 * d + 2 * d,
        mixer=lambda i: TimeMix(d, a),
        network=lambda i: Network(d, c.intermediate_size, 2),
    )


def jamba(c: Any) -> TextModel:
    """State spaces and attention, dense networks and mixtures."""
    d, i = c.hidden_size, c.mamba_expand * c.hidden_size
    space = Mamba(d, i, c.mamba_d_state, c.mamba_dt_rank, c.mamba_d_conv)
    dense = Network(d, c.intermediate_size)
    kinds = c.layers_block_type
    norms = c.mamba_dt_rank + 2 * c.mamba_d_state
    return _decoder(
        c,
        layer=2 * d,
        final=d + norms * sum(kind != "attention" for kind in kinds),
        mixer=lambda n: _attention(c, n) if kinds[n] == "attention" else space,
        network=lambda n: _local(c) if c.layers_num_experts[n] > 1 else dense,
    )


#: By the name that a configuration gives its architecture.
FORMS: Final[dict[str, Callable[[Any], TextModel]]] = {
    "llama": llama,
    "llama4_text": llama4,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
    "gemma": llama,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "phi": phi,
    "phi3": llama,
    "phimoe": phimoe,
    "mistral": llama,
    "mixtral": mixtral,
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "gpt_oss": gpt_oss,
    "olmo": olmo,
    "olmo2": olmo2,
    "olmoe": olmoe,
    "falcon": falcon,
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "gptj": gptj,
    "opt": opt,
    "bloom": bloom,
    "starcoder2": starcoder2,
    "stablelm": stablelm,
    "cohere": cohere,
    "glm": glm,
    "granite": llama,
    "granitemoe": mixtral,
    "mamba": mamba,
    "mamba2": mamba2,
    "bamba": bamba,
    "rwkv": rwkv,
    "jamba": jamba,
}


def t5(c: Any) -> EncoderDecoder:
    """Norms without biases, one table of relative positions on each side."""
    d, n = c.d_model, c.num_layers
    gated = c.feed_forward_proj.startswith("gated")
    return EncoderDecoder(
        d,
        c.num_heads,
        c.d_kv,
        Network(d, c.d_ff, 3 if gated else 2),
        n,
        c.num_decoder_layers,
        c.vocab_size,
        others=2 * n * d
        + 3 * c.num_decoder_layers * d
        + 2 * d
        + 2 * c.relative_attention_num_buckets * c.num_heads,
    )


def bart(c: Any) -> EncoderDecoder:
    """Layer norms and biases; learned positions with two rows more."""
    return _bart(c, tables=2 * (c.max_position_embeddings + 2) * c.d_model, norms=2)


def marian(c: Any) -> EncoderDecoder:
    """The same with positions that are parameters of the same size, and no norm of embeddings."""
    return _bart(c, tables=2 * c.max_position_embeddings * c.d_model, norms=0)


def whisper(c: Any) -> EncoderDecoder:
    """Two convolutions in front, the second with stride 2; no bias of keys."""
    d, length = c.d_model, c.max_source_positions
    convolutions = 3 * c.num_mel_bins * d + d + 3 * d * d + d
    flops = 2 * 3 * c.num_mel_bins * d * 2 * length + 2 * 3 * d * d * length
    tables = (c.max_source_positions + c.max_target_positions) * d
    keys = c.encoder_layers + 2 * c.decoder_layers
    return _bart(c, tables=tables + convolutions - keys * d, norms=2, source=flops)


def _bart(c: Any, *, tables: int, norms: int, source: int = 0) -> EncoderDecoder:
    d, f = c.d_model, c.encoder_ffn_dim
    encoder = 4 * d + 4 * d + f + d
    decoder = 6 * d + 8 * d + f + d
    layers = c.encoder_layers * encoder + c.decoder_layers * decoder
    return EncoderDecoder(
        d,
        c.encoder_attention_heads,
        d // c.encoder_attention_heads,
        Network(d, f, 2),
        c.encoder_layers,
        c.decoder_layers,
        c.vocab_size,
        others=layers + norms * 2 * d + tables,
        source=source,
    )


ENCODER_DECODERS: Final[dict[str, Callable[[Any], EncoderDecoder]]] = {
    "t5": t5,
    "bart": bart,
    "marian": marian,
    "whisper": whisper,
}
