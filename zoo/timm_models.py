"""One model, the smallest, of each family of timm."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import timm
import torch

from zoo.case import Built, Case

#: By family: the name of the model, its input where it is not the usual one, and its options.
MODELS: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("timm.toml").read_text("utf-8")
)


def _build(name: str, size: list[int], options: dict[str, Any]) -> Built:
    torch.manual_seed(0)
    module = timm.create_model(name, **options).eval()
    return Built(module, (torch.randn(1, *size),))


def cases() -> list[Case]:
    """Return a case for each family."""
    return [
        Case(
            f"timm/{family}",
            lambda entry=entry: _build(
                entry["model"], entry.get("input", [3, 224, 224]), entry.get("options", {})
            ),
        )
        for family, entry in MODELS.items()
    ]
