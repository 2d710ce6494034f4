"""A core: its engines, with formats and efficiencies, and the bandwidth of its caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from perfmodel.figures.faults import fault_at
from perfmodel.figures.figure import (
    Bandwidth,
    BytesPerCycle,
    Fraction,
    Operations,
    OpsPerCycle,
    Origin,
    nearest,
    provenance,
)
from perfmodel.figures.held import Held, Natural
from perfmodel.figures.record import Record
from perfmodel.vocabulary import families
from perfmodel.vocabulary.precision import FORMATS

Name = Annotated[str, Held(pattern=r"^[a-z][a-z0-9_]*$")]


class Tile(Record):
    """What an engine's kernels pad the GEMM loops (m, n, k) up to, in elements: exact integers.

    Attributes:
        rows, columns, depth: of the m, n and k loop.
        confidence, source: as of a :class:`Figure`.
    """

    whole: ClassVar[bool] = True

    rows: Natural
    columns: Natural
    depth: Natural
    confidence: str = "stated"
    source: str = "stated by the caller"

    @classmethod
    def completed(cls, raw: Any, origin: Origin | None) -> Any:
        """Give the tile the citation that its source is the key of."""
        if not isinstance(raw, dict):
            return raw
        confidence, source = provenance(raw, origin)
        return raw | {"confidence": confidence, "source": source}


class Engine(Record):
    """One way of executing arithmetic: a matrix unit or the vector units of a core.

    Attributes:
        kind: "matrix" executes GEMM families only; "vector" executes every family.
        requires: ISA flags its kernels need; a subset of the core's.
        ops_per_cycle: per number format; a format that is absent is not executed.
        instructions: per number format, the ISA flag without which the engine cannot multiply in
            it; a format that is not listed needs no more than the engine itself.
        tile: per number format, the same formats as ``ops_per_cycle``.
        efficiency: share of the peak reached on a large kernel, per operator family; the same for
            all formats. For families without multiplications: share of the FP32 peak. A family
            that is absent is not executed by this engine.
        saturation: operations per core at which a kernel reaches half of ``efficiency``; absent
            means that efficiency does not depend on size.
    """

    kind: Literal["matrix", "vector"]
    requires: tuple[Name, ...]
    ops_per_cycle: Annotated[Mapping[str, OpsPerCycle], Held(min_length=1)]
    instructions: Mapping[str, Name] = field(default_factory=dict)
    tile: Mapping[str, Tile]
    efficiency: Annotated[Mapping[str, Fraction], Held(min_length=1)]
    saturation: Operations | None = None

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        for family in self.efficiency:
            if family not in families.FAMILIES:
                raise fault_at(
                    ("efficiency", family),
                    f"unknown operator family{nearest(family, families.FAMILIES)}",
                    f"one of {', '.join(families.FAMILIES)}",
                )
            if self.kind == "matrix" and family not in families.GEMM_FAMILIES:
                raise fault_at(
                    ("efficiency", family),
                    "a family without multiplications on a matrix engine",
                    f"only {', '.join(families.GEMM_FAMILIES)}",
                )
        for fmt in self.ops_per_cycle:
            if fmt not in FORMATS:
                raise fault_at(
                    ("ops_per_cycle", fmt),
                    f"unknown number format{nearest(fmt, FORMATS)}",
                    f"one of {', '.join(FORMATS)}",
                )
            if fmt not in self.tile:
                raise fault_at(
                    ("tile", fmt), "missing", "a tile for every format with ops_per_cycle"
                )
        for fmt in self.tile:
            if fmt not in self.ops_per_cycle:
                raise fault_at(
                    ("ops_per_cycle", fmt), "missing", "a rate for every format with a tile"
                )
        if self.kind == "vector":
            if "fp32" not in self.ops_per_cycle:
                raise fault_at(
                    ("ops_per_cycle", "fp32"), "missing", "a vector engine's FP32 operations"
                )
            for family in families.FAMILIES:
                if family not in self.efficiency:
                    raise fault_at(
                        ("efficiency", family),
                        "missing",
                        "a vector engine's share of its peak for every family",
                    )


class CacheBandwidth(Record):
    """Sustained read bandwidth of the caches.

    Attributes:
        l2, l3: what one core reads, per cycle of that core.
        l3_domain: what all cores of one L3 domain read together; absent means that the cores of a
            domain do not limit each other.
    """

    l2: BytesPerCycle
    l3: BytesPerCycle
    l3_domain: Bandwidth | None = None


class Core(Record):
    """A microarchitecture.

    Attributes:
        isa: flags such as "avx512_vnni" or "i8mm", always listed, never inferred from a width.
    """

    name: str
    notes: str = ""
    isa: tuple[Name, ...]
    engines: Annotated[Mapping[Name, Engine], Held(min_length=1)]
    cache_bandwidth: CacheBandwidth

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        for name, engine in self.engines.items():
            for flag in engine.requires:
                if flag not in self.isa:
                    raise fault_at(
                        ("engines", name, "requires"),
                        f"{flag!r}, which the core's isa does not list",
                        f"flags out of {', '.join(self.isa)}",
                    )
        if not any(engine.kind == "vector" for engine in self.engines.values()):
            raise fault_at(
                ("engines",), "no vector engine", "one of kind = 'vector' for all families"
            )
