"""Operators of torchvision: deformable convolutions and the features of regions."""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.tracing.operators.products import flops_of
from perfmodel.vocabulary import families as f

#: Operations of a bilinear interpolation between 4 values, as in the other resampling operators.
BILINEAR: int = 7


@register("torchvision.deform_conv2d")
def deform_conv2d(call: Call) -> Cost:
    """A convolution whose inputs are interpolated first, one for each tap of each output pixel."""
    out_channels, fan_in, *kernel = call.shape("weight")
    groups = call.get("groups", 1)
    pixels = call.result_numel // out_channels
    gemm = (groups, pixels, out_channels // groups, fan_in * prod(kernel))
    taps = pixels * call.shape("input")[1] * prod(kernel)
    masked = 1 if call.get("use_mask", False) else 0
    bias = call.result_numel if call.numel("bias") else 0
    return Cost(
        f.CONV, flops=flops_of(gemm), vector_ops=(BILINEAR + masked) * taps + bias, gemm=gemm
    )


@register("torchvision.roi_align", "torchvision.ps_roi_align")
def roi_align(call: Call) -> Cost:
    """The mean of interpolated samples, sampling_ratio squared for each output element.

    Without a ratio their number depends on the size of a region: taken as 2 by 2, the ratio of
    torchvision's detectors.
    """
    ratio = call.arguments["sampling_ratio"]
    samples = (ratio if ratio > 0 else 2) ** 2
    note = "" if ratio > 0 else "regions are sampled 2 by 2 points for each element"
    return Cost(f.POOLING, vector_ops=(BILINEAR + 1) * samples * call.result_numel, note=note)


@register("torchvision.roi_pool", "torchvision.ps_roi_pool")
def roi_pool(call: Call) -> Cost:
    """The maximum over a part of a region. Regions are taken to be the whole image, the most."""
    *_, height, width = call.shape("input")
    window = -(-height // call.arguments["pooled_height"]) * -(
        -width // call.arguments["pooled_width"]
    )
    return Cost(f.POOLING, vector_ops=window * call.result_numel)
