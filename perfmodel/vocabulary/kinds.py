"""What is asked of a machine, as every room may say it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

#: One run, throughput of instances, a prompt, or tokens one by one.
Kind: TypeAlias = Literal["single", "throughput", "prefill", "decode"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
