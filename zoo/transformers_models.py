"""Architectures of transformers, built from small configurations; nothing is downloaded."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from zoo.case import Built, Case
from zoo.shrinking import small

#: By model type: ``config``, what its small configuration has in place of what the rule gives;
#: ``inputs``, arguments of the forward beside or in place of the usual ones; ``model``, the class.
MODELS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("transformers.toml").read_text("utf-8")
)
#: Tokens of a text, of the start of a decoder's, and samples of a sound.
_TOKENS, _START, _SAMPLES = 8, 8, 8000
_FRAMES = 64


def build(kind: str, own: Mapping[str, Any]) -> Built:
    """Return the architecture ``kind`` without its head, at random weights."""
    kind_of_config = transformers.CONFIG_MAPPING[kind]
    document = _merged(small(kind_of_config().to_dict()), own.get("config", {}))
    for name in ("transformers_version", "dtype"):
        document.pop(name, None)
    config = kind_of_config.from_dict(document)
    torch.manual_seed(0)
    if "model" in own:
        module = getattr(transformers, own["model"])(config)
    else:
        module = transformers.AutoModel.from_config(config)
    module = module.eval().float()
    return Built(module, (), inputs(module, own.get("inputs", {})))


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with what ``own`` says in place of it, at any depth."""
    return dict(base) | {
        name: _merged(base[name], value)
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
        else value
        for name, value in own.items()
    }


def inputs(module: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of the forward: what it reads first, and what ``own`` says."""
    config, main = module.config, getattr(module, "main_input_name", "input_ids")
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    if main not in own:
        found[main] = _usual(module, main)
    parameters = inspect.signature(module.forward).parameters
    if config.is_encoder_decoder and "decoder_input_ids" in parameters and "audio" not in own:
        found.setdefault("decoder_input_ids", _ids(_START))
    for name, said in own.items():
        found[name] = _said(module, said)
    return found


def _usual(module: Any, main: str) -> torch.Tensor:
    config = module.config
    if main == "input_ids":
        return _ids(_TOKENS)
    if main == "pixel_values":
        return torch.randn(1, *_image(config))
    if main in ("pixel_values_videos", "pixel_values_video"):
        frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", 16)
        return torch.randn(1, frames, *_image(config))
    if main == "input_features":
        part = getattr(config, "audio_config", None) or getattr(config, "encoder_config", config)
        bins = getattr(part, "num_mel_bins", None) or getattr(part, "feature_size", None) or 80
        if hasattr(part, "max_source_positions") and "whisper" in type(part).__name__.lower():
            return torch.randn(1, bins, 2 * part.max_source_positions)
        return torch.randn(1, _FRAMES, bins)
    if main == "input_values":
        return torch.randn(1, _SAMPLES)
    raise ValueError(
        f"{type(module).__name__} reads {main}: say of what shape in transformers.toml"
    )


def _ids(count: int) -> torch.Tensor:
    # Above the special tokens of most vocabularies.
    return torch.randint(5, 90, (1, count))


def _image(config: Any) -> tuple[int, int, int]:
    vision = getattr(config, "vision_config", None) or config
    size = getattr(vision, "image_size", None) or getattr(config, "image_size", None) or 224
    if isinstance(size, dict):
        size = (size["height"], size["width"])
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels = getattr(vision, "num_channels", None) or getattr(vision, "in_channels", None)
    return channels or 3, height, width


def _said(module: Any, said: Any) -> Any:
    """An argument as the file has it: a shape of random numbers, "image", or one of its tables."""
    if said == "image":
        return torch.randn(1, *_image(module.config))
    if isinstance(said, list):
        return torch.randn(*said)
    if isinstance(said, dict) and "fill" in said:
        return torch.full(said["shape"], said["fill"])
    if isinstance(said, dict) and "values" in said:
        return torch.tensor(said["values"])
    if isinstance(said, dict) and "below" in said:
        return torch.randint(0, said["below"], said["shape"])
    return said


def cases() -> list[Case]:
    """Return a case for each architecture."""
    return [Case(f"transformers/{kind}", partial(build, kind, own)) for kind, own in MODELS.items()]
