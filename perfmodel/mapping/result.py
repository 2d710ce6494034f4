"""The one result: a model on a CPU, by whatever method, on one instance or on several.

A new column is one field of :class:`Result`: JSON, CSV and pandas follow from the fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from perfmodel._text import html_table, percent, significant
from perfmodel.errors import NotInstalled, PerfmodelError
from perfmodel.mapping.kernel_table import KernelEstimate, KernelTable
from perfmodel.vocabulary.partition import Partition

if TYPE_CHECKING:
    import pandas

    from perfmodel.certainty import Interval
    from perfmodel.machine import Machine
    from perfmodel.mapping.figure_spread import FigureSpread
    from perfmodel.mapping.memory import MemoryNeed


#: Of a column that JSON leaves out while there is nothing to say.
_IF_KNOWN: Final = {"if_known": True}
#: Of what is no column: what a result is made of.
_HIDDEN: Final = {"hidden": True}


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """One run of a model on a CPU: how long it takes, and what that is made of.

    Of a socket divided into instances, latency is that of one instance while all run; throughput,
    utilisation, cores and bytes per second are the socket's.

    Attributes:
        method: "roofline", or "published" for the comparison of 2025-10-24.
        state, software: of the roofline method; None where the method knows neither.
        latency_ms: of one run of ``batch`` samples.
        throughput_fps: samples per second, run after run.
        tokens_per_s: tokens generated in decode, or of the prompt in prefill, per second; None
            without a phase.
        fps_per_watt: throughput over the power that ``power_basis`` names.
        utilization: 0 to 1. Roofline: multiply-accumulate and vector operations done, over what the
            engines that executed them could do in the same time on all cores at their sustained
            clock. Published: mean share of active cores over chains, not weighted by time.
        bottleneck: the label with the largest of ``bottleneck_shares``, which sum to 1: "compute",
            "L2", "L3", "DRAM" and "overhead" of the roofline, "compute" and "memory" of the
            published method.
        active_cores: the most cores any part uses; ``mean_active_cores`` is weighted by time.
        phase: of a model that generates, in words: "prefill of 512 tokens", "decode at context
            1024"; else None.
        instances, cores_per_instance, weights: how the socket is divided; None where it is not.
        dram_gb_s: what all instances together move to and from memory, on average; GB/s.
        energy_j: joules of the package per sample, modelled (:mod:`perfmodel.cost.power`); None
            where it was not asked for.
        calibration: "calibrated" where the machine's file was fitted to measurements, else
            "uncalibrated"; None of the published method.
        notes: what the reader must know, such as a precision this CPU runs in another format.
        memory: what all instances keep in memory; None of the published method.
        machine: the whole socket; None where only the published method knows the CPU.
        certainty: how far off such estimates were; None of the published method.
        figures: how far the ranges of this estimate's figures move it.
        parts: what the method made the result of: the roofline's
            :class:`~perfmodel.mapping.kernel_table.KernelTable` of one run of one instance, or the
            :class:`~perfmodel.published.PublishedEstimate`.
    """

    model: str
    cpu: str
    method: str = "roofline"
    precision: str
    batch: int
    state: str | None = None
    software: str | None = None
    latency_ms: float
    throughput_fps: float
    fps_per_watt: float
    power_basis: str
    utilization: float
    bottleneck: str
    bottleneck_shares: Mapping[str, float] = field(hash=False)
    active_cores: int
    mean_active_cores: float
    phase: str | None = field(default=None, metadata=_IF_KNOWN)
    tokens_per_s: float | None = field(default=None, metadata=_IF_KNOWN)
    instances: int | None = field(default=None, metadata=_IF_KNOWN)
    cores_per_instance: int | None = field(default=None, metadata=_IF_KNOWN)
    weights: str | None = field(default=None, metadata=_IF_KNOWN)
    dram_gb_s: float | None = field(default=None, metadata=_IF_KNOWN)
    energy_j: float | None = field(default=None, metadata=_IF_KNOWN)
    calibration: str | None = None
    notes: tuple[str, ...] = ()
    memory: MemoryNeed | None = field(default=None, compare=False, metadata=_HIDDEN)
    machine: Machine | None = field(default=None, compare=False, metadata=_HIDDEN)
    certainty: Interval | None = field(default=None, compare=False, metadata=_HIDDEN)
    figures: FigureSpread | None = field(default=None, compare=False, metadata=_HIDDEN)
    parts: Any = field(default=None, compare=False, metadata=_HIDDEN)

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as plain Python objects for JSON, units in the keys.

        What is not known or was not asked for (an interval, a phase, a division) is left out.
        """
        return {
            name: _plain(value)
            for name, known in _COLUMNS.items()
            if (value := getattr(self, name)) is not None or not known
        }

    def to_record(self) -> dict[str, Any]:
        """Return every column, the same for all results, for CSV; None where there is nothing.

        The shares are one column each: "share_compute", "share_L2", ...
        """
        record = {name: _plain(getattr(self, name)) for name in _COLUMNS}
        del record["bottleneck_shares"]
        shares = {f"share_{label}": self.bottleneck_shares.get(label) for label in SHARES}
        return record | shares

    @cached_property
    def interval(self) -> Interval | None:
        """How far the truth may be from the latency: the error of such estimates and the figures.

        Errors were measured with figures as uncertain as a catalogue's are, so the two do not add
        up: whichever reaches farther is the interval's end. None of the published method. The
        ranges of the figures are evaluated when this is first asked for.
        """
        if self.certainty is None or self.figures is None or self.certainty.is_whole:
            return self.certainty
        return self.certainty.reaching(*self.figures.half_widths)

    @property
    def latency_low_ms(self) -> float | None:
        """Lower end of the interval; None of a bound and of the published method."""
        ends = self.ends
        return None if ends is None else self.latency_ms * ends[0]

    @property
    def latency_high_ms(self) -> float | None:
        """Upper end of the interval; None of a bound and of the published method."""
        ends = self.ends
        return None if ends is None else self.latency_ms * ends[1]

    @property
    def throughput_low_fps(self) -> float | None:
        """Throughput at the upper end of the latency's interval."""
        ends = self.ends
        return None if ends is None else self.throughput_fps / ends[1]

    @property
    def throughput_high_fps(self) -> float | None:
        """Throughput at the lower end of the latency's interval."""
        ends = self.ends
        return None if ends is None else self.throughput_fps / ends[0]

    @property
    def ends(self) -> tuple[float, float] | None:
        """Factors on the latency at the ends of its interval; None where there is none."""
        found = self.interval
        return None if found is None or found.is_bound else (found.low, found.high)

    @property
    def interval_coverage(self) -> float | None:
        """Probability with which the interval holds the latency (and that of throughput, it).

        None of a bound and of the published method.
        """
        found = self.certainty
        return None if found is None or found.is_bound else found.coverage

    @property
    def provenance(self) -> str | None:
        """What the latency rests on; None of the published method.

        "measured" (this machine, calibrated), "fitted" (its software, on machines of its family),
        "transferred" (its software, on other machines or in other precisions), "datasheet" (no
        measurement), or "bound" (no software reaches it).
        """
        return None if self.certainty is None else self.certainty.provenance

    @property
    def evidence_points(self) -> int | None:
        """How many measured points of this software and kind are behind the interval."""
        return None if self.certainty is None else self.certainty.points

    @property
    def evidence_machines(self) -> int | None:
        """On how many machines these were measured."""
        return None if self.certainty is None else self.certainty.machines

    @property
    def partition(self) -> Partition:
        """How the socket is divided: one instance on all cores, where it is not.

        Raises:
            PerfmodelError: only the published method knows the CPU.
        """
        if self.instances is not None and self.cores_per_instance is not None:
            return Partition(self.instances, self.cores_per_instance)
        if self.machine is None:
            raise PerfmodelError(f"{self.cpu}: the published method does not divide sockets")
        return Partition(1, int(self.machine.cores.count.typical))

    @property
    def pace_ms(self) -> float:
        """Milliseconds of the socket per batch: latency over the number of instances."""
        return self.latency_ms / (self.instances or 1)

    @property
    def kernel_table(self) -> KernelTable:
        """What the roofline method made this of: one run of one instance.

        Raises:
            PerfmodelError: a result of the published method, which has chains and no kernels.
        """
        if not isinstance(self.parts, KernelTable):
            raise PerfmodelError(
                f"{self.model} on {self.cpu}: the {self.method} method has no kernels"
            )
        return self.parts

    @property
    def kernels(self) -> tuple[KernelEstimate, ...]:
        """The per-kernel table, in the order in which the kernels run; see `kernel_table`."""
        return self.kernel_table.kernels

    def levels(self, index: int) -> dict[str, str]:
        """Return, for one kernel, the level of each role's tensors; state is with "weight"."""
        return self.kernel_table.levels(index)

    def moved_bytes(self) -> dict[str, float]:
        """Return the bytes that one run of one instance moves, by level."""
        return self.kernel_table.moved_bytes()

    def flops_by_engine(self) -> dict[tuple[str, str], float]:
        """Return the FLOPs (a MAC is 2) of one run of one instance, by engine and family."""
        return self.kernel_table.flops_by_engine()

    def flops_by_format(self) -> dict[tuple[str, str], float]:
        """Return the FLOPs (a MAC is 2) of one run of one instance, by engine and format."""
        return self.kernel_table.flops_by_format()

    def vector_operations(self) -> float:
        """Return the operations of one run of one instance that are not multiply-accumulates."""
        return self.kernel_table.vector_operations()

    def roofline(self) -> Any:
        """Return an Altair chart of the kernels below the CPU's ceilings; a notebook draws it.

        Raises:
            PerfmodelError: a result without kernels that multiply.
            NotInstalled: without ``perfmodel[report]``.
        """
        from perfmodel import charts
        from perfmodel.mapping.drawn import roofline_rows

        return charts.roofline(*roofline_rows(self))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame of one row; see :meth:`Results.to_pandas`."""
        return Results([self]).to_pandas()

    def __repr__(self) -> str:
        return f"Result({', '.join(f'{name}: {text}' for name, text in self._summary().items())})"

    def _repr_html_(self) -> str:
        return html_table(("", ""), list(self._summary().items()))

    def _summary(self) -> dict[str, str]:
        """A few of the columns, as people read them."""
        how = [self.precision.upper(), f"batch {self.batch}", self.phase, self.state, self.software]
        rate = f"{significant(self.throughput_fps)} FPS"
        if self.tokens_per_s is not None:
            rate = f"{significant(self.tokens_per_s)} tokens/s"
        share = percent(self.bottleneck_shares[self.bottleneck])
        latency = f"{significant(self.latency_ms)} ms"
        if self.latency_low_ms is not None and self.latency_high_ms is not None:
            low, high = significant(self.latency_low_ms), significant(self.latency_high_ms)
            latency += f" ({low} to {high})"
        known = {
            "model": self.model,
            "cpu": self.cpu,
            "run": ", ".join(text for text in how if text),
            "latency": latency,
            "throughput": rate,
            "bottleneck": f"{self.bottleneck} {share}",
            "divided": None if self.instances is None else str(self.partition),
            "estimate": self.provenance or self.calibration or f"{self.method} method",
        }
        return {name: text for name, text in known.items() if text is not None}


#: Columns that follow from others, by the one they come after.
_FOLLOWING: Final = {
    "latency_ms": (
        "latency_low_ms",
        "latency_high_ms",
        "interval_coverage",
        "provenance",
        "evidence_points",
        "evidence_machines",
    ),
    "throughput_fps": ("throughput_low_fps", "throughput_high_fps"),
}
#: Names of the columns, in order, and whether JSON leaves each out while it is None.
_COLUMNS: Final[Mapping[str, bool]] = {
    name: known
    for column in fields(Result)
    if not column.metadata.get("hidden")
    for name, known in (
        (column.name, column.metadata.get("if_known", False)),
        *((follows, True) for follows in _FOLLOWING.get(column.name, ())),
    )
}
#: Labels of a bottleneck by either method.
SHARES: Final = ("compute", "L2", "L3", "DRAM", "overhead", "memory")


class Results(list[Result]):
    """Several results: a list that a notebook shows as a table."""

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with one row per result and the columns of `Result.to_record`.

        Raises:
            NotInstalled: without pandas.
        """
        return data_frame([result.to_record() for result in self])

    def __repr__(self) -> str:
        several = len({(r.precision, r.batch) for r in self}) > 1
        runs = [f", {r.precision.upper()}, batch {r.batch}" if several else "" for r in self]
        lines = [
            f"  {r.model} on {r.cpu}{run}: {significant(r.latency_ms)} ms, "
            f"{r.bottleneck} {percent(r.bottleneck_shares[r.bottleneck])} ({r.method})"
            for r, run in zip(self[:_SHOWN], runs, strict=False)
        ]
        more = [f"  and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return "\n".join([f"{len(self)} results", *lines, *more])

    def _repr_html_(self) -> str:
        head = ("model", "CPU", "method", "precision", "batch", "ms", "FPS", "FPS/W", "bottleneck")
        rows = [
            (
                r.model,
                r.cpu,
                r.method,
                r.precision,
                str(r.batch),
                significant(r.latency_ms),
                significant(r.throughput_fps),
                significant(r.fps_per_watt),
                f"{r.bottleneck} {percent(r.bottleneck_shares[r.bottleneck])}",
            )
            for r in self
        ]
        return html_table(head, rows)


#: Results that a repr lists.
_SHOWN: Final = 6


def data_frame(records: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return a data frame of these records, one per row.

    Raises:
        NotInstalled: without pandas.
    """
    try:
        import pandas
    except ImportError:
        raise NotInstalled("pandas", "pandas") from None
    return pandas.DataFrame([dict(record) for record in records])


def _plain(value: Any) -> Any:
    """Tuples as lists and mappings as dicts, as JSON has them."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
