"""Networks of torchbench and of the Hugging Face suite of TorchInductor's dashboard.

Configurations, lengths and heads are those of github.com/pytorch/benchmark (hf_* in
torchbenchmark/util/framework/huggingface/basic_configs.py) and of pytorch's
benchmarks/dynamo/huggingface.py, whose models are the default configurations of their classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional as F

from evidence.recipe import Made, Recipe, image
from perfmodel.models.decoding import import_transformers


class Logits(nn.Module):
    """A transformer whose forward takes token ids and returns its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Token ids (batch, tokens) to logits."""
        return self.model(input_ids=input_ids, return_dict=False)[0]


class Sequences(Logits):
    """An encoder with a decoder, which run on the same ids."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Token ids (batch, tokens) to logits of the decoder."""
        return self.model(
            input_ids=input_ids, decoder_input_ids=input_ids, use_cache=False, return_dict=False
        )[0]


def transformer(
    model: str, tokens: int, config: Mapping[str, Any] | None = None, wrapper: type = Logits
) -> Made:
    """Return the class ``model`` of transformers on ``tokens`` ids of one sample."""
    transformers = import_transformers()
    kind = getattr(transformers, model)
    options = {"attn_implementation": "sdpa", **(config or {})}
    if wrapper is Logits:
        options["use_cache"] = False
    with torch.device("meta"):
        module = kind(kind.config_class(**options))
    ids = torch.empty(1, tokens, dtype=torch.int64, device="meta")
    return wrapper(module).eval(), (ids,)


_BERT_LARGE: Final = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    # BertConfig's own width of the MLP, which hf_Bert_large of torchbench does not raise to 4096.
    "intermediate_size": 3072,
}
_ALBERT_BASE: Final = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
_GPT2_LARGE: Final = {"n_embd": 1280, "n_layer": 36, "n_head": 20}
_T5_LARGE: Final = {
    "d_model": 1024,
    "d_ff": 4096,
    "d_kv": 64,
    "num_heads": 16,
    "num_layers": 24,
}
_BART_BASE: Final = {
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
}


class BertAttention(nn.Module):
    """Attention of BERT_pytorch: products, a mask and a softmax, one after the other."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, hidden // heads
        self.projections = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(3))
        self.output = nn.Linear(hidden, hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Rows (batch, tokens, hidden), mask (batch, 1, tokens, tokens) to rows."""
        batch = x.shape[0]
        query, key, value = (
            projection(x).view(batch, -1, self.heads, self.width).transpose(1, 2)
            for projection in self.projections
        )
        scores = query @ key.transpose(-2, -1) / self.width**0.5
        scores = scores.masked_fill(mask == 0, -1e9)
        mixed = torch.softmax(scores, dim=-1) @ value
        joined = mixed.transpose(1, 2).contiguous().view(batch, -1, self.heads * self.width)
        return self.output(joined)


