"""The orders that results make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perfmodel.mapping.result import Result


@dataclass(frozen=True)
class Order:
    """The CPUs of one model at one batch by one method, fastest first.

    Where sockets are divided, ``latencies_ms`` are the socket's milliseconds per batch.
    """

    model: str
    method: str
    cpus: tuple[str, ...]
    latencies_ms: tuple[float, ...]
    batch: int = 1

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each CPU's latency over that of the fastest; the first is 1."""
        return tuple(latency / self.latencies_ms[0] for latency in self.latencies_ms)

    def __str__(self) -> str:
        return " > ".join(
            f"{cpu} {ratio:.2f}x" for cpu, ratio in zip(self.cpus, self.ratios, strict=True)
        )


def rankings(results: Iterable[Result]) -> list[Order]:
    """Return the CPUs by latency (ties by id), for each model, batch and method as they appear."""
    groups: dict[tuple[str, int, str], list[Result]] = {}
    for row in results:
        groups.setdefault((row.model, row.batch, row.method), []).append(row)
    return [order_of(group) for group in groups.values()]


def by_pace(results: list[Result]) -> list[Result]:
    """By latency, or where sockets are divided by what that comes to over all instances."""
    return sorted(results, key=lambda result: (result.pace_ms, result.cpu))


def order_of(results: list[Result]) -> Order:
    """The order of results that are of one model, batch and method."""
    ordered = by_pace(results)
    return Order(
        model=ordered[0].model,
        method=ordered[0].method,
        cpus=tuple(result.cpu for result in ordered),
        latencies_ms=tuple(result.pace_ms for result in ordered),
        batch=ordered[0].batch,
    )
