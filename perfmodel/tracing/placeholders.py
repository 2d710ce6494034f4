"""Tokens that stand for an image, a video or a sound, in a text without one.

Models of transformers embed such a token like any other where nothing is passed for it: the run
that is counted would be none that anybody wants.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch

from perfmodel.errors import TraceError

#: What a token stands for: attributes of a configuration that say which token, and what the names
#: of the arguments begin with that hold what it stands for.
_KINDS: Final = (
    ("image", ("image_token_id", "image_token_index"), ("pixel_values", "image")),
    ("video", ("video_token_id", "video_token_index"), ("pixel_values_video", "video")),
    ("audio", ("audio_token_id", "audio_token_index"), ("input_features", "audio", "input_values")),
)


def check(
    name: str, module: torch.nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]
) -> None:
    """Raise TraceError where ``input_ids`` holds such tokens and nothing is passed for them."""
    config = getattr(module, "config", None)
    if config is None:
        return
    try:
        signature = inspect.signature(module.forward)
        passed = signature.bind_partial(*args, **named).arguments
    except (TypeError, ValueError):  # What does not fit is said where the forward is called.
        return
    passed = {**passed, **passed.get("kwargs", {})}
    ids = passed.get("input_ids")
    if not isinstance(ids, torch.Tensor) or ids.is_meta or passed.get("inputs_embeds") is not None:
        return
    for kind, attributes, arguments in _KINDS:
        token = next(
            (v for a in attributes if isinstance(v := getattr(config, a, None), int)), None
        )
        takes = [n for n in signature.parameters if n.startswith(arguments)]
        if token is None or not takes or any(passed.get(n) is not None for n in takes):
            continue
        count = int((ids == token).sum())
        if count:
            raise TraceError(
                f"{name}: input_ids holds the token that stands for {kind} ({token}, {count} "
                f"times), and none is passed: pass {takes[0]}, or a text without it"
            )
