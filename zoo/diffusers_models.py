"""Models of diffusers: what its pipelines run at each step, and what encodes and decodes images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch

from zoo.case import Built, Case

_T = torch.randn
_STEP = torch.tensor([10])
_STACK = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}

#: By class: its configuration, and the arguments of its forward.
MODELS: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "UNet2DModel": (
        {
            "sample_size": 32,
            "block_out_channels": (32, 64),
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 8,
        },
        lambda: {"sample": _T(1, 3, 32, 32), "timestep": _STEP},
    ),
    "UNet1DModel": (
        {
            "block_out_channels": (32, 64),
            "in_channels": 14,
            "out_channels": 14,
            "time_embedding_type": "positional",
            "use_timestep_embedding": True,
            "act_fn": "mish",
            "down_block_types": ("DownResnetBlock1D",) * 2,
            "up_block_types": ("UpResnetBlock1D",),
            "mid_block_type": "MidResTemporalBlock1D",
            "out_block_type": "OutConv1DBlock",
            "flip_sin_to_cos": False,
            "freq_shift": 1.0,
        },
        lambda: {"sample": _T(1, 14, 16), "timestep": _STEP},
    ),
    "UNet2DConditionModel": (
        {
            "sample_size": 32,
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": 32,
            "attention_head_dim": 8,
        },
        lambda: {
            "sample": _T(1, 4, 32, 32),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 4, 32),
        },
    ),
    "UNet3DConditionModel": (
        {
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
            "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
            "cross_attention_dim": 32,
            "attention_head_dim": 8,
            "layers_per_block": 1,
            "norm_num_groups": 32,
        },
        lambda: {
            "sample": _T(1, 4, 4, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 4, 32),
        },
    ),
    "UNetSpatioTemporalConditionModel": (
        {
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            "cross_attention_dim": 32,
            "num_attention_heads": 8,
            "projection_class_embeddings_input_dim": 96,
            "addition_time_embed_dim": 32,
        },
        lambda: {
            "sample": _T(1, 2, 8, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 1, 32),
            "added_time_ids": torch.tensor([[1.0, 2.0, 3.0]]),
        },
    ),
    "UVit2DModel": (
        {
            "hidden_size": 64,
            "cond_embed_dim": 32,
            "micro_cond_encode_dim": 8,
            "micro_cond_embed_dim": 40,
            "encoder_hidden_size": 32,
            "vocab_size": 64,
            "codebook_size": 32,
            "in_channels": 32,
            "block_out_channels": 32,
            "num_res_blocks": 1,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "block_num_heads": 4,
        },
        lambda: {
            "input_ids": torch.zeros(1, 8, 8, dtype=torch.long),
            "encoder_hidden_states": _T(1, 5, 32),
            "pooled_text_emb": _T(1, 32),
            "micro_conds": torch.tensor([[8.0, 8, 0, 0, 6]]),
        },
    ),
    "AutoencoderKL": (
        {"block_out_channels": (32, 64), "latent_channels": 4, **_STACK},
        lambda: {"sample": _T(1, 3, 32, 32)},
    ),
    "AsymmetricAutoencoderKL": (
        {
            "down_block_out_channels": (32, 64),
            "up_block_out_channels": (32, 64),
            "layers_per_down_block": 1,
            "layers_per_up_block": 1,
            "latent_channels": 4,
            **_STACK,
        },
        lambda: {"sample": _T(1, 3, 32, 32)},
    ),
    "VQModel": (
        {"block_out_channels": (32, 64), "latent_channels": 3, **_STACK},
        lambda: {"sample": _T(1, 3, 32, 32)},
    ),
    "AutoencoderTiny": (
        {
            "encoder_block_out_channels": (32, 32),
            "decoder_block_out_channels": (32, 32),
            "num_encoder_blocks": (1, 2),
            "num_decoder_blocks": (2, 1),
        },
        lambda: {"sample": _T(1, 3, 32, 32)},
    ),
    "AutoencoderOobleck": (
        {
            "encoder_hidden_size": 12,
            "decoder_channels": 12,
            "decoder_input_channels": 6,
            "audio_channels": 2,
            "downsampling_ratios": [2, 4],
            "channel_multiples": [1, 2],
        },
        lambda: {"sample": _T(1, 2, 256)},
    ),
    "AutoencoderKLTemporalDecoder": (
        {
            "block_out_channels": (32, 64),
            "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D",) * 2,
        },
        lambda: {"sample": _T(3, 3, 32, 32), "num_frames": 3},
    ),
    "AutoencoderKLCogVideoX": (
        {
            "down_block_types": ("CogVideoXDownBlock3D",) * 4,
            "up_block_types": ("CogVideoXUpBlock3D",) * 4,
            "block_out_channels": (8, 8, 8, 8),
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 2,
        },
        lambda: {"sample": _T(1, 3, 9, 16, 16)},
    ),
    "AutoencoderKLWan": (
        {"base_dim": 3, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1},
        lambda: {"sample": _T(1, 3, 9, 16, 16)},
    ),
    "AutoencoderDC": (
        {
            "in_channels": 3,
            "latent_channels": 4,
            "attention_head_dim": 2,
            "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
            "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
            "encoder_block_out_channels": (8, 8),
            "decoder_block_out_channels": (8, 8),
            "encoder_qkv_multiscales": ((), (5,)),
            "decoder_qkv_multiscales": ((), (5,)),
            "encoder_layers_per_block": (1, 1),
            "decoder_layers_per_block": (1, 1),
            "downsample_block_type": "conv",
            "upsample_block_type": "interpolate",
            "decoder_norm_types": "rms_norm",
            "decoder_act_fns": "silu",
        },
        lambda: {"sample": _T(1, 3, 32, 32)},
    ),
    "ControlNetModel": (
        {
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "cross_attention_dim": 32,
            "attention_head_dim": 8,
            "conditioning_embedding_out_channels": (16, 32),
        },
        lambda: {
            "sample": _T(1, 4, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 4, 32),
            "controlnet_cond": _T(1, 3, 32, 32),
        },
    ),
    "T2IAdapter": (
        {"in_channels": 3, "channels": [32, 64], "num_res_blocks": 1, "downscale_factor": 2},
        lambda: {"x": _T(1, 3, 32, 32)},
    ),
    "PriorTransformer": (
        {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 2,
            "embedding_dim": 16,
            "num_embeddings": 7,
        },
        lambda: {
            "hidden_states": _T(1, 16),
            "timestep": 2,
            "proj_embedding": _T(1, 16),
            "encoder_hidden_states": _T(1, 7, 16),
        },
    ),
    "DiTTransformer2DModel": (
        {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 2,
            "sample_size": 8,
            "patch_size": 2,
            "num_embeds_ada_norm": 8,
        },
        lambda: {"hidden_states": _T(1, 4, 8, 8), "timestep": _STEP % 8, "class_labels": _STEP % 8},
    ),
    "PixArtTransformer2DModel": (
        {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 2,
            "cross_attention_dim": 16,
            "caption_channels": 32,
            "sample_size": 8,
            "use_additional_conditions": False,
        },
        lambda: {
            "hidden_states": _T(1, 4, 8, 8),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 8, 32),
            "added_cond_kwargs": {"aspect_ratio": None, "resolution": None},
        },
    ),
    "SD3Transformer2DModel": (
        {
            "sample_size": 32,
            "patch_size": 1,
            "in_channels": 4,
            "num_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 4,
            "caption_projection_dim": 32,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 64,
            "out_channels": 4,
        },
        lambda: {
            "hidden_states": _T(1, 4, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 20, 32),
            "pooled_projections": _T(1, 64),
        },
    ),
    "FluxTransformer2DModel": (
        {
            "in_channels": 4,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": [4, 4, 8],
        },
        lambda: {
            "hidden_states": _T(1, 16, 4),
            "timestep": _T(1),
            "encoder_hidden_states": _T(1, 8, 32),
            "pooled_projections": _T(1, 32),
            "img_ids": _T(16, 3),
            "txt_ids": _T(8, 3),
        },
    ),
    "AuraFlowTransformer2DModel": (
        {
            "sample_size": 32,
            "in_channels": 4,
            "num_mmdit_layers": 1,
            "num_single_dit_layers": 1,
            "attention_head_dim": 8,
            "num_attention_heads": 4,
            "caption_projection_dim": 32,
            "joint_attention_dim": 32,
            "out_channels": 4,
            "pos_embed_max_size": 256,
        },
        lambda: {
            "hidden_states": _T(1, 4, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 8, 32),
        },
    ),
    "CogVideoXTransformer3DModel": (
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "in_channels": 4,
            "out_channels": 4,
            "time_embed_dim": 2,
            "text_embed_dim": 8,
            "num_layers": 2,
            "sample_width": 8,
            "sample_height": 8,
            "sample_frames": 8,
            "max_text_seq_length": 8,
        },
        lambda: {
            "hidden_states": _T(1, 2, 4, 8, 8),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 8, 8),
        },
    ),
    "LTXVideoTransformer3DModel": (
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "cross_attention_dim": 32,
            "num_layers": 2,
            "caption_channels": 16,
        },
        lambda: {
            "hidden_states": _T(1, 2 * 4 * 4, 4),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 8, 16),
            "encoder_attention_mask": torch.ones(1, 8).bool(),
            "num_frames": 2,
            "height": 4,
            "width": 4,
        },
    ),
    "WanTransformer3DModel": (
        {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 4,
            "out_channels": 4,
            "text_dim": 16,
            "freq_dim": 256,
            "ffn_dim": 32,
            "num_layers": 2,
            "cross_attn_norm": True,
            "rope_max_seq_len": 32,
        },
        lambda: {
            "hidden_states": _T(1, 4, 2, 16, 16),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 12, 16),
        },
    ),
    "SanaTransformer2DModel": (
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 1,
            "attention_head_dim": 4,
            "num_attention_heads": 2,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 4,
            "cross_attention_dim": 8,
            "caption_channels": 8,
            "sample_size": 32,
        },
        lambda: {
            "hidden_states": _T(1, 4, 32, 32),
            "timestep": _STEP,
            "encoder_hidden_states": _T(1, 8, 8),
        },
    ),
    "StableAudioDiTModel": (
        {
            "sample_size": 4,
            "in_channels": 4,
            "num_layers": 2,
            "attention_head_dim": 4,
            "num_key_value_attention_heads": 1,
            "num_attention_heads": 2,
            "out_channels": 4,
            "cross_attention_dim": 4,
            "time_proj_dim": 8,
            "global_states_input_dim": 8,
            "cross_attention_input_dim": 4,
        },
        lambda: {
            "hidden_states": _T(1, 4, 8),
            "timestep": _T(1),
            "encoder_hidden_states": _T(1, 5, 4),
            "global_hidden_states": _T(1, 1, 8),
            "rotary_embedding": (_T(9, 2), _T(9, 2)),
        },
    ),
    "Lumina2Transformer2DModel": (
        {
            "sample_size": 16,
            "in_channels": 4,
            "hidden_size": 24,
            "num_layers": 2,
            "num_refiner_layers": 1,
            "num_attention_heads": 3,
            "num_kv_heads": 1,
            "axes_dim_rope": (4, 2, 2),
            "axes_lens": (128, 128, 128),
            "cap_feat_dim": 32,
        },
        lambda: {
            "hidden_states": _T(1, 4, 16, 16),
            "timestep": _T(1),
            "encoder_hidden_states": _T(1, 16, 32),
            "encoder_attention_mask": torch.ones(1, 16).bool(),
        },
    ),
    "QwenImageTransformer2DModel": (
        {
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 4,
            "num_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 3,
            "joint_attention_dim": 16,
            "axes_dims_rope": (8, 4, 4),
        },
        lambda: {
            "hidden_states": _T(1, 16, 16),
            "timestep": _T(1),
            "encoder_hidden_states": _T(1, 7, 16),
            "encoder_hidden_states_mask": torch.ones(1, 7, dtype=torch.long),
            "img_shapes": [(1, 4, 4)],
        },
    ),
}


def _build(name: str) -> Built:
    config, inputs = MODELS[name]
    torch.manual_seed(0)
    return Built(getattr(diffusers, name)(**config).eval(), (), inputs())


def cases() -> list[Case]:
    """Return a case for each class."""
    return [Case(f"diffusers/{name}", lambda name=name: _build(name)) for name in MODELS]
