"""Why two methods rank CPUs differently: one line, put together from what each of them counted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from perfmodel._text import percent, significant
from perfmodel.comparison.chosen import PUBLISHED, ROOFLINE
from perfmodel.comparison.orders import Order, order_of
from perfmodel.mapping.result import Result
from perfmodel.vocabulary import families as f

if TYPE_CHECKING:
    from perfmodel.machine import Machine

#: Counts this close to each other are the same for the purpose of a reason.
_SAME: Final = 0.02
#: Above this share of the latency, a bound decides "alone".
_ALONE: Final = 0.95

#: Operator families of the workload under the names of what the published method counts.
_COUNTED_AS: Final = {
    **dict.fromkeys(f.CONVOLUTIONS, "convolutions"),
    "linear": "linear layers",
    "attention": "attention",
    "matmul": "attention",
}


@dataclass(frozen=True)
class Disagreement:
    """A model that the two methods rank differently, over the CPUs that both evaluated."""

    model: str
    roofline: Order
    published: Order
    reason: str


def disagreements(rows: Iterable[Result]) -> list[Disagreement]:
    """For each model that the two methods rank differently, one line that says why.

    The reason is put together from what the two estimates hold: the operations each counted, what
    bounds the two CPUs that changed places, and the peaks and bandwidths each method used.
    """
    by_run: dict[tuple[str, int], dict[str, dict[str, Result]]] = {}
    for row in rows:
        run = by_run.setdefault((row.model, row.batch), {})
        run.setdefault(row.method, {})[row.cpu] = row
    found = []
    for (model, _), methods in by_run.items():
        ours, theirs = methods.get(ROOFLINE, {}), methods.get(PUBLISHED, {})
        common = ours.keys() & theirs.keys()
        if len(common) < 2:
            continue
        roofline = order_of([ours[cpu] for cpu in common])
        published = order_of([theirs[cpu] for cpu in common])
        if roofline.cpus != published.cpus:
            first, second = _inversion(roofline, published)
            reason = _reason(ours[first], ours[second], theirs[first], theirs[second])
            found.append(Disagreement(model, roofline, published, reason))
    return found


def _inversion(roofline: Order, published: Order) -> tuple[str, str]:
    """Two CPUs in roofline order that the published method has the other way round.

    The two leaders, where they differ; else the pair with the widest margins.
    """
    if roofline.cpus[0] != published.cpus[0]:
        return roofline.cpus[0], published.cpus[0]
    ours = dict(zip(roofline.cpus, roofline.latencies_ms, strict=True))
    theirs = dict(zip(published.cpus, published.latencies_ms, strict=True))

    def width(pair: tuple[str, str]) -> float:
        first, second = pair
        return math.log(ours[second] / ours[first]) + math.log(theirs[first] / theirs[second])

    pairs = [
        (first, second)
        for place, first in enumerate(roofline.cpus)
        for second in roofline.cpus[place + 1 :]
        if published.cpus.index(second) < published.cpus.index(first)
    ]
    return max(pairs, key=width)


def _reason(
    first: Result, second: Result, first_published: Result, second_published: Result
) -> str:
    """Why ``first`` is ahead of ``second`` by the roofline, and behind in the published method."""
    theirs = _published_account(first_published, second_published, _gflop_by_kind(first))
    return f"the published method {theirs}; the roofline method {_roofline_account(first, second)}"


def _gflop_by_kind(row: Result) -> dict[str, float]:
    """GFLOP (a MAC is 2) that the workload of a roofline row executes, by kind."""
    total: dict[str, float] = {}
    for kernel in row.kernels:
        if kernel.flops:
            kind = _COUNTED_AS.get(kernel.family, kernel.family)
            total[kind] = total.get(kind, 0.0) + kernel.flops / 1e9
    return total


def _published_account(first: Result, second: Result, true: Mapping[str, float]) -> str:
    """What the published method counted, and by what it ranked ``second`` ahead of ``first``."""
    counted = _counted_by_kind(first)
    total, executed = sum(counted.values()), sum(true.values())
    account = ""
    if abs(total - executed) > _SAME * executed:
        details = ", ".join(
            f"{kind} {_amount(counted.get(kind, 0.0))} of {significant(gflop)}"
            for kind, gflop in true.items()
            if abs(counted.get(kind, 0.0) - gflop) > _SAME * executed
        )
        account += f"counts {significant(total)} of {significant(executed)} GFLOP"
        account += f" ({details}) and " if details else " and "
    return account + _published_decider(second, first)


def _published_decider(ahead: Result, behind: Result) -> str:
    from perfmodel.published import CPUS as cpus

    if ahead.bottleneck != behind.bottleneck:
        sides = " and ".join(
            f"{row.bottleneck} on {row.cpu} ({percent(row.bottleneck_shares[row.bottleneck])})"
            for row in (ahead, behind)
        )
        return f"finds the limit to be {sides}"
    share = min(row.bottleneck_shares[row.bottleneck] for row in (ahead, behind))
    extent = "alone" if share >= _ALONE else f"for {percent(share)} of the time"
    if ahead.bottleneck == "memory":
        figures = ", ".join(
            f"{row.cpu} {significant(cpus[row.cpu].bandwidth_gb_s, 4)} GB/s"
            for row in (ahead, behind)
        )
        return f"compares memory bandwidth {extent} ({figures})"
    figures = ", ".join(
        f"{row.cpu} {significant(cpus[row.cpu].peak_ops_per_s / 1e12)}{_true_peak(row)}"
        for row in (ahead, behind)
    )
    return f"compares INT8 peaks {extent} ({figures} TOP/s)"


def _true_peak(row: Result) -> str:
    if row.machine is None:
        return ""
    return f" where the catalogue has {significant(row.machine.best_peak('int8') / 1e12)}"


def _counted_by_kind(row: Result) -> dict[str, float]:
    """GFLOP the published method counted, by kind of layer."""
    from perfmodel.published import PublishedEstimate

    assert isinstance(row.parts, PublishedEstimate)
    chains = row.parts.chains
    total: dict[str, float] = {}
    for types, ops in zip(chains.types, chains.ops.tolist(), strict=True):
        if ops:
            kind = "convolutions" if "Conv2d" in types else "linear layers"
            total[kind] = total.get(kind, 0.0) + ops / 1e9
    return total


def _amount(gflop: float) -> str:
    return significant(gflop) if gflop else "none"


def _roofline_account(first: Result, second: Result) -> str:
    """The part of the latency that puts ``second`` behind, on both CPUs, and what sets it."""
    ours, theirs = _parts_ms(first), _parts_ms(second)
    part = max(theirs, key=lambda name: theirs[name] - ours[name])
    sides = ", ".join(
        f"{significant(parts[part])} on {row.cpu}{_rate(row, part)}"
        for row, parts in ((first, ours), (second, theirs))
    )
    return f"finds the difference in {_PARTS[part]} (ms: {sides})"


#: Parts of a latency as a reason names them.
_PARTS: Final = {
    "compute": "arithmetic-bound time",
    "L2": "L2-bound time",
    "L3": "L3-bound time",
    "DRAM": "DRAM-bound time",
    "overhead": "dispatch and barriers",
}


def _parts_ms(row: Result) -> dict[str, float]:
    """The latency by what each part of it waits for."""
    return {part: share * row.latency_ms for part, share in row.bottleneck_shares.items()}


def _rate(row: Result, part: str) -> str:
    """What sets the duration of that part on that CPU."""
    if row.machine is None:
        return ""
    if part == "overhead":
        return f" with up to {row.active_cores} cores"
    if part == "DRAM":
        return f" at {significant(row.machine.sustained_bandwidth / 1e9)} GB/s"
    return _main_engine(row, row.machine) if part == "compute" else ""


def _main_engine(row: Result, machine: Machine) -> str:
    """The engine that products take most time on, with its peak in their format."""
    from perfmodel.vocabulary.families import CODE
    from perfmodel.vocabulary.precision import get_precision

    arithmetic = get_precision(row.precision).arithmetic
    time: dict[tuple[str, str], float] = {}
    for kernel in row.kernels:
        if kernel.flops:
            key = kernel.engine, arithmetic[CODE[kernel.family]]
            time[key] = time.get(key, 0.0) + kernel.compute_ms
    if not time:
        return ""
    engine, fmt = max(time, key=lambda key: time[key])
    if fmt not in machine.engine(engine).ops_per_cycle:
        return f" by {engine}"
    peak = significant(machine.peak_ops(engine, fmt) / 1e12)
    return f" by {engine} at a peak of {peak} {fmt.upper()} TOP/s"
