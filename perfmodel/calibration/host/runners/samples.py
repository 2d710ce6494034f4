"""Random operands that post-training quantisation observes activations on."""

from __future__ import annotations

from typing import Any, Final

#: How many samples: values decide scales, and scales no time.
SAMPLES: Final = 2


def samples(operands: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return operands of the same shapes with values of their own; whole numbers stay."""
    import torch

    made = [operands]
    while len(made) < SAMPLES:
        made.append(
            tuple(torch.rand_like(x) if x.is_floating_point() else x.clone() for x in operands)
        )
    return made
