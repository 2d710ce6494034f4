"""Which microbenchmarks a host calibration runs, the most telling first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Products and modules that tell most, in any format.
_TELLING: Final = (
    "inverted_residual 1x16x7x7 to 64 by 3",
    "bottleneck 1x64x7x7 to 16",
    "linear 256x1024x1024",
    "conv 1x64x56x56 to 64 by 3",
    "conv 1x256x14x14 to 256 by 1",
    "depthwise 1x144x56x56 by 3",
    "linear 1x4096x4096",
)
#: Each effect once: enough to fit from, in a few seconds.
_FIRST: Final = (
    *_TELLING,
    "add 4194304",
    "add 1048576",
    "attention 12x197x64",
    "layer_norm 197x768",
    "gelu 197x3072",
    "batch_norm 1x64x56x56",
    "max_pool 1x64x112x112 by 3",
)
_MORE: Final = (
    "linear 64x768x768",
    "linear 197x3072x768",
    "linear 49x3072x768",
    "linear 3136x384x96",
    "linear 1x1000x2048",
    "linear 16x4096x1024",
    "linear 1024x1024x1024",
    "conv 1x3x224x224 to 64 by 7 stride 2",
    "conv 1x512x7x7 to 512 by 3",
    "conv 1x128x28x28 to 128 by 3",
    "conv 1x256x14x14 to 256 by 3",
    "conv 1x64x112x112 to 128 by 3",
    "conv 1x128x56x56 to 128 by 3 stride 2",
    "conv 1x128x28x28 to 32 by 3",
    "conv 4x128x28x28 to 128 by 3",
    "conv 1x64x56x56 to 256 by 1",
    "conv 1x512x28x28 to 128 by 1",
    "conv 1x1024x14x14 to 256 by 1",
    "conv 1x512x7x7 to 2048 by 1",
    "conv 1x16x112x112 to 96 by 1",
    "conv 1x24x56x56 to 144 by 1",
    "conv 1x96x14x14 to 576 by 1",
    "conv 1x960x7x7 to 160 by 1",
    "depthwise 1x384x14x14 by 3",
    "depthwise 1x672x14x14 by 5",
    "depthwise 1x240x28x28 by 3 stride 2",
    "depthwise 1x96x112x112 by 3",
    "depthwise 1x960x7x7 by 3",
    "depthwise 1x192x28x28 by 7",
    "inverted_residual 1x40x14x14 to 240 by 5",
    "inverted_residual 1x24x28x28 to 72 by 3",
    "bottleneck 1x256x14x14 to 64",
    "add 262144",
    "add 16777216",
    "sum 1048576",
    "sum 16777216",
    "relu 802816",
    "relu 200704",
    "batch_norm 1x256x56x56",
    "batch_norm 1x256x14x14",
    "softmax 2364x197",
    "layer_norm 3136x96",
    "attention 16x577x64",
    "attention 12x64x64",
    "max_pool 1x128x56x56 by 2",
)
#: In 16 bits, the most telling first.
_BF16: Final = (
    *_TELLING,
    "linear 197x3072x768",
    "linear 49x3072x768",
    "linear 3136x384x96",
    "conv 1x128x28x28 to 128 by 3",
    "conv 1x64x112x112 to 128 by 3",
    "conv 1x512x7x7 to 512 by 3",
    "conv 1x64x56x56 to 256 by 1",
    "conv 1x512x28x28 to 128 by 1",
    "conv 1x512x7x7 to 2048 by 1",
    "conv 1x96x14x14 to 576 by 1",
    "conv 1x16x112x112 to 96 by 1",
    "depthwise 1x384x14x14 by 3",
    "depthwise 1x192x28x28 by 7",
    "inverted_residual 1x40x14x14 to 240 by 5",
    "bottleneck 1x256x14x14 to 64",
    "attention 12x197x64",
    "attention 16x577x64",
    "relu 802816",
    "gelu 197x3072",
    "layer_norm 197x768",
    "batch_norm 1x64x56x56",
    "softmax 2364x197",
    "add 1048576",
    "sum 1048576",
    "max_pool 1x64x112x112 by 3",
)
#: Layers within small networks, for software that plans a whole graph; the most telling first.
_LAYERS: Final = (
    "3 of encoder 256x512 by 8",
    "4 of bottleneck 1x512x28x28 to 96",
    "4 of inverted_residual 1x40x14x14 to 240 by 5",
    "6 of conv 1x64x56x56 to 64 by 3",
    "6 of conv 1x256x14x14 to 256 by 3",
    "8 of conv 1x256x28x28 to 256 by 1",
    "8 of depthwise 1x144x56x56 by 3",
    "4 of linear 128x1024x1024",
    "4 of encoder 577x256 by 4",
)
_MORE_LAYERS: Final = (
    "3 of feed_forward 128x1024 to 4096",
    "3 of encoder 128x640 by 10",
    "4 of encoder 49x384 by 6",
    "6 of linear 1x2048x2048",
    "6 of conv 1x128x28x28 to 128 by 3",
    "4 of conv 1x512x7x7 to 512 by 3",
    "8 of conv 1x64x56x56 to 64 by 1",
    "12 of conv 1x96x14x14 to 96 by 1",
    "8 of conv 1x32x56x56 to 32 by 1",
    "4 of bottleneck 1x768x14x14 to 192",
    "12 of depthwise 1x384x14x14 by 3",
    "8 of depthwise 1x240x28x28 by 5",
    "4 of inverted_residual 1x24x28x28 to 96 by 3",
)
_INT8: Final = ("int_mm 256x1024x1024", "int_mm 1024x1024x1024")
#: Below this many seconds only the first ones are run, on one thread and on all.
QUICK_S: Final = 30.0
_BF16_FLAGS: Final = {"avx512_bf16", "amx_bf16", "bf16"}
_INT8_FLAGS: Final = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}


@dataclass(frozen=True)
class Step:
    """One microbenchmark in one precision on so many threads, under one software."""

    probe: str
    precision: str
    threads: int
    software: str = "eager"


def plan(budget_s: float, cores: int, flags: Collection[str]) -> list[Step]:
    """What to run within ``budget_s`` seconds; steps that take turns are in a row.

    BF16 and INT8 only where the CPU has instructions for them: elsewhere PyTorch emulates them by
    conversions, which say nothing of the engine.
    """
    wanted: dict[str, tuple[str, ...]] = {"fp32": _FIRST}
    if budget_s >= QUICK_S:
        wanted["fp32"] += _MORE
        if _BF16_FLAGS & set(flags):
            wanted["bf16"] = _BF16
        if _INT8_FLAGS & set(flags):
            wanted["int8"] = _INT8
    return [
        Step(name, precision, threads)
        for threads in ([1, cores] if cores > 1 else [1])
        for precision, names in wanted.items()
        for name in names
    ]


def plan_layers(
    software: str, precisions: Collection[str], budget_s: float, flags: Collection[str]
) -> list[Step]:
    """What to run of software that plans a graph, on one thread: layers within small networks.

    Args:
        precisions: those that it runs in; BF16 and INT8 only where the CPU has instructions.
    """
    able = {"bf16": _BF16_FLAGS, "int8": _INT8_FLAGS}
    names = _LAYERS + (_MORE_LAYERS if budget_s >= QUICK_S else ())
    return [
        Step(name, precision, 1, software)
        for precision in precisions
        if precision not in able or able[precision] & set(flags)
        for name in names
    ]
