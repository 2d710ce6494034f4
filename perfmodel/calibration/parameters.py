"""What a calibration may change: few parameters, each a physical effect.

A parameter moves all figures of one effect together: as a factor on what the machine's file says of
them, or, for the cost of a call, as seconds added to each. So the differences that are known within
a group (attention is less efficient than a linear layer) stay, and few points suffice.

Every parameter starts at what the file says and is held there with a *spread*: how far (as a
standard deviation of the logarithm) it may be off before anything is measured. What the points say
nothing of stays where it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from perfmodel.evidence.parameters import Effect
from perfmodel.evidence.probes import probe
from perfmodel.machine import Figure, Machine
from perfmodel.mapping.applied import Applied
from perfmodel.mapping.roofline import FloatArray
from perfmodel.software import load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision

if TYPE_CHECKING:
    from perfmodel.evidence.cases import Case


#: What a software reaches of one engine in one format.
_REACHED: Final = re.compile(
    r"software\.[^.]+\.efficiency\.(?P<engine>[a-z0-9]+)_(fp32|bf16|fp16|int8)\.(?P<family>\w+)"
)


@dataclass(frozen=True)
class Parameter(Effect):
    """What a calibration finds.

    Attributes:
        added: in SI units, what it starts at where it is added to the figures; 0 for a factor,
            which starts at 1.
    """

    added: float = 0.0

    @property
    def start(self) -> float:
        """The value before any measurement."""
        return self.added or 1.0

    def moved(self, figure: Figure, value: float | FloatArray) -> float | FloatArray:
        """A figure's typical value at this value of the parameter."""
        return figure.typical + value if self.added else figure.typical * value


def _efficiency(*families: str) -> tuple[str, ...]:
    return tuple(f"core.engines.*.efficiency.{family}" for family in families)


#: The spreads: an efficiency that nobody measured is known to about a factor of 1.4 (the ranges in
#: the catalogue), that of less regular kernels to 1.6; what software adds, to 2 or 3.
CONV: Final = Parameter(
    "conv", "efficiency of convolutions", _efficiency(f.CONV, f.POINTWISE_CONV), 0.35
)
SPATIAL: Final = Parameter(
    "spatial", "efficiency of convolutions over several pixels", _efficiency(f.CONV), 0.35
)
POINTWISE: Final = Parameter(
    "pointwise", "efficiency of pointwise convolutions", _efficiency(f.POINTWISE_CONV), 0.35
)
DEPTHWISE: Final = Parameter(
    "depthwise", "efficiency of depthwise convolutions", _efficiency(f.DEPTHWISE_CONV), 0.5
)
DENSE: Final = Parameter(
    "dense",
    "efficiency of linear layers, matrix products and attention",
    _efficiency(f.LINEAR, f.MATMUL, f.ATTENTION),
    0.35,
)
PRODUCTS: Final = Parameter(
    "products",
    "efficiency of linear layers and matrix products",
    _efficiency(f.LINEAR, f.MATMUL),
    0.35,
)
ATTENTION: Final = Parameter("attention", "efficiency of attention", _efficiency(f.ATTENTION), 0.35)
NORM: Final = Parameter("norm", "efficiency of norms", _efficiency(f.NORM), 0.5)
ACTIVATION: Final = Parameter(
    "activation", "efficiency of activations and softmax", _efficiency(f.ACTIVATION, f.SOFTMAX), 0.5
)
POOLING: Final = Parameter("pooling", "efficiency of pooling", _efficiency(f.POOLING), 0.5)
ELEMENTWISE: Final = Parameter(
    "elementwise",
    "efficiency of everything else without products",
    _efficiency(f.ELEMENTWISE, f.REDUCTION, f.RESAMPLE, f.EMBEDDING, f.DATA_MOVEMENT, f.UNMODELLED),
    0.5,
)
DISPATCH: Final = Parameter(
    "dispatch",
    "seconds that launching one kernel takes longer, but for a lone matrix product",
    tuple(
        f"software.*.launch.{family}"
        for family in ("default", *f.FAMILIES)
        if family not in (f.MATMUL, f.UNMODELLED)
    ),
    1.0,
    added=10e-6,
)
LAUNCH: Final = Parameter(
    "launch",
    "time that launching one kernel takes",
    (
        "software.*.native_convolution.launch",
        *(
            f"software.*.launch.{family}"
            for family in ("default", *f.FAMILIES)
            if family not in f.CONVOLUTIONS
        ),
    ),
    0.5,
)
LAUNCH_CONVOLUTION: Final = Parameter(
    "launch_convolution",
    "time that launching a convolution of the kernel library takes",
    tuple(f"software.*.launch.{family}" for family in f.CONVOLUTIONS),
    0.5,
)
RELAYOUT: Final = Parameter(
    "relayout",
    "operations to change the layout around a convolution",
    ("software.*.relayout",),
    0.5,
)
CONVERSION: Final = Parameter(
    "conversion", "operations to convert from and to 16 bits", ("software.*.conversion",), 0.35
)
HALF_WIDTH: Final = Parameter(
    "half_width",
    "share of the engine's rate of attention in 16 bits",
    ("software.*.efficiency.bf16.attention", "software.*.efficiency.fp16.attention"),
    0.35,
)
REPACKING: Final = Parameter(
    "repacking", "traffic for packing weights on every call", ("software.*.packing",), 0.5
)
FRESH: Final = Parameter(
    "fresh_output",
    "bandwidth of first touching an output of 32 MiB or more",
    ("software.*.fresh_output.bandwidth",),
    0.5,
)
MEMORY: Final = Parameter(
    "memory", "sustained memory bandwidth of all cores", ("memory.sustained",), 0.35
)
PER_CORE: Final = Parameter(
    "memory_per_core",
    "memory bandwidth of one core and of one L3 domain",
    ("memory.per_core", "memory.per_domain"),
    0.35,
)
CACHES: Final = Parameter(
    "caches", "sustained bandwidth of L2 and L3", ("core.cache_bandwidth.*",), 0.35
)
REGION: Final = Parameter(
    "region",
    "time that waking and joining threads takes",
    ("parallel_region.*", "software.*.join"),
    0.5,
)
GRAIN: Final = Parameter("grain", "work that wakes one more thread", ("software.*.grain",), 0.7)
STRAGGLERS: Final = Parameter(
    "stragglers", "by how much the slowest thread is later", ("software.*.stragglers",), 0.7
)
TOUCHING: Final = Parameter(
    "touching", "bandwidth of a thread beside a kernel", ("software.*.touching",), 0.7
)
MOVING: Final = Parameter("moving", "bytes per cycle of data movement", ("software.*.moving",), 0.5)

