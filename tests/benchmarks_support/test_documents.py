from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.support.documents import estimate_document, top_kernels


@dataclass(frozen=True)
class Row:
    name: str
    latency_ms: float
    operator: str = "linear"
    engine: str = "amx"
    cores: int = 60
    level: str = "L2"
    bound: str = "compute"


@dataclass(frozen=True)
class Result:
    precision: str
    kernels: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        common = {"model": "vit", "cpu": "xeon", "method": "roofline", "batch": 1}
        return common | {
            "state": "steady",
            "software": "openvino",
            "precision": self.precision,
            "latency_ms": sum(row.latency_ms for row in self.kernels),
        }


LAYERS = tuple(
    Row(f"layer{i}.{part}", time) for i in range(3) for part, time in (("a", 1.0), ("b", 0.9))
)


def test_repeated_kernels_are_one_kind_with_their_total() -> None:
    found = top_kernels([*LAYERS, Row("head", 2.0)], count=2)
    assert {name: (k["kernels"], k["latency_ms"]) for name, k in found.items()} == {
        "layer0.a": (3, 3.0),
        "layer0.b": (3, 0.9 * 3),
    }


def test_kernels_of_another_label_are_another_kind() -> None:
    rows = [LAYERS[0], replace(LAYERS[2], bound="L3")]
    assert {k["bound"] for k in top_kernels(rows).values()} == {"compute", "L3"}


def test_the_last_bit_of_a_float_decides_nothing() -> None:
    def names(*times: float) -> list[str]:
        rows = [Row(f"k{i}", time, operator=f"op{i}") for i, time in enumerate(times)]
        return list(top_kernels(rows, count=2))

    above = math.nextafter(1.0, 2.0)
    below = math.nextafter(1.0, 0.0)
    assert names(1.0, 1.0, 1.0) == names(below, 1.0, above) == names(above, below, 1.0)
    assert names(1.0, 1.0, 1.0) == ["k0", "k1"]
    assert names(1.0, 2.0, 3.0) == ["k2", "k1"]


def test_a_nan_is_kept_for_the_comparison_to_find() -> None:
    found = top_kernels([Row("a", math.nan)])
    assert math.isnan(found["a"]["latency_ms"])


def test_what_precisions_share_is_written_once() -> None:
    document = estimate_document({p: Result(p, LAYERS) for p in ("int8", "bf16")})
    assert document["model"] == "vit"
    assert set(document["precisions"]) == {"int8", "bf16"}
    figures = document["precisions"]["bf16"]
    assert set(figures) == {"latency_ms", "top_kernels"}
