"""Results as rows that a chart draws, and a table beside it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from perfmodel.errors import PerfmodelError
from perfmodel.mapping.modules import Module, modules
from perfmodel.mapping.registry import mapper_for

if TYPE_CHECKING:
    from perfmodel.mapping.result import Result

#: No network runs in it.
_FP64: Final = "fp64"
#: Modules whose time a chart shows, and how deep they are looked for.
_MODULES: Final = 12
_DEPTH: Final = 4

Row = dict[str, Any]


def ranking_rows(results: Sequence[Result]) -> list[Row]:
    """Return latency and interval of each result; fastest first within a model."""
    order = {model: at for at, model in enumerate(dict.fromkeys(r.model for r in results))}
    return [
        {
            "model": result.model if result.batch == 1 else f"{result.model}, batch {result.batch}",
            "cpu": result.cpu,
            "precision": result.precision,
            "software": result.software or result.method,
            "latency_ms": result.latency_ms,
            "low_ms": result.latency_low_ms,
            "high_ms": result.latency_high_ms,
            "throughput_fps": result.throughput_fps,
            "fps_per_watt": result.fps_per_watt,
            "bottleneck": result.bottleneck,
            "provenance": result.provenance or "-",
        }
        for result in sorted(results, key=lambda r: (order[r.model], r.batch, r.latency_ms))
    ]


def roofline_rows(result: Result) -> tuple[list[Row], list[Row]]:
    """Return kernels that multiply, and the ceilings above them: two rows for each, its ends.

    A kernel's intensity is over all bytes that it moves, at whatever level. Ceilings are of all
    cores: engines by format at their sustained clock, and the bandwidth of each level.

    Raises:
        PerfmodelError: a result without kernels, or whose kernels multiply nothing.
    """
    machine = result.machine
    kernels: dict[tuple[Any, ...], Row] = {}
    for kernel in result.kernels:
        if not kernel.flops or not kernel.moved_bytes:
            continue
        tflops = kernel.flops / kernel.latency_ms / 1e9
        key = (kernel.operator, kernel.bound, kernel.engine, kernel.flops, round(tflops, 9))
        row = kernels.setdefault(
            key,
            {
                "kernel": kernel.name,
                "count": 0,
                "engine": kernel.engine,
                "bound": kernel.bound,
                "intensity": kernel.intensity,
                "tflops": tflops,
                "share": 0.0,
            },
        )
        row["count"] += 1
        row["share"] += kernel.share * 100
    if machine is None or not kernels:
        raise PerfmodelError(f"{result.model} on {result.cpu}: no kernels that multiply")
    rows = sorted(kernels.values(), key=lambda row: -row["share"])
    formats: dict[tuple[str, float], list[str]] = {}
    for name, engine in machine.core.engines.items():
        for fmt in engine.ops_per_cycle:
            if fmt != _FP64:
                peak = machine.peak_ops(name, fmt) / 1e12
                formats.setdefault((name, peak), []).append(fmt.upper())
    # Formats of one rate are one line.
    peaks = {f"{name} {', '.join(of)}": peak for (name, peak), of in formats.items()}
    most = max(peaks.values())
    low = min(row["intensity"] for row in rows) / 2
    high = max(*(row["intensity"] for row in rows), most * 1e12 / machine.sustained_bandwidth) * 2
    ceilings: list[Row] = []
    for name, tflops in sorted(peaks.items(), key=lambda item: -item[1]):
        ceilings += _line(name, "compute", [(low, tflops), (high, tflops)])
    for level, bandwidth in mapper_for(machine).level_bandwidths().items():
        ridge = min(high, most * 1e12 / bandwidth)
        ends = [(low, low * bandwidth / 1e12), (ridge, ridge * bandwidth / 1e12)]
        ceilings += _line(level, "memory", ends)
    return rows, ceilings


def _line(name: str, kind: str, ends: Sequence[tuple[float, float]]) -> list[Row]:
    return [{"ceiling": name, "kind": kind, "intensity": x, "tflops": y} for x, y in ends]


def serving_rows(results: Iterable[Result]) -> list[Row]:
    """Return latency and throughput of divided sockets, such as those of a search's frontier."""
    return [
        {
            "cpu": result.cpu,
            "latency_ms": result.latency_ms,
            "throughput_fps": result.throughput_fps,
            "division": str(result.partition),
            "batch": result.batch,
        }
        for result in results
    ]


def module_rows(results: Sequence[Result]) -> list[Row]:
    """Return the time of the modules that take most, of one model on several CPUs."""
    found: list[Row] = []
    for result in results:
        root = modules(result)
        parts = [root]
        # What takes most is divided further, while there is room.
        for _ in range(_DEPTH):
            divisible = [part for part in parts if part.children and _accounts(part)]
            if divisible and len(parts) < _MODULES:
                widest = max(divisible, key=lambda part: part.latency_ms)
                at = parts.index(widest)
                parts[at : at + 1] = [
                    child if widest is root else _named(widest, child) for child in widest.children
                ]
        found += [
            {
                "module": part.name + (f" ({part.count})" if part.count > 1 else ""),
                "cpu": result.cpu,
                "latency_ms": part.latency_ms,
                "share": part.share * 100,
                "gflop": part.flops / 1e9,
            }
            for part in sorted(parts, key=lambda part: -part.latency_ms)[:_MODULES]
        ]
    return found


def _accounts(part: Module) -> bool:
    """Whether the children of a module are nearly all of its time."""
    return math.isclose(sum(c.latency_ms for c in part.children), part.latency_ms, rel_tol=0.02)


def _named(parent: Module, child: Module) -> Module:
    return replace(child, name=f"{parent.name}.{child.name}")
