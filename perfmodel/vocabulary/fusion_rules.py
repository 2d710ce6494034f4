"""Names of what software may execute in one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perfmodel.vocabulary import families as f

#: Families that work on each element alone.
POINTWISE: Final = frozenset((f.ACTIVATION, f.ELEMENTWISE))
_CONVOLUTIONS: Final = frozenset(f.CONVOLUTIONS)
_DENSE: Final = frozenset((f.LINEAR, f.MATMUL))

#: What one kernel may execute together, by name: families of a group's first operator, and of
#: those that may follow in it. A norm follows only as a batch norm, which is folded.
RULES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "conv_norm": (_CONVOLUTIONS, frozenset((f.NORM,))),
    "conv_activation": (_CONVOLUTIONS, frozenset((f.ACTIVATION,))),
    "conv_elementwise": (_CONVOLUTIONS, frozenset((f.ELEMENTWISE,))),
    "linear_activation": (_DENSE, frozenset((f.ACTIVATION,))),
    "linear_elementwise": (_DENSE, frozenset((f.ELEMENTWISE,))),
    "pointwise_chain": (POINTWISE, POINTWISE),
}
