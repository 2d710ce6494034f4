"""What a description of software holds: how it turns a model's operators into kernels, and what
each costs beside the kernel itself.

A :class:`Software` knows no CPU and no model. Its figures are :class:`~perfmodel.figures.figure.
Figure` objects as a machine's are; dotted paths ("launch.conv", "efficiency.bf16.attention") name
them as the TOML file does. In a run they are called ``software.ID.PATH``, and a machine's file may
state any of them for itself under that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from perfmodel.figures.checking import validated
from perfmodel.figures.faults import fault_at
from perfmodel.figures.figure import (
    Bandwidth,
    BytesPerCycle,
    Count,
    Duration,
    Expect,
    Factor,
    Figure,
    Fraction,
    OpsPerCycle,
    Origin,
    Size,
    nearest,
)
from perfmodel.figures.files import merged
from perfmodel.figures.held import Held, Text
from perfmodel.figures.record import Record, settable, tree_of, walk
from perfmodel.vocabulary import families
from perfmodel.vocabulary.fusion_rules import RULES
from perfmodel.vocabulary.precision import FORMATS, PRECISIONS

#: What the paths of a software's figures begin with, to tell them from a machine's.
PREFIX: Final = "software"

#: Key of a table of efficiencies for all formats and engines that have none of their own.
ANY: Final = "any"

_Flag = Annotated[str, Held(pattern=r"^[a-z][a-z0-9_]*$")]


class FreshOutput(Record):
    """Outputs that the allocator maps anew on every call, so that each page faults when written.

    Attributes:
        threshold: the smallest tensor this happens to.
        bandwidth: at which such an output is first touched, all threads together.
    """

    threshold: Size
    bandwidth: Bandwidth


class NativeConvolution(Record):
    """FP32 convolutions that run as plain matrix products, past the kernel library.

    Attributes:
        launch: launching one.
        batch: a pointwise convolution on one thread is one of them below this many samples.
        elements: any convolution of one sample is, on any number of threads, up to this many
            elements of input.
    """

    launch: Duration
    batch: Count
    elements: Count


class PrecisionRule(Record):
    """What a precision means in this software, where it differs from the general meaning.

    Attributes:
        arithmetic: the format that products of a family are asked for in.
        weight, read, write: stored bits per floating-point element by family, and by role.
        fusion: which operators become one kernel, in place of the software's own rules.
        packed: whether a model in it was prepared ahead of all runs: its weights are packed, and
            its activations are in the kernels' layout.
    """

    fusion: tuple[str, ...] | None = None
    packed: bool = False
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    weight: Mapping[str, float] = field(default_factory=dict)
    read: Mapping[str, float] = field(default_factory=dict)
    write: Mapping[str, float] = field(default_factory=dict)

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        _known(("arithmetic",), self.arithmetic, families.GEMM_FAMILIES)
        for family, fmt in self.arithmetic.items():
            if fmt not in FORMATS:
                raise fault_at(
                    ("arithmetic", family),
                    f"unknown number format {fmt!r}{nearest(fmt, FORMATS)}",
                    f"one of {', '.join(FORMATS)}",
                )
        for role in ("weight", "read", "write"):
            _known((role,), getattr(self, role), families.FAMILIES)
            for family, bits in getattr(self, role).items():
                if not 1 <= bits <= 64:
                    raise fault_at((role, family), f"{bits} bits", "bits in 1 to 64")

    # By identity: the tables inside have no hash, and a description is read once.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Software(Record):
    """What stands between a model and a CPU: a runtime with its compiler and kernel library.

    Attributes:
        id: how a user names it.
        name: the product's name.
        description: one line for lists.
        fusion: which operators become one kernel, by names out of
            :data:`~perfmodel.vocabulary.fusion_rules.RULES`.
        folds: whether operators that read no activation are calculated once, ahead of all runs.
        threads: how many threads take part in a kernel and meet behind it. "best": as many as make
            it fastest, which is a bound; "all": every thread works and meets; "joined": the best
            number works, all meet.
        numa: what one instance runs on: the whole "socket", or one memory "domain" of it.
        requires: instruction sets without which it does not run, as a core's ``isa`` lists them
            ("neon"); none where it runs on every CPU.
        lacks: families of operators that it has no kernels for: it runs no model that holds one.
        precisions: names of those it runs models in; all where empty.
        without: engines of a CPU that it has no kernels for, or has none for in a format
            ("amx", "amx_int8").
        formats: number formats that it has kernels for, by family of products, and ``default`` for
            those not listed; all where absent. Products in others run in the next wider one.
        precision: what a precision means in it, where that differs from the general meaning
            (:mod:`perfmodel.vocabulary.precision`).
        widens: whether activations of 16 bits are stored in 32 on a CPU without arithmetic in
            16 bits.
        launch: time on the critical path to launch one kernel, by operator family; ``default`` for
            those not listed.
        efficiency: share of the rate that an engine of the core can reach, by family, in tables for
            a precision ("w4"), an engine in a format ("amx_int8"), an engine ("amx"), engines of a
            kind ("matrix", "vector"), a format ("bf16") or "any"; the first of these that lists a
            family counts, and 1 where none does.
        unpacking: operations per cycle of one core at which quantised weights of a precision are
            brought into the form that the engine multiplies, beside multiplying them.
        overlap: share of the smaller of arithmetic and memory time that is hidden behind the other.
        beside: further kernels that are launched beside one of a family, by precision: conversions
            between formats, and operators that are not fused in that precision.
        join: time that each woken thread adds to a kernel that several share, for being woken and
            waited for; absent: the machine's ``parallel_region``.
        grain: work, in time of one core, that a thread is woken for; absent: all are woken.
        stragglers: by how much more the slowest thread takes than the mean, for each doubling of
            the threads.
        chunks: threads at which work that is divided ahead of time takes twice as long as an even
            division would, for the slowest thread; the excess is linear in the threads.
        bandwidth: what one instance draws of the memory, over the machine's sustained bandwidth.
        bandwidth_several: the same of several instances together; 1 where absent. Above 1 where
            they read the same lines.
        moving: bytes per cycle and core at which operators that only move data read and write.
        touching: bandwidth of one thread, beside the kernel, on all that a kernel reads and writes;
            absent where operands stay where the kernel wants them.
        packing: how often the second operand of a product of several rows passes through memory for
            being copied into the kernel's layout on every call; absent where that is done once.
        packing_bandwidth: of one thread that copies weights so; absent where the memory limits.
        relayout: operations on each element that a convolution of the kernel library reads or
            writes, to bring it into that library's layout and back; absent where that is done once.
        conversion: operations on each element of a kernel without products, to bring it from a
            16-bit format to FP32 and back; absent where they are lost in the rest.
        native_convolution: absent where all convolutions go to the kernel library.
        fresh_output: absent where memory is planned and reused.
    """

    id: Annotated[str, Held(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    name: Text
    description: Text
    notes: str = ""
    fusion: tuple[str, ...] = ()
    folds: bool = False
    threads: Literal["best", "all", "joined"]
    numa: Literal["socket", "domain"] = "socket"
    requires: tuple[_Flag, ...] = ()
    lacks: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    precision: Mapping[str, PrecisionRule] = field(default_factory=dict)
    widens: bool = False
    launch: Annotated[Mapping[str, Duration], Held(min_length=1)]
    efficiency: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    unpacking: Mapping[str, OpsPerCycle] = field(default_factory=dict)
    overlap: Annotated[float, Held(ge=0, le=1)] = 1.0
    beside: Mapping[str, Mapping[str, Factor]] = field(default_factory=dict)
    join: Duration | None = None
    grain: Duration | None = None
    stragglers: Factor | None = None
    chunks: Factor | None = None
    bandwidth: Factor | None = None
    bandwidth_several: Factor | None = None
    moving: BytesPerCycle | None = None
    touching: Bandwidth | None = None
    packing: Factor | None = None
    packing_bandwidth: Bandwidth | None = None
    relayout: Factor | None = None
    conversion: Factor | None = None
    native_convolution: NativeConvolution | None = None
    fresh_output: FreshOutput | None = None

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        _known(("launch",), self.launch, ("default", *families.FAMILIES))
        if "default" not in self.launch:
            raise fault_at(("launch", "default"), "missing", "one for all other families")
        _fusable(("fusion",), self.fusion)
        for name, own in self.precision.items():
            _fusable(("precision", name, "fusion"), own.fusion or ())
        _known(("lacks",), self.lacks, families.FAMILIES)
        for name in self.precisions:
            if name not in PRECISIONS:
                raise fault_at(
                    ("precisions",),
                    f"unknown precision {name!r}{nearest(name, PRECISIONS)}",
                    f"names out of {', '.join(PRECISIONS)}",
                )
        for key, beside in self.beside.items():
            _known(("beside", key), beside, families.FAMILIES)
        _known(("formats",), self.formats, ("default", *families.GEMM_FAMILIES))
        for family, formats in self.formats.items():
            for fmt in formats:
                if fmt not in FORMATS:
                    raise fault_at(
                        ("formats", family),
                        f"unknown number format {fmt!r}{nearest(fmt, FORMATS)}",
                        f"formats out of {', '.join(FORMATS)}",
                    )
        for key, shares in self.efficiency.items():
            _known(("efficiency", key), shares, families.FAMILIES)

    def __hash__(self) -> int:
        """By id: equal descriptions have equal ids, and the mappings inside have no hash."""
        return hash(self.id)

    def figures(self) -> Mapping[str, Figure]:
        """Return every figure by its path in a run, ``software.ID.PATH``."""
        return dict(self._by_path)

    @cached_property
    def _by_path(self) -> Mapping[str, Figure]:
        # Every mapping reads them, and a description does not change.
        return dict(walk(self, f"{PREFIX}.{self.id}"))

    def settable(self) -> Mapping[str, Expect]:
        """Return what each of :meth:`figures` may be, by the same paths."""
        return dict(self._expected)

    @cached_property
    def _expected(self) -> Mapping[str, Expect]:
        found = dict(settable(self, f"{PREFIX}.{self.id}"))
        return {path: found[path] for path in self._by_path}

    def rules(self, precision: str) -> tuple[str, ...]:
        """Return which operators become one kernel in a precision."""
        own = self.precision.get(precision)
        return self.fusion if own is None or own.fusion is None else own.fusion

    def overlaid(self, tree: Mapping[str, Any], file: str) -> Software:
        """Return this description with the figures of ``tree`` in place of its own.

        Args:
            tree: tables of figures as in a description's TOML file.
            file: whose figures they are, for errors.

        Raises:
            MachineError: a field or a family that does not exist, or a figure of another unit.
        """
        if not tree:
            return self
        return validated(Software, merged(tree_of(self), tree), Origin(file, {}))


def _fusable(path: tuple[str, ...], rules: tuple[str, ...]) -> None:
    for rule in rules:
        if rule not in RULES:
            raise fault_at(
                path,
                f"unknown rule {rule!r}{nearest(rule, RULES)}",
                f"rules out of {', '.join(RULES)}",
            )


def _known(path: tuple[str, ...], table: Iterable[str], known: tuple[str, ...]) -> None:
    for family in table:
        if family not in known:
            raise fault_at(
                (*path, family),
                f"unknown operator family{nearest(family, known)}",
                f"one of {', '.join(known)}",
            )
