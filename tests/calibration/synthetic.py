"""Measured points that were never measured: predictions at known parameters, in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from perfmodel.calibration.fitting import predicted
from perfmodel.calibration.parameters import Parameter
from perfmodel.evidence.cases import Case, load_cases

#: Products (m, n, k) that tell effects apart: arithmetic, packing, fresh outputs, and calls.
SHAPES = (
    *((m, 256, 256) for m in (64, 128, 256, 512)),
    *((m, 1024, 1024) for m in (256, 384, 512, 1024)),
    *((m, 4096, 2048) for m in (4, 8, 12, 16)),
    *((m, 8192, 64) for m in (1024, 1536, 2048)),
)


def text(values: Sequence[float], machine: str = "i7_12700k", **changes: str) -> str:
    """A file of measured products of :data:`SHAPES`, in microseconds."""
    fields = {
        "name": '"made"',
        "machine": f'"{machine}"',
        "family": '"made"',
        "precision": '"fp32"',
        "software": '"eager"',
        "quantity": '"latency"',
        "unit": '"us"',
        "source": '"here"',
    } | changes
    rows = [
        f"  {{ matmul = {{ m = {m}, n = {n}, k = {k} }}, value = {value!r} }},"
        for (m, n, k), value in zip(SHAPES, values, strict=True)
    ]
    head = [f"{key} = {value}" for key, value in fields.items()]
    lines = ["[sources]", 'here = "made up"', "[[set]]", *head, "rows = [", *rows, "]"]
    return "\n".join(lines) + "\n"


def made(
    path: Path,
    truth: Mapping[Parameter, float],
    change: Callable[[np.ndarray], np.ndarray] = lambda seconds: seconds,
) -> list[Case]:
    """Cases whose values are the predictions at ``truth``, through a file at ``path``."""
    path.write_text(text([1.0] * len(SHAPES)))
    values = np.array([list(truth.values())])
    seconds = np.array([predicted(c, list(truth), values)[0] for c in load_cases([path])])
    path.write_text(text((change(seconds) * 1e6).tolist()))
    return load_cases([path])
