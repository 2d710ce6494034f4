"""The interval of one estimate: factors either way that hold the truth in four cases of five."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from perfmodel.certainty.error_model import COVERAGE, NORMAL, ErrorModel, Errors, error_model
from perfmodel.certainty.families import Identity
from perfmodel.vocabulary.kinds import Kind

#: What an estimate rests on: this machine was measured and calibrated; its software, kind and
#: precision, on machines of its family; its software and kind, on few or other machines or in other
#: precisions; no measurement; or it is a bound, which no software reaches and no interval belongs
#: to. docs/model.md says it to users.
Provenance: TypeAlias = Literal["measured", "fitted", "transferred", "datasheet", "bound"]
#: The same, from the most certain on.
PROVENANCES: Final[tuple[str, ...]] = get_args(Provenance)

#: Mean absolute value of a standard normal variable.
_MEAN_ABSOLUTE: Final = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Spread:
    """Of the logarithm of measured over predicted time, as a normal distribution.

    The three parts are independent and add up as squares.

    Attributes:
        shared: what all machines under one software have in common, running one model.
        core: what machines of one microarchitecture have in common.
        own: of this machine and this run alone.
    """

    shared: float = 0.0
    core: float = 0.0
    own: float = 0.0

    @property
    def total(self) -> float:
        """Of one machine."""
        return math.hypot(self.shared, self.core, self.own)

    def scaled(self, total: float) -> Spread:
        """Return one of this total whose parts are to each other as here."""
        factor = total / self.total
        return Spread(self.shared * factor, self.core * factor, self.own * factor)


@dataclass(frozen=True)
class Interval:
    """How far the truth may be from an estimate of a time.

    Attributes:
        low, high: factors on the estimate, the first at most 1, the second at least 1; 1 and
            infinity of a bound.
        coverage: share of cases in which the truth is between them.
        provenance: what the estimate rests on, in one word.
        machines, points: how many are behind it, of that software and kind; 0 of a datasheet's.
        bias: factor on estimates that the interval is centred on; 1 where none is significant.
        spread: of the logarithm, by what is shared with other machines.
        reason: why the provenance is no better; empty where it is "measured" or "fitted".
        vendor_measured: whether some machine of this vendor is among those machines.
        precision_measured: whether some point is in this precision.
    """

    low: float
    high: float
    coverage: float
    provenance: Provenance
    machines: int
    points: int
    bias: float
    spread: Spread
    reason: str = ""
    vendor_measured: bool = False
    precision_measured: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether the estimate is a bound rather than a prediction."""
        return self.provenance == "bound"

    @property
    def is_whole(self) -> bool:
        """Whether it holds the ranges of figures already: a bound, or measured on this machine."""
        return self.is_bound or self.provenance == "measured"

    def reaching(self, less: float, more: float) -> Interval:
        """Return one that reaches at least so far, on the logarithm, from where it is centred."""
        return replace(
            self,
            low=min(self.low, self.bias * math.exp(-less)),
            high=max(self.high, self.bias * math.exp(more)),
        )

    def text(self) -> str:
        """For people: "1.4 times either way", or what else it is."""
        if self.is_bound:
            return "a bound, no prediction"
        if math.isclose(self.low * self.high, 1.0, rel_tol=0.01):
            return f"{self.high:.2g} times either way"
        return f"{1 / self.low:.2g} times less to {self.high:.2g} times more"


def interval(
    software: str,
    kind: Kind,
    machine: Identity,
    precision: str,
    *,
    measured: float | None = None,
    errors: ErrorModel | None = None,
) -> Interval:
    """Return the interval of an estimate.

    Args:
        software: its id.
        precision: by name; what nobody measured is less certain in narrow ones.
        measured: mean absolute relative error of this machine's own calibration, where it has one
            for this software in this precision.
        errors: the error model; the one that comes with perfmodel by default.
    """
    model = errors or error_model()
    known = model.of(software, kind)
    if software in model.bounds:
        return Interval(
            low=1.0,
            high=math.inf,
            coverage=1.0,
            provenance="bound",
            machines=0,
            points=0,
            bias=1.0,
            spread=Spread(),
            reason=f"{software} is a bound that no software reaches",
        )
    provenance, width, reason = _evidence(model, known, software, kind, machine, precision)
    if measured is not None:
        own = max(NORMAL * measured / _MEAN_ABSOLUTE, model.least)
        provenance, width, reason = "measured", min(own, width), ""
    if provenance == "datasheet":
        known = None
    bias = known.significant_bias if known and provenance != "measured" else 0.0
    width = max(width, model.least)
    source = known if known and known.is_enough else model.pool[kind]
    return Interval(
        low=min(1.0, math.exp(bias - width)),
        high=max(1.0, math.exp(bias + width)),
        coverage=COVERAGE,
        provenance=provenance,
        machines=len(known.machines) if known else 0,
        points=known.points if known else 0,
        bias=math.exp(bias),
        spread=_parts(source).scaled(width / NORMAL),
        reason=reason,
        vendor_measured=bool(known and machine.vendor in known.vendors),
        precision_measured=bool(known and precision in known.precisions),
    )


def _evidence(
    model: ErrorModel,
    known: Errors | None,
    software: str,
    kind: Kind,
    machine: Identity,
    precision: str,
) -> tuple[Provenance, float, str]:
    """Provenance, half width of the interval on the logarithm, and why it is no better."""
    pool = model.scale * model.pool[kind].width
    what = f"{_IN_WORDS[kind]} under {software}"
    if known is None:
        return "datasheet", model.worst(kind, precision), f"nobody measured {what}"
    asked = precision.upper()
    if precision not in model.pool[kind].precisions:
        reason = f"nobody measured {_IN_WORDS[kind]} in {asked}"
        return "datasheet", model.worst(kind, precision), reason
    own = model.scale * (known.width if machine.core in known.cores else known.width_elsewhere)
    if not known.is_enough:
        count = len(known.machines)
        number = f"{count} machine" + ("s" if count > 1 else "")
        return "transferred", max(own, pool), f"only {number} measured with {what}"
    if precision not in known.precisions:
        return "transferred", max(own, pool), f"no {asked} point of {what}"
    if machine.vendor not in known.vendors:
        return (
            "transferred",
            max(own, pool),
            f"no {machine.vendor or _UNSTATED} CPU measured with {what}",
        )
    if machine.core not in known.cores:
        return "transferred", own, f"no {machine.core} measured with {what}"
    return "fitted", own, ""


def _parts(errors: Errors) -> Spread:
    """What machines share, by the variance components."""
    offset = errors.bias_error if errors.is_enough else max(errors.bias_error, abs(errors.bias))
    return Spread(
        shared=math.hypot(errors.software, errors.model, offset),
        core=errors.core,
        own=math.hypot(errors.machine, errors.residual),
    )


#: What a machine's vendor is called that its file does not state.
_UNSTATED: Final = "(vendor not stated)"
_IN_WORDS: Final = {
    "single": "single runs",
    "throughput": "throughput",
    "prefill": "prefill",
    "decode": "decode",
}
