"""Encoders of text with a head for classification, in their published configurations."""

from __future__ import annotations

from functools import partial
from typing import Final

from evidence.models.torchbench import Logits, transformer
from evidence.recipe import Recipe

RECIPES: Final = {
    # Sanh et al. 2019, arXiv:1910.01108; MRPC has two classes.
    "distilbert_base_128": Recipe(
        partial(transformer, "DistilBertForSequenceClassification", 128, {}, Logits), None
    ),
}
