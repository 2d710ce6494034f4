"""The specs of Hugging Face's transformers, by kind: encoders, decoders, and speech to text.

Each is built on the meta device from its configuration. Models that generate run in two phases,
*prefill* (the whole prompt, logits of its last position) and *decode* (one token with a KV cache);
docs/transformers.md says what is counted in each.

FLOPs of a decoder with ``P`` parameters in its linear layers (head included, embedding not), for
one sample, a multiply-accumulate being 2 FLOPs::

    decode at context L:   2 P + layers * 4 L heads head_dim
    prefill of S tokens:   2 (P - head) S + 2 head + layers * 4 S^2 heads head_dim

The KV cache holds ``2 * layers * kv_heads * head_dim * L`` elements; decode reads all of them and
writes one row, prefill writes S rows. A causal mask is not discounted, as in
``torch.utils.flop_counter``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perfmodel.models.spec import CacheLayer, ModelInput, ModelSpec, Run

if TYPE_CHECKING:
    import torch

LIBRARY: Final = "transformers"
#: Lengths of a model that generates, where the user names none.
DEFAULT_TOKENS: Final = 512
DEFAULT_CONTEXT: Final = 1024


def encoder(
    name: str,
    title: str,
    model: str,
    config: Mapping[str, Any],
    *,
    task: str,
    layers: int,
    inputs: Callable[[int], tuple[ModelInput, ...]],
    tokens: int = 0,
    longest: int = 0,
    notes: str = "",
) -> ModelSpec:
    """The spec of a model that takes its input at once.

    Args:
        model: class of transformers; ``config`` are the arguments of its configuration.
        layers: of the encoder.
        inputs: its arguments for a sequence of so many tokens.
        tokens, longest: default and longest sequence; 0 where it takes none.
    """

    def build(run: Run) -> torch.nn.Module:
        from perfmodel.models import decoding

        return decoding.encoder(model, {**config, "num_hidden_layers": layers})

    return ModelSpec(
        name=name,
        title=title,
        task=task,
        inputs=inputs(tokens),
        library=LIBRARY,
        build=build,
        notes=notes,
        extra=LIBRARY,
        tokens=tokens,
        longest=longest,
        arguments=lambda run: inputs(run.tokens),
    )


def causal_lm(
    name: str,
    title: str,
    model: str,
    config: Mapping[str, Any],
    *,
    layers: int,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    longest: int | None = None,
    notes: str = "",
) -> ModelSpec:
    """The spec of a decoder that generates text.

    Args:
        model: class of transformers; ``config`` are the arguments of its configuration.
        layers, kv_heads, head_dim: extents of the KV cache.
        longest: positions it was trained for.

    The configuration says what is None.
    """
    heads = config.get("num_attention_heads")
    held = kv_heads or config.get("num_key_value_heads", heads)
    width = head_dim or config.get("head_dim") or config["hidden_size"] // heads
    positions = longest or config["max_position_embeddings"]

    def arguments(run: Run) -> tuple[ModelInput, ...]:
        return (ModelInput("input_ids", (run.tokens,), "int64"),)

    def cache(run: Run) -> tuple[CacheLayer, ...]:
        return (_cache_layer("", held, run.context or run.tokens, width),) * layers

    def build(run: Run) -> torch.nn.Module:
        from perfmodel.models import decoding

        return decoding.causal_lm(model, {**config, "num_hidden_layers": layers}, run)

    return _generating(
        name, title, "text generation", arguments, cache, build, longest=positions, notes=notes
    )


def speech_to_text(
    name: str,
    title: str,
    config: Mapping[str, Any],
    *,
    layers: int,
    heads: int,
    head_dim: int,
    frames: int,
    longest: int,
    prompt: int,
    notes: str = "",
) -> ModelSpec:
    """The spec of a Whisper model: an encoder of speech and a decoder of text.

    Prefill runs the encoder and the decoder's prompt. Decode has two caches: of the text so far,
    which grows, and of the encoded speech, which every token only reads.

    Args:
        layers: of the encoder, and as many of the decoder.
        heads, head_dim: of both.
        frames: positions of encoded speech; the spectrogram has twice as many.
        prompt: tokens the decoder starts from.
    """
    bins = config["num_mel_bins"]

    def arguments(run: Run) -> tuple[ModelInput, ...]:
        text = ModelInput("decoder_input_ids", (run.tokens,), "int64")
        if run.phase == "decode":
            return (text,)
        return (ModelInput("input_features", (bins, 2 * frames)), text)

    def cache(run: Run) -> tuple[CacheLayer, ...]:
        text = _cache_layer("", heads, run.context or run.tokens, head_dim)
        speech = _cache_layer("encoder_", heads, frames, head_dim)
        return (text,) * layers + (speech,) * layers

    def build(run: Run) -> torch.nn.Module:
        from perfmodel.models import decoding

        extents = {"encoder_layers": layers, "decoder_layers": layers}
        return decoding.speech_to_text({**config, **extents}, run)

    return _generating(
        name,
        title,
        "speech recognition",
        arguments,
        cache,
        build,
        longest=longest,
        tokens=prompt,
        notes=notes,
    )


def _generating(
    name: str,
    title: str,
    task: str,
    arguments: Callable[[Run], tuple[ModelInput, ...]],
    cache: Callable[[Run], tuple[CacheLayer, ...]],
    build: Callable[[Run], torch.nn.Module],
    *,
    longest: int,
    tokens: int = DEFAULT_TOKENS,
    notes: str,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        task=task,
        inputs=arguments(Run(phase="prefill", tokens=tokens)),
        library=LIBRARY,
        build=build,
        notes=notes,
        extra=LIBRARY,
        phases=("prefill", "decode"),
        tokens=tokens,
        context=min(DEFAULT_CONTEXT, longest),
        longest=longest,
        arguments=arguments,
        cache=cache,
    )


def _cache_layer(prefix: str, heads: int, length: int, head_dim: int) -> CacheLayer:
    shape = (heads, length, head_dim)
    return ModelInput(f"{prefix}keys", shape), ModelInput(f"{prefix}values", shape)
