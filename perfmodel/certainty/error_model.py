"""How wrong the formula is, by software and by what is asked: error_model.toml, which is fitted.

The error of a prediction is the natural logarithm of measured over predicted time, the sum of a
bias and of independent random effects: of the core's microarchitecture, of the machine, of the
model, and a residual. :mod:`perfmodel.evidence.error_model` fits them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from perfmodel.figures.figure import Factor
from perfmodel.figures.files import read_shipped
from perfmodel.figures.held import Held, Natural
from perfmodel.figures.record import Record
from perfmodel.vocabulary.kinds import Kind

#: Machines from which on the errors of one software stand for themselves.
ENOUGH: Final = 4
#: Share of results that an interval holds, and the normal distribution's quantile of its upper end.
COVERAGE: Final = 0.8
NORMAL: Final = 1.2815515655446004

_Deviation = Annotated[float, Held(ge=0, allow_inf_nan=False)]


class Errors(Record):
    """Standard deviations of the logarithm of measured over predicted time, by what causes them.

    Attributes:
        points, models: how many there are behind it.
        machines: their ids.
        cores, vendors: microarchitectures and vendors of those machines.
        precisions: names of those that the points are in.
        bias: mean of the logarithm, with its standard error.
        software: between software; of one software there is none.
        core, machine, model, residual: between microarchitectures, machines of one
            microarchitecture, models, and what is left.
        quantile: of Student's t distribution at the upper end of the interval.
    """

    points: Natural
    models: Natural
    machines: Annotated[tuple[str, ...], Held(min_length=1)]
    cores: Annotated[tuple[str, ...], Held(min_length=1)]
    vendors: Annotated[tuple[str, ...], Held(min_length=1)]
    precisions: Annotated[tuple[str, ...], Held(min_length=1)]
    bias: float
    bias_error: _Deviation
    software: _Deviation = 0.0
    core: _Deviation
    machine: _Deviation
    model: _Deviation
    residual: Annotated[float, Held(gt=0, allow_inf_nan=False)]
    quantile: Annotated[float, Held(gt=NORMAL, allow_inf_nan=False)]

    @property
    def is_enough(self) -> bool:
        """Whether there are machines enough for an interval of its own."""
        return len(self.machines) >= ENOUGH

    @property
    def significant_bias(self) -> float:
        """The bias where it is one: machines enough, and farther from 0 than chance takes it."""
        limit = self.quantile * self.bias_error
        return self.bias if self.is_enough and abs(self.bias) > limit else 0.0

    @property
    def variance(self) -> float:
        """Of a prediction for a new machine and model; a bias that is not corrected is in it."""
        parts = self.software, self.core, self.machine, self.model, self.residual
        offset = self.bias_error if self.is_enough else max(self.bias_error, abs(self.bias))
        return math.fsum(part**2 for part in (*parts, offset))

    @property
    def width(self) -> float:
        """Half the width of the interval on the logarithm."""
        return self.quantile * math.sqrt(self.variance)

    @property
    def width_elsewhere(self) -> float:
        """The same on a core that was not measured: one more draw, around the mean of few."""
        more = self.core**2 / len(self.cores) if self.cores else 0.0
        return self.quantile * math.sqrt(self.variance + more)


class _Model(Record):
    scale: Annotated[float, Held(gt=0, allow_inf_nan=False)]
    pool: Mapping[Kind, Errors]
    software: Mapping[str, Mapping[Kind, Errors]]


class _Assumed(Record):
    """Figures of assumed.toml: factors either way."""

    bounds: tuple[str, ...]
    unmeasured_software: Mapping[Literal["fp32", "narrow"], Factor]
    least: Factor


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """What is known of errors.

    Attributes:
        scale: factor on every fitted half width, with which intervals of machines that were left
            out hold as many points as they say: errors are no normal distributions.
        pool: by kind, of all software together.
        software: by id of the software and kind.
        unmeasured: half widths on the logarithm for software without evidence: in FP32, narrower.
        least: half width that no interval is narrower than.
        bounds: software that does not exist: its times are bounds, not predictions.
    """

    scale: float
    pool: Mapping[Kind, Errors]
    software: Mapping[str, Mapping[Kind, Errors]]
    unmeasured: Mapping[str, float]
    least: float
    bounds: tuple[str, ...]

    def of(self, software: str, kind: Kind) -> Errors | None:
        """Return what was measured of a software in this kind; None where nothing was."""
        return self.software.get(software, {}).get(kind)

    def worst(self, kind: Kind, precision: str) -> float:
        """Return the half width for software nobody measured: at least that of the worst known."""
        known = [found[kind].width_elsewhere for found in self.software.values() if kind in found]
        assumed = self.unmeasured["fp32" if precision == "fp32" else "narrow"]
        return max([assumed, *(self.scale * width for width in (self.pool[kind].width, *known))])


@functools.cache
def error_model() -> ErrorModel:
    """Return the error model that comes with perfmodel."""
    fitted = read_shipped(_Model, __file__, "error_model.toml")
    return with_assumptions(fitted.scale, fitted.pool, fitted.software)


def with_assumptions(
    scale: float, pool: Mapping[Kind, Errors], software: Mapping[str, Mapping[Kind, Errors]]
) -> ErrorModel:
    """Return an error model of fitted errors and what is assumed where there are none."""
    assumed = read_shipped(_Assumed, __file__, "assumed.toml")
    return ErrorModel(
        scale=scale,
        pool=pool,
        software=software,
        unmeasured={
            name: math.log(figure.typical) for name, figure in assumed.unmeasured_software.items()
        },
        least=math.log(assumed.least.typical),
        bounds=assumed.bounds,
    )