#: For whole models and matrix products under eager PyTorch on an idle machine.
PYTORCH: Final = (CONV, DEPTHWISE, DENSE, DISPATCH, REPACKING, FRESH, TOUCHING)
#: For text generation: kernels of its own, which the catalogue's figures say little of, and one
#: process whose threads meet after every kernel.
GENERATION: Final = tuple(replace(parameter, spread=1.0) for parameter in (DENSE, MEMORY, REGION))
#: For microbenchmarks, which tell the effects apart.
MICROBENCHMARKS: Final = (
    SPATIAL,
    POINTWISE,
    DEPTHWISE,
    PRODUCTS,
    ATTENTION,
    NORM,
    ACTIVATION,
    POOLING,
    ELEMENTWISE,
    LAUNCH,
    LAUNCH_CONVOLUTION,
    RELAYOUT,
    CONVERSION,
    HALF_WIDTH,
    REPACKING,
    FRESH,
    MEMORY,
    PER_CORE,
    CACHES,
    REGION,
    GRAIN,
    STRAGGLERS,
    TOUCHING,
    MOVING,
)


def _reached(engine: str, fmt: str) -> tuple[Parameter, ...]:
    """Efficiencies that a software reaches of an engine in one format, by family of products.

    One that no point runs on is not moved along with another: it would pass its peak unseen.
    """

    def share(name: str, meaning: str, *families: str) -> Parameter:
        paths = tuple(f"software.*.efficiency.{engine}_{fmt}.{family}" for family in families)
        told = f"efficiency of {meaning} in {fmt} on {engine}"
        return Parameter(f"{name}_{engine}_{fmt}", told, paths, 0.7)

    return (
        share("spatial", "convolutions over several pixels", f.CONV),
        share("pointwise", "pointwise convolutions", f.POINTWISE_CONV),
        share("depthwise", "depthwise convolutions", f.DEPTHWISE_CONV),
        share("products", "linear layers and matrix products", f.LINEAR, f.MATMUL),
        share("attention", "attention", f.ATTENTION),
    )


def _reached_without_products(name: str, meaning: str, *families: str) -> Parameter:
    paths = tuple(f"software.*.efficiency.*_fp32.{family}" for family in families)
    return Parameter(f"{name}_layers", f"efficiency of {meaning}, within networks", paths, 0.7)


