"""What the software adds: dispatch per kernel, fusion, and the usable share of a cache.

The figures are in assumptions.toml, with confidence and source like the machine catalogue's.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, Literal, TypedDict

import numpy as np

from perfmodel.errors import UnknownName
from perfmodel.figures.record import walk
from perfmodel.machine.schema import Figure, Fraction, Origin, Record
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.software.figures import RuntimeFigures
from perfmodel.vocabulary import families

#: What the paths of these figures begin with, to tell them from a machine's.
PREFIX: Final = "assumptions."


class _Runtime(RuntimeFigures):
    description: str
    fused: bool
    joined: bool = False


class _Cache(Record):
    usable: Fraction


class _Assumptions(Record):
    sources: Mapping[str, str]
    cache: _Cache
    runtime: Mapping[str, _Runtime]
    uncalibrated_error: Mapping[Literal["networks", "generation"], Mapping[str, Fraction]]


@dataclass(frozen=True, eq=False)
class Runtime:
    """How a runtime launches kernels.

    Attributes:
        name: one of :func:`runtimes`.
        fused: whether operators are fused (:func:`perfmodel.workload.fusion.fuse`).
        joined: whether all cores meet after every kernel, those that had no part in it included.
        dispatch: seconds on the critical path per kernel, by family code, shape (families,), or
            (samples, 1, families) where it varies.
        usable_cache: share of a cache's capacity that tensors can count on; a float, or an array of
            shape (samples, 1, 1).
        uncalibrated_error, generation_error: mean absolute relative error of latencies from
            vendors' figures alone, of networks and of generating text.
        repacking: how often the second operand of a product of several rows passes through memory
            for being packed on every call; 0 where that is done once.
        fresh_threshold, fresh_bandwidth: outputs of at least so many bytes are written into pages
            that fault, at so many bytes per second; both infinite where memory is reused.
        native_dispatch, native_batch, native_elements: seconds to launch a convolution that is run
            as a plain product, and which are: see
            :class:`~perfmodel.software.figures.NativeConvolution`; zeros where none is.
        relayout, conversion: operations per element; 0 where there are none.
        half_width: share of an engine's rate in 16-bit formats, for the families below 1.
        unvectorised: share of the vector engine's rate, for the families below 1.
    """

    name: str
    description: str
    fused: bool
    joined: bool
    dispatch: FloatArray
    usable_cache: Rate
    uncalibrated_error: float
    generation_error: float
    repacking: Rate = 0.0
    fresh_threshold: Rate = np.inf
    fresh_bandwidth: Rate = np.inf
    native_dispatch: Rate = 0.0
    native_batch: Rate = 0.0
    native_elements: Rate = 0.0
    relayout: Rate = 0.0
    conversion: Rate = 0.0
    half_width: Mapping[str, Rate] = field(default_factory=dict)
    unvectorised: Mapping[str, Rate] = field(default_factory=dict)


@functools.cache
def _assumptions() -> _Assumptions:
    text = resources.files("perfmodel.software").joinpath("assumptions.toml").read_text("utf-8")
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

    def value(path: str, figure: Figure) -> Rate:
        found = values.get(PREFIX + path)
        return figure.typical if found is None else np.asarray(found, np.float64)[:, None, None]

    return Runtime(
        name=name,
        description=record.description,
        fused=record.fused,
        joined=record.joined,
        uncalibrated_error=assumptions.uncalibrated_error["networks"][name].typical,
        generation_error=assumptions.uncalibrated_error["generation"][name].typical,
        usable_cache=value("cache.usable", assumptions.cache.usable),
        **costs(name, record, value),
    )


class Costs(TypedDict, total=False):
    """The fields of a :class:`Runtime` that :class:`RuntimeFigures` state."""

    dispatch: FloatArray
    repacking: Rate
    fresh_threshold: Rate
    fresh_bandwidth: Rate
    native_dispatch: Rate
    native_batch: Rate
    native_elements: Rate
    relayout: Rate
    conversion: Rate
    half_width: Mapping[str, Rate]
    unvectorised: Mapping[str, Rate]


def costs(name: str, record: RuntimeFigures, value: Callable[[str, Figure], Rate]) -> Costs:
    """What ``record`` states of the runtime called ``name``, and nothing else.

    Args:
        value: a figure's value by its path from "runtime." on: a float in SI units, or samples of
            shape (samples, 1, 1).
    """
    prefix, found = f"runtime.{name}", Costs()
    if record.dispatch:
        keys = [family if family in record.dispatch else "default" for family in families.FAMILIES]
        by_key = {
            key: np.asarray(value(f"{prefix}.dispatch.{key}", figure), dtype=np.float64)
            for key, figure in record.dispatch.items()
        }
        rows = np.broadcast_arrays(*(by_key[key] for key in keys))
        # One sample, or (samples, 1, 1) each: (families,), or (samples, 1, families).
        seconds = np.concatenate(rows, axis=-1) if rows[0].ndim else np.stack(rows)
        seconds.setflags(write=False)
        found["dispatch"] = seconds
    if record.repacking is not None:
        found["repacking"] = value(f"{prefix}.repacking", record.repacking)
    if record.relayout is not None:
        found["relayout"] = value(f"{prefix}.relayout", record.relayout)
    if record.conversion is not None:
        found["conversion"] = value(f"{prefix}.conversion", record.conversion)
    if record.half_width:
        found["half_width"] = _shares(f"{prefix}.half_width", record.half_width, value)
    if record.unvectorised:
        found["unvectorised"] = _shares(f"{prefix}.unvectorised", record.unvectorised, value)
    native = record.native_convolution
    if native is not None:
        path = f"{prefix}.native_convolution"
        found["native_dispatch"] = value(f"{path}.dispatch", native.dispatch)
        found["native_batch"] = value(f"{path}.batch", native.batch)
        found["native_elements"] = value(f"{path}.elements", native.elements)
    fresh = record.fresh_output
    if fresh is not None:
        path = f"{prefix}.fresh_output"
        found["fresh_threshold"] = value(f"{path}.threshold", fresh.threshold)
        found["fresh_bandwidth"] = value(f"{path}.bandwidth", fresh.bandwidth)
    return found


def _shares(
    prefix: str, shares: Mapping[str, Figure], value: Callable[[str, Figure], Rate]
) -> Mapping[str, Rate]:
    return {family: value(f"{prefix}.{family}", share) for family, share in shares.items()}


def runtimes() -> tuple[str, ...]:
    """Names of the runtimes."""
    return tuple(_assumptions().runtime)


def figures() -> dict[str, Figure]:
    """Every figure of assumptions.toml by dotted path, all beginning with :data:`PREFIX`."""
    assumptions = _assumptions()
    found = {f"{PREFIX}cache.usable": assumptions.cache.usable}
    for name, record in assumptions.runtime.items():
        found |= walk(record, f"{PREFIX}runtime.{name}")
    return found
