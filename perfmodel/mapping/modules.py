"""A result by the modules of its model, and how far it is from what the machine could do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from perfmodel._text import common_name
from perfmodel.mapping.kernel_table import KernelEstimate

if TYPE_CHECKING:
    from perfmodel.mapping.result import Result


@dataclass(frozen=True)
class Module:
    """A module of a model, or several that are alike: all it runs, its children's included.

    Attributes:
        name: below its parent; a number that differs between those that are alike is ``*``.
        count: how many are alike. All figures are of all of them.
        flops: a multiply-accumulate counts as 2.
        moved_bytes: from and to the level that each tensor is in.
        share: of the model's latency.
    """

    name: str
    count: int
    kernels: int
    flops: int
    moved_bytes: float
    latency_ms: float
    share: float
    children: tuple[Module, ...] = field(default=(), repr=False)


def modules(result: Result) -> Module:
    """Return the model as a tree; its root has the model's name.

    Raises:
        PerfmodelError: a result of the published method, which has no kernels.
    """
    paths = [
        (re.sub(r"/\w+(#\d+)?$", "", kernel.name).split("."), kernel) for kernel in result.kernels
    ]
    return _module(result.model, [(path if path != [""] else [], k) for path, k in paths])


def _module(name: str, kernels: Sequence[tuple[list[str], KernelEstimate]]) -> Module:
    below: dict[str, list[tuple[list[str], KernelEstimate]]] = {}
    for path, kernel in kernels:
        if path:
            below.setdefault(path[0], []).append((path[1:], kernel))
    return Module(
        name,
        1,
        len(kernels),
        sum(kernel.flops for _, kernel in kernels),
        sum(kernel.moved_bytes for _, kernel in kernels),
        sum(kernel.latency_ms for _, kernel in kernels),
        sum(kernel.share for _, kernel in kernels),
        _merged([_module(child, theirs) for child, theirs in below.items()]),
    )


def _merged(children: Sequence[Module]) -> tuple[Module, ...]:
    """Those that differ in numbers of their names alone as one, in the order of the first."""
    alike: dict[object, list[Module]] = {}
    for child in children:
        alike.setdefault(_shape(child), []).append(child)
    return tuple(_sum(common_name([each.name for each in same]), same) for same in alike.values())


def _sum(name: str, alike: Sequence[Module]) -> Module:
    """Modules of one shape as one."""
    together = zip(*(each.children for each in alike), strict=True)
    return Module(
        name,
        sum(each.count for each in alike),
        sum(each.kernels for each in alike),
        sum(each.flops for each in alike),
        sum(each.moved_bytes for each in alike),
        sum(each.latency_ms for each in alike),
        sum(each.share for each in alike),
        tuple(_sum(children[0].name, children) for children in together),
    )


def _shape(module: Module) -> object:
    """What modules that are alike have in common; times of equal kernels are equal."""
    name = re.sub(r"\d+", "#", module.name)
    own = (name, module.kernels, module.flops, round(module.latency_ms, 9))
    return own, tuple(_shape(child) for child in module.children)


@dataclass(frozen=True)
class Attained:
    """What a run attains of its CPU, in the words of the roofline model.

    Attributes:
        format: of the numbers that most multiply-accumulates are of; None where there are none.
        peak_flops: FLOPs per second of all cores in that format, at the sustained clock.
        peak_bandwidth: bytes per second of the memory, as its channels state.
        flops, dram_bytes, seconds: of the run.
    """

    format: str | None
    peak_flops: float
    peak_bandwidth: float
    flops: float
    dram_bytes: float
    seconds: float

    @property
    def mfu(self) -> float:
        """Return model FLOPs utilisation: FLOPs per second over the peak (PaLM, 2022, app. B)."""
        return self.flops / self.seconds / self.peak_flops if self.peak_flops else 0.0

    @property
    def mbu(self) -> float:
        """Return model bandwidth utilisation: bytes per second of memory over the peak."""
        return self.dram_bytes / self.seconds / self.peak_bandwidth

    @cached_property
    def intensity(self) -> float:
        """Return operational intensity, in FLOP per byte of memory; infinite without any."""
        return self.flops / self.dram_bytes if self.dram_bytes else float("inf")

    @property
    def ridge_point(self) -> float:
        """Return the intensity above which the peak can be reached (S. Williams et al., 2009)."""
        return self.peak_flops / self.peak_bandwidth


def attained(result: Result) -> Attained:
    """Return what one run attains of the whole CPU.

    Raises:
        PerfmodelError: a result of the published method, which has no kernels.
    """
    by_engine = result.flops_by_format()
    machine = result.machine
    assert machine is not None  # The roofline method always knows it.
    by_format: defaultdict[str, float] = defaultdict(float)
    for (_, fmt), done in by_engine.items():
        by_format[fmt] += done
    most = max(by_format, key=lambda fmt: by_format[fmt], default=None)
    return Attained(
        format=most,
        peak_flops=machine.best_peak(most) if most else 0.0,
        peak_bandwidth=machine.peak_bandwidth,
        flops=sum(by_engine.values()),
        dram_bytes=result.moved_bytes()["DRAM"],
        seconds=result.latency_ms / 1e3,
    )
