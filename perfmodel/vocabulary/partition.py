"""How a socket is divided, as every room may say it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Partition:
    """``instances`` copies of a model that run at the same time, on ``cores`` cores each."""

    instances: int
    cores: int

    def __str__(self) -> str:
        return f"{self.instances} x {self.cores} cores"
