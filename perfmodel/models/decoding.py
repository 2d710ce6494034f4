"""Modules of Transformers as a runtime runs them: with a KV cache, in prefill and in decode.

This imports torch and transformers; :mod:`perfmodel.models.huggingface_models` names the models and
does not. Everything is built on the meta device from a configuration.

Four things differ from what transformers would run by itself, each because what a runtime does is
asked for, not what a flexible library does:

* The KV cache is an argument with room for the new tokens; their rows are written in place.
  transformers' default concatenates, which copies the whole cache for every token.
* A root-mean-square norm is one operator instead of six, with the same result.
* A linear layer that is written as a product with a transposed matrix is a linear layer.
* A mixture of experts is routed evenly. Which experts run depends on values, which a trace has not.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, TypeAlias

import torch
from torch import nn

from perfmodel.errors import PerfmodelError
from perfmodel.models._torchvision import import_torchvision
from perfmodel.models.spec import Run

#: Keys and values of one attention layer, each (batch, heads, length, head_dim).
CacheTensors: TypeAlias = tuple[torch.Tensor, torch.Tensor]
#: Attention as transformers' "sdpa", without the mask that it builds in an exported program where
#: the causal flag, or a single query, says the same.
ATTENTION: Final = "perfmodel_sdpa"
#: What forwards call their cache: of attention before transformers 5.24 and since, of state spaces.
_CACHES: Final = ("past_key_values", "cache", "cache_params", "state")


def import_transformers() -> ModuleType:
    """The ``transformers`` package, imported on first use.

    Raises :class:`~perfmodel.errors.PerfmodelError` where it is not installed.
    """
    # Its modelling modules import torchvision wherever that is installed.
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise PerfmodelError(
            "this needs transformers, which is not installed: pip install 'perfmodel[transformers]'"
        ) from error
    module: ModuleType = transformers
    return module


def cache_argument(model: nn.Module) -> str | None:
    """Return the argument of the forward of ``model`` that is its cache; None if it has none."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in _CACHES if name in parameters), None)


def encoder(model: str, config: Mapping[str, Any]) -> nn.Module:
    """A model that takes its input at once, as transformers runs it."""
    return _build(model, {**config, "attn_implementation": "sdpa", "use_cache": False})


def causal_lm(model: str, config: Mapping[str, Any], run: Run) -> nn.Module:
    """A decoder in a phase: forward(input_ids, cache) returns the logits of the last position."""
    return CausalLM(_build(model, {"attn_implementation": _attention(), **config}), run)


def speech_to_text(config: Mapping[str, Any], run: Run) -> nn.Module:
    """Whisper in a phase: its forward takes what the phase needs, and the caches."""
    options = {**config, "attn_implementation": _attention()}
    model = _build("WhisperForConditionalGeneration", options)
    return TextFromSpeech(model, run) if run.phase == "decode" else SpeechToText(model, run)


class CausalLM(nn.Module):  # type: ignore[misc]
    """A decoder with a KV cache."""

    def __init__(self, model: nn.Module, run: Run) -> None:
        super().__init__()
        self.model = model
        self.start = _start(run)
        self.prefill = run.phase == "prefill"

    def forward(self, input_ids: torch.Tensor, cache: Sequence[CacheTensors]) -> torch.Tensor:
        """Token ids (batch, tokens) to logits (batch, 1, vocabulary); appends to the cache."""
        past = _past(self.model, _cache(cache, self.start, fresh=self.prefill))
        output: torch.Tensor = self.model(
            input_ids=input_ids, use_cache=True, logits_to_keep=1, **past
        ).logits
        return output


class _Whisper(nn.Module):  # type: ignore[misc]
    def __init__(self, model: nn.Module, run: Run) -> None:
        super().__init__()
        self.model = model
        self.start = _start(run)

    def logits(
        self,
        text: torch.Tensor,
        speech: torch.Tensor,
        cache: Sequence[CacheTensors],
        *,
        encoded: bool,
    ) -> torch.Tensor:
        transformers = import_transformers()
        layers = len(cache) // 2
        past = transformers.EncoderDecoderCache(
            _cache(cache[:layers], self.start, fresh=not encoded),
            _cache(cache[layers:], cache[layers][0].shape[-2] if encoded else 0, fresh=True),
        )
        decoder = self.model.model.decoder
        hidden = decoder(
            input_ids=text, encoder_hidden_states=speech, use_cache=True, **_past(decoder, past)
        ).last_hidden_state
        output: torch.Tensor = self.model.proj_out(hidden[:, -1:])
        return output


class SpeechToText(_Whisper):
    """Prefill of Whisper: the encoder, and the prompt of the decoder."""

    def forward(
        self,
        input_features: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        cache: Sequence[CacheTensors],
    ) -> torch.Tensor:
        """Spectrogram (batch, bins, frames) and ids to logits; fills both caches."""
        speech = self.model.model.encoder(input_features).last_hidden_state
        return self.logits(decoder_input_ids, speech, cache, encoded=False)


