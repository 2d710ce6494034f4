"""What the software adds: dispatch per kernel, fusion, and the usable share of a cache.

The figures are in assumptions.toml, with confidence and source like the machine catalogue's.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from perfmodel.errors import UnknownName
from perfmodel.machine.schema import Duration, Figure, Fraction, Origin, Record
from perfmodel.mapping.roofline import FloatArray
from perfmodel.workload import families


class _Runtime(Record):
    description: str
    fused: bool
    dispatch: Mapping[str, Duration]


class _Cache(Record):
    usable: Fraction


class _Assumptions(Record):
    sources: Mapping[str, str]
    cache: _Cache
    runtime: Mapping[str, _Runtime]


@dataclass(frozen=True, eq=False)
class Runtime:
    """How a runtime launches kernels.

    Attributes:
        name: "compiled" or "eager".
        fused: whether operators are fused (:func:`perfmodel.workload.fusion.fuse`).
        dispatch: seconds on the critical path per kernel, by family code, shape (families,).
        usable_cache: share of a cache's capacity that tensors can count on.
    """

    name: str
    description: str
    fused: bool
    dispatch: FloatArray
    usable_cache: float


@functools.cache
def _assumptions() -> _Assumptions:
    text = resources.files("perfmodel.mapping").joinpath("assumptions.toml").read_text("utf-8")
    data = tomllib.loads(text)
    origin = Origin("assumptions.toml", data["sources"])
    return _Assumptions.model_validate(data, context=origin)


@functools.cache
def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``; raises :class:`UnknownName` with the nearest valid one."""
    assumptions = _assumptions()
    try:
        record = assumptions.runtime[name]
    except KeyError:
        raise UnknownName("runtime", name, assumptions.runtime) from None
    default = record.dispatch["default"]
    seconds = [record.dispatch.get(family, default).typical for family in families.FAMILIES]
    dispatch = np.array(seconds)
    dispatch.setflags(write=False)
    return Runtime(
        name=name,
        description=record.description,
        fused=record.fused,
        dispatch=dispatch,
        usable_cache=assumptions.cache.usable.typical,
    )


def runtimes() -> tuple[str, ...]:
    """Names of the runtimes."""
    return tuple(_assumptions().runtime)


def figures() -> dict[str, Figure]:
    """Every figure of assumptions.toml by dotted path, for listings of sources."""
    assumptions = _assumptions()
    found = {"cache.usable": assumptions.cache.usable}
    for name, record in assumptions.runtime.items():
        for family, figure in record.dispatch.items():
            found[f"runtime.{name}.dispatch.{family}"] = figure
    return found
