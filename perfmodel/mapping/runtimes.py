"""What the software adds: dispatch per kernel, fusion, and the usable share of a cache.

The figures are in assumptions.toml, with confidence and source like the machine catalogue's.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np

from perfmodel.errors import UnknownName
from perfmodel.machine.schema import Duration, Figure, Fraction, Origin, Record
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.workload import families

#: What the paths of these figures begin with, to tell them from a machine's.
PREFIX: Final = "assumptions."


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
        dispatch: seconds on the critical path per kernel, by family code, shape (families,), or
            (samples, 1, families) where it varies.
        usable_cache: share of a cache's capacity that tensors can count on; a float, or an array of
            shape (samples, 1, 1).
    """

    name: str
    description: str
    fused: bool
    dispatch: FloatArray
    usable_cache: Rate


@functools.cache
def _assumptions() -> _Assumptions:
    text = resources.files("perfmodel.mapping").joinpath("assumptions.toml").read_text("utf-8")
    data = tomllib.loads(text)
    origin = Origin("assumptions.toml", data["sources"])
    return _Assumptions.model_validate(data, context=origin)


@functools.cache
def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``; raises :class:`UnknownName` with the nearest valid one."""
    return runtime_with(name, {})


def runtime_with(name: str, values: Mapping[str, FloatArray]) -> Runtime:
    """The runtime called ``name`` with some of :func:`figures` replaced by samples.

    Args:
        values: by path, arrays of shape (samples,) in SI units.

    Raises:
        UnknownName: no such runtime.
    """
    assumptions = _assumptions()
    try:
        record = assumptions.runtime[name]
    except KeyError:
        raise UnknownName("runtime", name, assumptions.runtime) from None

    def dispatch(family: str) -> FloatArray:
        key = family if family in record.dispatch else "default"
        path = f"{PREFIX}runtime.{name}.dispatch.{key}"
        return np.asarray(values.get(path, record.dispatch[key].typical), dtype=np.float64)

    seconds = np.stack(np.broadcast_arrays(*map(dispatch, families.FAMILIES)), axis=-1)
    seconds = seconds[:, None, :] if seconds.ndim > 1 else seconds
    seconds.setflags(write=False)
    usable = values.get(f"{PREFIX}cache.usable")
    return Runtime(
        name=name,
        description=record.description,
        fused=record.fused,
        dispatch=seconds,
        usable_cache=assumptions.cache.usable.typical if usable is None else usable[:, None, None],
    )


def runtimes() -> tuple[str, ...]:
    """Names of the runtimes."""
    return tuple(_assumptions().runtime)


def figures() -> dict[str, Figure]:
    """Every figure of assumptions.toml by dotted path, all beginning with :data:`PREFIX`."""
    assumptions = _assumptions()
    found = {f"{PREFIX}cache.usable": assumptions.cache.usable}
    for name, record in assumptions.runtime.items():
        for family, figure in record.dispatch.items():
            found[f"{PREFIX}runtime.{name}.dispatch.{family}"] = figure
    return found