class BertBlock(nn.Module):
    """A pre-norm layer of BERT_pytorch; its norms are written out, as that project does."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention = BertAttention(hidden, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Rows to rows; see :class:`BertAttention`."""
        x = x + self.attention(self.norms[0](x), mask)
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class BertPyTorch(nn.Module):
    """torchbench's BERT_pytorch: 12 layers of 768, 20,000 words, without a head."""

    def __init__(self, words: int = 20_000, hidden: int = 768, layers: int = 12) -> None:
        super().__init__()
        self.token, self.segment = nn.Embedding(words, hidden), nn.Embedding(3, hidden)
        self.position = nn.Parameter(torch.empty(1, 128, hidden))
        self.blocks = nn.ModuleList(BertBlock(hidden, 12) for _ in range(layers))

    def forward(self, ids: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
        """Ids and segments (batch, 128) to rows (batch, 128, hidden)."""
        mask = (ids > 0).unsqueeze(1).repeat(1, ids.size(1), 1).unsqueeze(1)
        x = self.token(ids) + self.position + self.segment(segments)
        for block in self.blocks:
            x = block(x, mask)
        return x


def bert_pytorch() -> Made:
    """Return BERT_pytorch on 128 tokens."""
    with torch.device("meta"):
        module = BertPyTorch()
    ids = torch.empty(1, 128, dtype=torch.int64, device="meta")
    return module.eval(), (ids, ids.clone())


class UNet(nn.Module):
    """The U-Net of milesial/Pytorch-UNet with bilinear upsampling, or transposed convolutions.

    Widths are 64 to 1024 in five levels; bilinear halves those of the deepest.
    """

    def __init__(self, channels: int, classes: int, *, bilinear: bool, padding: int = 1) -> None:
        super().__init__()
        self.bilinear = bilinear
        widths = [64, 128, 256, 512, 1024]
        factor = 2 if bilinear else 1
        self.first = _double(channels, 64, 64, padding)
        downs = [*widths[1:4], widths[4] // factor]
        inputs = widths[:4]
        self.downs = nn.ModuleList(
            _double(a, b, b, padding) for a, b in zip(inputs, downs, strict=True)
        )
        self.ups = nn.ModuleList()
        self.doubles = nn.ModuleList()
        for deep in (1024, 512, 256, 128):
            if bilinear:
                self.ups.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
                out = deep // 2 // (factor if deep > 128 else 1)
                self.doubles.append(_double(deep, out, deep // 2, padding))
            else:
                self.ups.append(nn.ConvTranspose2d(deep, deep // 2, 2, stride=2))
                self.doubles.append(_double(deep, deep // 2, deep // 2, padding))
        self.last = nn.Conv2d(64, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Image (batch, channels, height, width) to classes of each pixel."""
        skips = [self.first(image)]
        for down in self.downs:
            skips.append(down(F.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up, double in zip(self.ups, self.doubles, strict=True):
            x, skip = up(x), skips.pop()
            high, wide = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
            x = double(torch.cat([skip, x], dim=1))
        return self.last(x)


def _double(channels: int, out: int, middle: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, middle, 3, padding=padding, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, out, 3, padding=padding, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


def unet() -> Made:
    """Return torchbench's pytorch_unet: 640x959 pixels, 2 classes, bilinear."""
    with torch.device("meta"):
        module = UNet(3, 2, bilinear=True)
    return module.eval(), image(3, 640, 959)


RECIPES: Final = {
    "hf_bert_512": Recipe(partial(transformer, "BertForMaskedLM", 512)),
    "hf_bert_large_512": Recipe(partial(transformer, "BertForMaskedLM", 512, _BERT_LARGE)),
    "hf_albert_512": Recipe(partial(transformer, "AlbertForMaskedLM", 512, _ALBERT_BASE)),
    "hf_gpt2_256": Recipe(partial(transformer, "GPT2LMHeadModel", 256)),
    "hf_gpt2_large_1024": Recipe(partial(transformer, "GPT2LMHeadModel", 1024, _GPT2_LARGE), None),
    "hf_t5_large_512": Recipe(
        partial(transformer, "T5ForConditionalGeneration", 512, _T5_LARGE, Sequences), None
    ),
    "hf_bart_512": Recipe(
        partial(transformer, "BartForConditionalGeneration", 512, _BART_BASE, Sequences), None
    ),
    "albert_xxlarge_masked_lm_512": Recipe(partial(transformer, "AlbertForMaskedLM", 512)),
    "distilbert_masked_lm_128": Recipe(partial(transformer, "DistilBertForMaskedLM", 128)),
    "roberta_causal_lm_512": Recipe(partial(transformer, "RobertaForCausalLM", 512)),
    "megatron_bert_qa_512": Recipe(
        # transformers has no other attention for it than products, mask and softmax.
        partial(
            transformer,
            "MegatronBertForQuestionAnswering",
            512,
            {"attn_implementation": "eager"},
        )
    ),
    "bert_pytorch_128": Recipe(bert_pytorch),
    "pytorch_unet_640x959": Recipe(unet, None),
}
