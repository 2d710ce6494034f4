"""Which microbenchmarks a host calibration runs, the most telling first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

#: Each effect once: enough to fit from, in a few seconds.
_FIRST: Final = (
    "relu 64",
    "linear 256x1024x1024",
    "conv 1x64x56x56 to 64 by 3",
    "conv 1x256x14x14 to 256 by 1",
    "depthwise 1x144x56x56 by 3",
    "linear 1x4096x4096",
    "add 4194304",
    "add 65536",
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
    "linear 1x1000x2048",
    "linear 16x4096x1024",
    "linear 1024x1024x1024",
    "conv 1x3x224x224 to 64 by 7",
    "conv 1x512x7x7 to 512 by 3",
    "conv 1x128x28x28 to 128 by 3",
    "conv 1x256x14x14 to 256 by 3",
    "conv 1x64x56x56 to 256 by 1",
    "conv 1x512x7x7 to 2048 by 1",
    "conv 1x1024x14x14 to 256 by 1",
    "conv 1x16x112x112 to 96 by 1",
    "conv 4x128x28x28 to 128 by 3",
    "depthwise 1x384x14x14 by 3",
    "depthwise 1x672x14x14 by 5",
    "depthwise 1x96x112x112 by 3",
    "add 262144",
    "add 16777216",
    "sum 1048576",
    "sum 16777216",
    "relu 802816",
    "relu 200704",
    "batch_norm 1x256x56x56",
    "softmax 2364x197",
    "layer_norm 3136x96",
    "attention 16x577x64",
    "attention 12x64x64",
    "linear 64x64x64",
    "max_pool 1x128x56x56 by 2",
    "conv 1x24x56x56 to 144 by 1",
    "conv 1x96x14x14 to 576 by 1",
    "conv 1x960x7x7 to 160 by 1",
    "depthwise 1x960x7x7 by 3",
)
_BF16: Final = (
    "linear 256x1024x1024",
    "conv 1x64x56x56 to 64 by 3",
    "conv 1x256x14x14 to 256 by 1",
    "linear 1x4096x4096",
    "depthwise 1x144x56x56 by 3",
    "linear 197x3072x768",
    "conv 1x128x28x28 to 128 by 3",
    "attention 12x197x64",
    "conv 1x96x14x14 to 576 by 1",
    "depthwise 1x384x14x14 by 3",
)
_INT8: Final = ("int_mm 256x1024x1024", "int_mm 1024x1024x1024")
#: Below this many seconds only the first ones are run, on one thread and on all.
QUICK_S: Final = 30.0
_BF16_FLAGS: Final = {"avx512_bf16", "amx_bf16", "bf16"}
_INT8_FLAGS: Final = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}


@dataclass(frozen=True)
class Step:
    """One microbenchmark in one number format on so many threads."""

    probe: str
    precision: str
    threads: int


def plan(budget_s: float, cores: int, flags: Collection[str]) -> list[Step]:
    """What to run within ``budget_s`` seconds, the most telling first.

    BF16 and INT8 only where the CPU has instructions for them: elsewhere PyTorch emulates them by
    conversions, which say nothing of the engine.
    """
    quick = budget_s < QUICK_S
    steps = [Step(probe, "fp32", 1) for probe in _FIRST]
    every = [cores] if cores > 1 else []
    steps += [Step(probe, "fp32", threads) for threads in every for probe in _FIRST[:7]]
    if quick:
        return steps
    steps += [Step(probe, "fp32", 1) for probe in _MORE]
    if _BF16_FLAGS & set(flags):
        steps += [Step(probe, "bf16", 1) for probe in _BF16]
    if _INT8_FLAGS & set(flags):
        steps += [Step(probe, "int8", 1) for probe in _INT8]
    steps += [Step(probe, "fp32", threads) for threads in every for probe in _FIRST[7:]]
    return steps
