"""What a description of software holds: how it turns a model's operators into kernels, and what
each costs beside the kernel itself.

A :class:`Software` knows no CPU and no model. Its figures are :class:`~perfmodel.figures.figure.
Figure` objects as a machine's are; dotted paths ("launch.conv", "efficiency.bf16.attention") name
them as the TOML file does. In a run they are called ``software.ID.PATH``, and a machine's file may
state any of them for itself under that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from perfmodel.figures.figure import (
    Bandwidth,
    Count,
    Duration,
    Factor,
    Figure,
    Fraction,
    Origin,
    Size,
    nearest,
)
from perfmodel.figures.files import merged
from perfmodel.figures.record import Record, fault_at, tree_of, validated, walk
from perfmodel.vocabulary import families
from perfmodel.vocabulary.fusion_rules import RULES

#: What the paths of a software's figures begin with, to tell them from a machine's.
PREFIX: Final = "software"

#: Key of a table of efficiencies for all formats and engines that have none of their own.
ANY: Final = "any"


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


class Software(Record):
    """What stands between a model and a CPU: a runtime with its compiler and kernel library.

    Attributes:
        id: how a user names it.
        name: the product's name.
        description: one line for lists.
        fusion: which operators become one kernel, by names out of
            :data:`~perfmodel.vocabulary.fusion_rules.RULES`.
        threads: how many threads take part in a kernel and meet behind it. "best": as many as make
            it fastest, which is a bound; "all": every thread works and meets; "joined": the best
            number works, all meet.
        launch: time on the critical path to launch one kernel, by operator family; ``default`` for
            those not listed.
        efficiency: share of the rate that an engine of the core can reach, by family, in tables for
            an engine's name, a number format, or "any"; the first of these three that lists a
            family counts, and 1 where none does.
        packing: how often the second operand of a product of several rows passes through memory for
            being copied into the kernel's layout on every call; absent where that is done once.
        relayout: operations on each element that a convolution of the kernel library reads or
            writes, to bring it into that library's layout and back; absent where that is done once.
        conversion: operations on each element of a kernel without products, to bring it from a
            16-bit format to FP32 and back; absent where they are lost in the rest.
        native_convolution: absent where all convolutions go to the kernel library.
        fresh_output: absent where memory is planned and reused.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    name: str = Field(min_length=1)
    description: str = Field(min_length=1)
    notes: str = ""
    fusion: tuple[str, ...] = ()
    threads: Literal["best", "all", "joined"]
    launch: Mapping[str, Duration] = Field(min_length=1)
    efficiency: Mapping[str, Mapping[str, Fraction]] = Field(default_factory=dict)
    packing: Factor | None = None
    relayout: Factor | None = None
    conversion: Factor | None = None
    native_convolution: NativeConvolution | None = None
    fresh_output: FreshOutput | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _known(("launch",), self.launch, ("default", *families.FAMILIES))
        if "default" not in self.launch:
            raise fault_at(("launch", "default"), "missing", "one for all other families")
        for rule in self.fusion:
            if rule not in RULES:
                raise fault_at(
                    ("fusion",),
                    f"unknown rule {rule!r}{nearest(rule, RULES)}",
                    f"rules out of {', '.join(RULES)}",
                )
        for key, shares in self.efficiency.items():
            _known(("efficiency", key), shares, families.FAMILIES)
        return self

    def __hash__(self) -> int:
        """By id: equal descriptions have equal ids, and the mappings inside have no hash."""
        return hash(self.id)

    def figures(self) -> Mapping[str, Figure]:
        """Return every figure by its path in a run, ``software.ID.PATH``."""
        return dict(walk(self, f"{PREFIX}.{self.id}"))

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


def _known(path: tuple[str, ...], table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for family in table:
        if family not in known:
            raise fault_at(
                (*path, family),
                f"unknown operator family{nearest(family, known)}",
                f"one of {', '.join(known)}",
            )