class TextFromSpeech(_Whisper):
    """Decode of Whisper: one token of text; encoded speech is in the second half of the cache."""

    def forward(
        self, decoder_input_ids: torch.Tensor, cache: Sequence[CacheTensors]
    ) -> torch.Tensor:
        """Ids (batch, 1) to logits; appends to the first half of the cache."""
        # The decoder asks only whether there are encoder states: their keys and values are cached.
        return self.logits(decoder_input_ids, cache[-1][0], cache, encoded=True)


class EvenExperts(nn.Module):  # type: ignore[misc]
    """The experts of a mixture, each with an equal share of the tokens.

    Every token activates exactly ``k`` experts, and the tokens of a run spread evenly over them: of
    E experts the first min(E, k * tokens) run, each on as many rows as the next, give or take one.
    Rows are gathered in the order of their experts and added up again, as runtimes do it. Weights
    are a matrix for each expert, so that those of an expert that does not run are not read.
    """

    def __init__(self, experts: nn.Module) -> None:
        super().__init__()
        count, width, hidden = experts.gate_up_proj.shape
        device = experts.gate_up_proj.device
        self.gate_up = nn.ModuleList(
            nn.Linear(hidden, width, bias=False, device=device) for _ in range(count)
        )
        self.down = nn.ModuleList(
            nn.Linear(width // 2, hidden, bias=False, device=device) for _ in range(count)
        )
        self.activation = experts.act_fn

    def forward(
        self, hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        """Rows (tokens, hidden) with indices and weights (tokens, k) to rows (tokens, hidden)."""
        rows = chosen.numel()
        active = min(len(self.gate_up), rows)
        shares = [rows // active + (expert < rows % active) for expert in range(active)]
        order = chosen.flatten().argsort()
        token = order // chosen.shape[-1]
        results = []
        for expert, part in enumerate(hidden.index_select(0, token).split(shares)):
            gate, up = self.gate_up[expert](part).chunk(2, dim=-1)
            results.append(self.down[expert](self.activation(gate) * up))
        weighted = torch.cat(results) * weights.flatten().index_select(0, order)[:, None]
        return torch.zeros_like(hidden).index_add_(0, token, weighted)


def _build(model: str, options: Mapping[str, Any]) -> nn.Module:
    """The class of transformers called ``model`` on meta, with one-operator norms, even experts."""
    transformers = import_transformers()
    kind = getattr(transformers, model)
    with torch.device("meta"):
        module: nn.Module = kind(kind.config_class(**options))
        for parent in list(module.modules()):
            for name, child in parent.named_children():
                if type(child).__name__.endswith("RMSNorm"):
                    setattr(parent, name, _rms_norm(child))
                elif type(child).__name__ == "MixtralExperts":
                    setattr(parent, name, EvenExperts(child))
                elif type(child).__name__ == "FalconLinear":
                    setattr(parent, name, _linear(child))
    return module


def _rms_norm(norm: Any) -> nn.RMSNorm:
    replacement = nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon)
    replacement.weight = norm.weight
    return replacement


def _linear(layer: Any) -> nn.Linear:
    """A linear layer for one that multiplies by its weight transposed: the same in one operator."""
    replacement = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    replacement.weight, replacement.bias = layer.weight, layer.bias
    return replacement


def _attention() -> str:
    """Register :data:`ATTENTION` and return it.

    transformers makes no mask for an attention that has registered none.
    """
    transformers = import_transformers()
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    transformers.AttentionInterface.register(ATTENTION, sdpa_attention_forward)
    return ATTENTION


def _past(model: nn.Module, cache: Any) -> dict[str, Any]:
    """The cache as the argument that ``model`` takes it by."""
    name = cache_argument(model)
    assert name is not None
    return {name: cache}


def _start(run: Run) -> int:
    """Rows of the cache that are there before the run."""
    return run.context - 1 if run.phase == "decode" else 0


def _cache(tensors: Sequence[CacheTensors], start: int, *, fresh: bool) -> Any:
    """transformers' Cache over ``tensors``, of which ``start`` rows are filled.

    ``fresh``: attention reads the new keys and values themselves, which in prefill are all there
    are, rather than the cache they are copied to.
    """
    transformers = import_transformers()
    from transformers.cache_utils import CacheLayerMixin

    class Layer(CacheLayerMixin):  # type: ignore[misc]
        """Keys and values that are updated in place."""

        def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
            super().__init__()
            self.keys, self.values = keys, values
            self.is_initialized = True

        def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
            pass

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> CacheTensors:
            end = start + key_states.shape[-2]
            self.keys[:, :, start:end].copy_(key_states)
            self.values[:, :, start:end].copy_(value_states)
            return (key_states, value_states) if fresh else (self.keys, self.values)

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            return start + query_length, 0

        def get_seq_length(self) -> int:
            return start

        def get_max_length(self) -> int:
            return int(self.keys.shape[-2])

    return transformers.Cache(layers=[Layer(keys, values) for keys, values in tensors])