#: For layers within networks, beside what software reaches of engines in a format.
_LAYERS: Final = (
    _reached_without_products("norm", "norms", f.NORM),
    _reached_without_products("activation", "activations and softmax", f.ACTIVATION, f.SOFTMAX),
    _reached_without_products(
        "elementwise",
        "everything else without products",
        f.ELEMENTWISE,
        f.REDUCTION,
        f.POOLING,
        f.RESAMPLE,
        f.EMBEDDING,
        f.DATA_MOVEMENT,
        f.UNMODELLED,
    ),
    replace(LAUNCH, patterns=("software.*.launch.*",), spread=1.0),
    # One thread may pack in passing what many threads wait for.
    replace(REPACKING, spread=2.0),
    PER_CORE,
    Parameter("l2", "sustained bandwidth of L2", ("core.cache_bandwidth.l2",), 0.35),
    # Of the last-level cache, a guest on a shared computer has what its neighbours leave.
    Parameter("l3", "sustained bandwidth of L3", ("core.cache_bandwidth.l3*",), 0.7),
)


def layers(machines: Iterable[Machine]) -> tuple[Parameter, ...]:
    """Return what layers within networks tell of software that plans a graph."""
    reached = {
        (name, fmt): _reached(name, fmt)
        for machine in machines
        for name, engine in machine.core.engines.items()
        for fmt in engine.ops_per_cycle
    }
    return (*chain.from_iterable(reached.values()), *_LAYERS)


def opened(machine: Machine, runtime: str, precisions: Collection[str]) -> dict[str, float]:
    """Return what a software reaches of each engine of a machine in a format, by path.

    A description says that of many engines and formats at once; of one machine, each can be known
    apart. So a file that states these figures says what it said before, and a fit can move them.
    """
    software = load_software(runtime)
    applied = Applied(software, machine.software, machine.id, lambda _, figure: figure.typical)
    formats = {
        asked
        for precision in precisions
        for asked in zip(f.FAMILIES, get_precision(precision).arithmetic, strict=True)
    }
    found = {}
    for name, engine in machine.core.engines.items():
        for family, fmt in sorted(formats):
            # What is no product is the vector engine's, in FP32.
            alone = family not in f.GEMM_FAMILIES and (engine.kind, fmt) != ("vector", "fp32")
            able = family in engine.efficiency and fmt in engine.ops_per_cycle
            if able and not alone and applied.runs(name, family, fmt):
                path = f"software.{runtime}.efficiency.{name}_{fmt}.{family}"
                found[path] = float(applied.efficiency(family, name, engine.kind, fmt))
    return found


def figures(machine: Machine, runtime: str) -> dict[str, Figure]:
    """Return every figure that an estimate reads, by path: the software's and the machine's.

    What the machine's file says of the software replaces what its own description says.
    """
    return {**load_software(runtime).figures(), **machine.figures()}


def variants(
    machine: Machine, runtime: str, parameters: Mapping[Parameter, FloatArray]
) -> dict[str, FloatArray]:
    """Figures by path as :func:`~perfmodel.mapping.variants.latency_variants` takes them.

    Args:
        parameters: values of each, shape (variants,).
    """
    return {
        path: np.minimum(np.asarray(parameter.moved(figure, parameters[parameter])), most)
        for path, figure, parameter, most in moved_figures(machine, runtime, tuple(parameters))
    }


@lru_cache(maxsize=512)
def moved_figures(
    machine: Machine, runtime: str, parameters: tuple[Parameter, ...]
) -> list[tuple[str, Figure, Parameter, float]]:
    """Return every figure that one of the parameters moves, by path, and the most it may become.

    What a software reaches of an engine in a format is at most the engine's peak: where kernels run
    on one of two engines, the formula takes the faster, and a fit would raise it beyond that.
    """
    before = figures(machine, runtime)
    found = []
    for path, figure in before.items():
        core = before.get(attained(path) or "")
        most = math.inf if core is None else max(figure.typical, 1 / core.typical)
        found += [(path, figure, p, most) for p in parameters if p.moves(path)]
    return found


def attained(path: str) -> str | None:
    """Return the core's efficiency that a software's figure is a share of, for one engine."""
    match = _REACHED.fullmatch(path)
    return f"core.engines.{match['engine']}.efficiency.{match['family']}" if match else None


def parameters_for(points: Sequence[Case]) -> tuple[Parameter, ...]:
    """What a fit to these points changes, by what kind of points they are."""
    probes = [case.row.probe for case in points if case.row.probe is not None]
    if probes:
        if any(probe(name).layers > 1 for name in probes):
            return layers(case.machine for case in points)
        return MICROBENCHMARKS
    if all(case.group.quantity == "token_rate" for case in points):
        return GENERATION
    return PYTORCH
