"""Caches of transformers' models that are written in place, as runtimes write them."""

from __future__ import annotations

from typing import Any

import torch

from perfmodel.models.decoding import import_transformers


def empty(model: torch.nn.Module, cache: str) -> Any:
    """The cache that the library would make; None where the model makes one of its own sort."""
    transformers = import_transformers()
    if cache == "state":
        return None
    made = transformers.DynamicCache(config=model.config)
    if model.config.is_encoder_decoder:
        made = transformers.EncoderDecoderCache(
            made, transformers.DynamicCache(config=model.config)
        )
    return made


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """Return an empty tensor like this one, without contents."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def copied(value: Any) -> Any:
    """A copy of a cache whose tensors are on meta."""
    if isinstance(value, torch.Tensor):
        return on_meta(value)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    if hasattr(value, "__dict__") and not isinstance(value, type):
        made = object.__new__(type(value))
        made.__dict__.update(
            {key: copied(item) for key, item in vars(value).items() if not callable(item)}
            | {key: item for key, item in vars(value).items() if callable(item)}
        )
        return made
    return value


def in_place(cache: Any, length: int | None) -> Any:
    """``cache`` with layers of attention that write in place.

    ``length``: of the context, the new token included; None for an empty cache, of a prefill, whose
    attention reads the new keys and values themselves.
    """
    if hasattr(cache, "self_attention_cache"):
        in_place(cache.self_attention_cache, length)
        if length is not None:
            in_place(cache.cross_attention_cache, 0)
            cache.is_updated = dict.fromkeys(cache.is_updated or range(99), True)
        else:
            in_place(cache.cross_attention_cache, None)
        return cache
    for place, layer in enumerate(getattr(cache, "layers", ())):
        if type(layer).__name__ in ("DynamicLayer", "DynamicSlidingWindowLayer"):
            cache.layers[place] = _layer(layer, length)
    return cache


def _layer(layer: Any, length: int | None) -> Any:
    from transformers.cache_utils import CacheLayerMixin

    class InPlace(CacheLayerMixin):  # type: ignore[misc]
        """Keys and values that are updated in place; in a sliding window, the oldest ones."""

        def __init__(self, window: int | None) -> None:
            super().__init__()
            self.is_sliding = window is not None
            self.window = window
            self.seen = 0 if length is None else max(length - 1, 0)
            self.crossed = length == 0

        def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
            pass

        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if length is None:
                kept = min(key_states.shape[-2], self.window or key_states.shape[-2])
                self.keys = key_states[:, :, -kept:].clone()
                self.values = value_states[:, :, -kept:].clone()
                self.is_initialized = True
                self.seen = key_states.shape[-2]
                return key_states, value_states
            rows = self.keys.shape[-2]
            new = key_states.shape[-2]
            self.keys[:, :, rows - new :].copy_(key_states)
            self.values[:, :, rows - new :].copy_(value_states)
            return self.keys, self.values

        def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
            if length is None:
                return query_length, 0
            rows = self.seen + query_length
            held = min(rows, self.window or rows)
            return held, rows - held

        def get_seq_length(self) -> int:
            if self.crossed:
                return int(self.keys.shape[-2])
            return self.seen

        def get_max_length(self) -> int:
            return -1 if self.window is None else self.window

    window = getattr(layer, "sliding_window", None)
    made = InPlace(window)
    if length is not None:
        for part in ("keys", "values"):
            found = getattr(layer, part)
            if found is None:  # a layer that shares the cache of another one
                return made
            rows = found.shape[-2] if length == 0 else min(length, window or length)
            shape = (*found.shape[:-2], rows, found.shape[-1])
            setattr(made, part, torch.empty(shape, dtype=found.dtype, device="meta"))
        made.is_initialized = True
    return made
