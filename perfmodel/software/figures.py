"""What a runtime adds to a kernel: the figures that a machine's file may state of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from perfmodel.figures.figure import (
    Bandwidth,
    Count,
    Duration,
    Factor,
    Fraction,
    Size,
    nearest,
)
from perfmodel.figures.record import Record, fault_at
from perfmodel.vocabulary import families


class FreshOutput(Record):
    """Outputs that the allocator maps anew on every call, so that each page faults when written.

    Attributes:
        threshold: the smallest tensor this happens to.
        bandwidth: at which such an output is first touched, all threads together.
    """

    threshold: Size
    bandwidth: Bandwidth


class NativeConvolution(Record):
    """FP32 convolutions that a runtime runs as plain matrix products, past its kernel library.

    Attributes:
        dispatch: launching one.
        batch: a pointwise convolution on one thread is one of them below this many samples.
        elements: any convolution of one sample is, on any number of threads, up to this many
            elements of input.
    """

    dispatch: Duration
    batch: Count
    elements: Count


class RuntimeFigures(Record):
    """What a runtime adds to a kernel.

    Attributes:
        dispatch: launching one, by operator family; ``default`` for those not listed.
        native_convolution: absent where all convolutions go to the kernel library.
        relayout: operations on each element that a convolution of the kernel library reads or
            writes, to bring it into that library's layout and back; absent where that is done once.
        conversion: operations on each element of a kernel without products, to bring it from a
            16-bit format to FP32 and back; absent where they are lost in the rest.
        half_width: share of an engine's rate that products of a family reach in 16-bit formats, for
            families whose kernels are not made for them.
        unvectorised: share of the vector engine's rate that kernels without products reach, for
            families whose kernels are loops over single elements.
        repacking: how often the weights of a product of several rows go through memory for being
            copied into the layout of the kernel on every call; absent where that is done once.
        fresh_output: absent where memory is planned and reused.
    """

    dispatch: Mapping[str, Duration] = Field(default_factory=dict)
    native_convolution: NativeConvolution | None = None
    relayout: Factor | None = None
    conversion: Factor | None = None
    half_width: Mapping[str, Fraction] = Field(default_factory=dict)
    unvectorised: Mapping[str, Fraction] = Field(default_factory=dict)
    repacking: Factor | None = None
    fresh_output: FreshOutput | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, known in (
            ("dispatch", ("default", *families.FAMILIES)),
            ("half_width", families.GEMM_FAMILIES),
            ("unvectorised", families.VECTOR_FAMILIES),
        ):
            for family in getattr(self, field):
                if family not in known:
                    raise fault_at(
                        (field, family),
                        f"unknown operator family{nearest(family, known)}",
                        f"one of {', '.join(known)}",
                    )
        if self.dispatch and "default" not in self.dispatch:
            raise fault_at(("dispatch", "default"), "missing", "one for all other families")
        return self
