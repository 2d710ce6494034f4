"""Predictions of measured points by fits that did not see them: left_out.json."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Final

from perfmodel.vocabulary.kinds import Kind

#: The file, beside this module.
FILE: Final = "left_out.json"


@dataclass(frozen=True)
class LeftOut:
    """One measured point, and how far off predictions were that had no part in it.

    Attributes:
        kind: "single", "throughput", "prefill" or "decode".
        machine: catalogue id; variants of one CPU are one.
        run: what ran, with its tokens and context.
        model: the network, without its size: what was left out of a fit together.
        batch: as stated; 0 where it was not.
        cores: of all instances; 0 where not stated.
        seconds: measured, of one run; of a rate, per sample or token of a socket.
        machine_out: predicted over measured time, by a fit without any point of this machine.
        model_out: the same, by a fit without any point of this model.
    """

    software: str
    kind: Kind
    machine: str
    run: str
    model: str
    precision: str
    batch: int
    cores: int
    instances: int
    seconds: float
    machine_out: float
    model_out: float

    @property
    def new_machine(self) -> float:
        """Natural logarithm of measured over predicted time on a machine the fit never saw."""
        return -math.log(self.machine_out)

    @property
    def new_model(self) -> float:
        """Natural logarithm of measured over predicted time of a model the fit never saw."""
        return -math.log(self.model_out)


@functools.cache
def left_out() -> tuple[LeftOut, ...]:
    """Return every point of the table, in its order."""
    text = resources.files("perfmodel.evidence").joinpath(FILE).read_text(encoding="utf-8")
    table = json.loads(text)
    columns = table["columns"]
    return tuple(LeftOut(**dict(zip(columns, row, strict=True))) for row in table["rows"])
