"""Small configurations of transformers: those of its classes by default, made small by one rule.

Widths are an eighth of what they are, layers two, experts eight at most, images 224 pixels. What
does not fit that is said architecture by architecture in ``transformers.toml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_LAYERS: Final = re.compile(
    r"(^|_)(num_)?(hidden_|encoder_|decoder_|attention_|fusion_|text_|vision_|conv_|blocks?_)*"
    r"(layers|layer|n_layers?|blocks)$|^n_layer$|^depth$|^num_layers_\w+$|_depth$"
)
_OTHER_LAYERS: Final = re.compile(
    r"feature|feat_|conv_|indices|out_|period|which|select|skip|share|proj|pe"
)
_WIDTHS: Final = re.compile(
    r"(hidden_size|hidden_dim|d_model|d_ff|d_kv|d_inner|embed_dim|n_embd|n_inner|dim|width|"
    r"intermediate_size|ffn_hidden_size|embedding_size|ffn_size|feedforward|lora_rank|inner_size|"
    r"projection_dim|d_embed|channels)$"
)
_OTHER_WIDTHS: Final = re.compile(r"num_|in_channels|pos_|rotary_dim|image")
_EXPERTS: Final = re.compile(r"^(n|num|moe_num)_(local_|routed_)?experts$|^moe_num_experts$")
_CHOSEN: Final = ("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts")
_GROUPS: Final = ("n_group", "topk_group", "num_expert_groups")
#: Follow from the number of layers.
_DERIVED: Final = ("out_features", "out_indices", "stage_names")
_PLAIN: Final = ("rope_parameters", "id2label", "label2id")
#: What a width is divided by, and the least width of a configuration that is.
_FACTOR, _LEAST, _NARROW = 8, 256, 64
_FEW_LAYERS, _FEW_EXPERTS, _FEW_CHOSEN = 2, 8, 2
_LARGEST_VOCABULARY, _LARGEST_IMAGE, _IMAGE = 300_000, 256, 224


def small(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration ``document``, and those in it, made small."""
    layers = {value for name, value in document.items() if _is_layers(name, value)}
    widest = max(
        (v for n, v in document.items() if _is_width(n, v) and "intermediate" not in n), default=0
    )
    made: dict[str, Any] = {}
    for name, value in document.items():
        if name in _DERIVED:
            continue
        if isinstance(value, Mapping) and name not in _PLAIN:
            made[name] = small(value)
        elif isinstance(value, list) and len(value) in layers and len(value) > 4:
            made[name] = value[:_FEW_LAYERS]
        elif isinstance(value, int) and not isinstance(value, bool):
            made[name] = _number(name, value, widest >= _LEAST)
        else:
            made[name] = value
    return made


def _number(name: str, value: int, narrower: bool) -> int:
    if _is_layers(name, value):
        return min(value, _FEW_LAYERS)
    if _EXPERTS.search(name):
        return min(value, _FEW_EXPERTS)
    if name in _CHOSEN:
        return min(value, _FEW_CHOSEN)
    if name in _GROUPS:
        return 1
    if name == "vocab_size":
        return min(value, _LARGEST_VOCABULARY)
    if name == "image_size" and value > _LARGEST_IMAGE:
        return _IMAGE
    if narrower and _is_width(name, value) and value % _FACTOR == 0 and value >= _NARROW:
        return value // _FACTOR
    return value


def _is_layers(name: str, value: object) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value > _FEW_LAYERS
        and bool(_LAYERS.search(name))
        and not _OTHER_LAYERS.search(name)
    )


def _is_width(name: str, value: object) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and bool(_WIDTHS.search(name))
        and not _OTHER_WIDTHS.search(name)
    )
