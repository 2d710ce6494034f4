"""What a precision means for one software on one CPU."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perfmodel.machine import Machine
from perfmodel.software.schema import PrecisionRule, Software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import Precision

#: Storage of this many bits is widened where nothing calculates in it.
_NARROW = 16


def effective(precision: Precision, software: Software, machine: Machine) -> Precision:
    """Return ``precision`` as ``software`` runs it on ``machine``; the same object every time.

    A rule of the software replaces formats and stored sizes by family. Where the software widens,
    activations stored in 16 bits are stored in 32 on a CPU of which no engine that the software
    uses multiplies in a 16-bit format. Weights stay as they are and are widened in the registers.
    """
    rule = software.precision.get(precision.name)
    wide = software.widens and not _has_half(software, machine)
    return precision if rule is None and not wide else _changed(precision, rule, wide)


def _has_half(software: Software, machine: Machine) -> bool:
    return any(
        (flag := engine.instructions.get(fmt)) is None or flag in machine.core.isa
        for name, engine in machine.core.engines.items()
        if name not in software.without
        for fmt in ("bf16", "fp16")
        if fmt in engine.ops_per_cycle
    )


@functools.lru_cache(maxsize=256)
def _changed(precision: Precision, rule: PrecisionRule | None, wide: bool) -> Precision:
    arithmetic = dict(zip(f.FAMILIES, precision.arithmetic, strict=True))
    bits = {
        "weight_bits": precision.weight_bits,
        "input_bits": precision.input_bits,
        "output_bits": precision.output_bits,
    }
    if rule is not None:
        arithmetic |= rule.arithmetic
        for role, stated in (
            ("weight_bits", rule.weight),
            ("input_bits", rule.read),
            ("output_bits", rule.write),
        ):
            bits[role] = _replaced(bits[role], stated)
    if wide:
        for role in ("input_bits", "output_bits"):
            bits[role] = np.where(bits[role] == _NARROW, 2.0 * _NARROW, bits[role])
    for array in bits.values():
        array.setflags(write=False)
    return replace(
        precision,
        arithmetic=tuple(arithmetic[name] for name in f.FAMILIES),
        weight_bits=bits["weight_bits"],
        input_bits=bits["input_bits"],
        output_bits=bits["output_bits"],
    )


def _replaced(
    bits: npt.NDArray[np.float64], stated: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    return np.array(
        [stated.get(name, old) for name, old in zip(f.FAMILIES, bits.tolist(), strict=True)]
    )
