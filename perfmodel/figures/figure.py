"""Figures: one physical quantity each, as a range with confidence and source."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from perfmodel.errors import MachineError
from perfmodel.figures import quantity
from perfmodel.figures.faults import Fault

#: What each confidence letter means.
CONFIDENCES: Final = {
    "V": "read in the named source",
    "M": "measured",
    "D": "derived from such figures",
    "R": "recalled or estimated: carries a range",
    "U": "sources conflict: carries a range",
    "stated": "given by a user's file or option",
}
#: Confidences that are not worth a single number.
RANGED: Final = ("R", "U")


@dataclass(frozen=True, slots=True)
class Figure:
    """One physical figure: a range of SI values, how sure it is, and where it is from.

    Attributes:
        low, typical, high: in ``unit``; all three are equal where the figure is not a range.
        unit: the SI unit of the three ("Hz", "B/s", "" for counts and fractions ...).
        confidence: a key of :data:`CONFIDENCES`.
        source: full citation.
    """

    low: float
    typical: float
    high: float
    unit: str
    confidence: str = "stated"
    source: str = "stated by the caller"

    @property
    def is_range(self) -> bool:
        """Whether low and high differ."""
        return self.low < self.high

    def __float__(self) -> float:
        """The typical value."""
        return self.typical

    def __str__(self) -> str:
        """For people: ``2.1 GHz (1.9 GHz to 2.6 GHz)``."""
        if not self.is_range:
            return quantity.render(self.typical, self.unit)
        low, typical, high = (
            quantity.render(value, self.unit) for value in (self.low, self.typical, self.high)
        )
        return f"{typical} ({low} to {high})"


#: Keys an inline figure table may have.
_FIGURE_KEYS: Final = ("value", "low", "typical", "high", "confidence", "source")
_BOUNDS: Final = ("low", "typical", "high")


def nearest(name: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`` (did you mean 'x'?)``, or nothing where no valid name is near."""
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=cutoff)
    return f" (did you mean {near[0]!r}?)" if near else ""


@dataclass(frozen=True)
class Origin:
    """Validation context: the file a description comes from, and its ``[sources]``."""

    file: str
    sources: Mapping[str, str]


def provenance(raw: Mapping[str, Any], origin: Origin | None) -> tuple[str, str]:
    """Confidence and full citation of a table with ``confidence`` and ``source`` keys."""
    confidence, key = raw.get("confidence", "stated"), raw.get("source")
    if confidence not in CONFIDENCES:
        letters = ", ".join(CONFIDENCES)
        raise Fault(f"confidence {confidence!r}", f"a confidence out of {letters}")
    if key is None:
        if confidence != "stated":
            raise Fault(
                f"confidence {confidence!r} without a source", "source = a key of [sources]"
            )
        return confidence, origin.file if origin else "stated by the caller"
    sources = origin.sources if origin else {}
    if not isinstance(key, str) or key not in sources:
        raise Fault(
            f"source {key!r}{nearest(str(key), sources)}", "a key of [sources] in this file"
        )
    return confidence, sources[key]


@dataclass(frozen=True)
class Expect:
    """Pydantic annotation: how one figure field is written, and its permitted values.

    Attributes:
        unit: SI unit the values are converted to.
        example: how a person writes it, quoted in errors.
        kind: "quantity" (positive), "count" (whole, at least 1) or "fraction" (in (0, 1]).
        plausible: least and greatest value in ``unit`` that is not taken for a mistake: wider than
            what is built, so that a what-if fits, and far from what overflows.
    """

    unit: str
    example: str
    kind: Literal["quantity", "count", "fraction"] = "quantity"
    plausible: tuple[float, float] = (0.0, math.inf)

    @property
    def description(self) -> str:
        """The expectation as the end of an error message."""
        if self.kind == "count":
            return f"a whole number of at least 1, such as {self.example}"
        if self.kind == "fraction":
            return f"a fraction in (0, 1], such as {self.example}"
        return f'a positive quantity with a unit of {self.unit}, such as "{self.example}"'

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Validate by :meth:`figure`, with the :class:`Origin` that is the context."""
        from perfmodel.figures.schemas import of_values

        return of_values(self.figure)

    def figure(self, raw: Any, origin: Origin | None) -> Figure:
        """The figure ``raw`` states: a Figure, a number, a text, or a table of them."""
        if isinstance(raw, Figure):
            if raw.unit != self.unit:
                raise Fault(f"a figure in {raw.unit or 'no unit'}", self.description)
            return self._checked(raw, raw.typical)
        if not isinstance(raw, dict):
            value = self._number(raw)
            _, source = provenance({}, origin)
            return self._checked(Figure(value, value, value, self.unit, "stated", source), raw)
        for key in raw:
            if key not in _FIGURE_KEYS:
                raise Fault(
                    f"unknown key {key!r}{nearest(key, _FIGURE_KEYS)}",
                    "a figure: value, or low, typical and high; confidence; source",
                )
        low, typical, high = self._bounds(raw)
        if not low <= typical <= high:
            written = ", ".join(f"{bound} = {raw[bound]!r}" for bound in _BOUNDS)
            raise Fault(written, "low <= typical <= high")
        confidence, source = provenance(raw, origin)
        if confidence in RANGED and "value" in raw:
            raise Fault(
                f"one value with confidence {confidence!r} ({CONFIDENCES[confidence]})",
                "low, typical and high",
            )
        return self._checked(Figure(low, typical, high, self.unit, confidence, source), raw)

    def _bounds(self, raw: dict[str, Any]) -> tuple[float, float, float]:
        given = [bound for bound in _BOUNDS if bound in raw]
        if "value" in raw:
            if given:
                raise Fault(f"both value and {given[0]}", "either value, or low, typical and high")
            value = self._number(raw["value"])
            return value, value, value
        absent = [bound for bound in _BOUNDS if bound not in raw]
        if absent:
            found = f"no {' and no '.join(absent)}" if given else "a table without a value"
            raise Fault(found, f"value, or low, typical and high: {self.description}")
        low, typical, high = (self._number(raw[bound]) for bound in _BOUNDS)
        return low, typical, high

    def _number(self, raw: Any) -> float:
        """One value in SI; a bare number is accepted where the figure has no unit."""
        if isinstance(raw, str):
            try:
                value = quantity.parse(raw, self.unit)
            except quantity.QuantityError as error:
                raise Fault(f"{raw!r} {error}", self.description) from None
        elif isinstance(raw, (int, float)) and not isinstance(raw, bool):
            if self.unit:
                raise Fault(f"{raw!r} has no unit", self.description)
            value = float(raw)
        else:
            raise Fault(f"{raw!r}", self.description)
        self._check(value, raw)
        return value

    def _checked(self, figure: Figure, raw: Any) -> Figure:
        for value in (figure.low, figure.typical, figure.high):
            self._check(value, raw)
        if not figure.low <= figure.typical <= figure.high:
            raise Fault(f"low, typical, high = {figure}", "low <= typical <= high")
        return figure

    def check_all(self, values: npt.NDArray[np.float64], where: str) -> None:
        """Raise :class:`MachineError` that begins with ``where`` if some value, in SI, is wrong."""
        # NaN is the least and the greatest of whatever it is among.
        extremes = np.unique(values) if self.kind == "count" else (values.min(), values.max())
        for value in extremes:
            try:
                self._check(float(value), float(value))
            except Fault as fault:
                raise MachineError(f"{where}: {fault}") from None

    def _check(self, value: float, raw: Any) -> None:
        """Positive and finite; a fraction is at most 1."""
        if not (math.isfinite(value) and value > 0) or (self.kind == "fraction" and value > 1):
            raise Fault(f"{raw!r}", self.description)
        if self.kind == "count" and not (value >= 1 and float(value).is_integer()):
            raise Fault(f"{raw!r}", self.description)
        least, greatest = self.plausible
        if not least <= value <= greatest:
            found, low, high = (
                quantity.render(bound, self.unit) for bound in (value, least, greatest)
            )
            raise Fault(f"{found} is implausible", f"{low} to {high}")


Frequency = Annotated[Figure, Expect("Hz", "2.4 GHz", plausible=(1e7, 2e10))]
Size = Annotated[Figure, Expect("B", "32 MiB", plausible=(1, 2.0**50))]
CacheSize = Annotated[Figure, Expect("B", "32 MiB", plausible=(2.0**10, 2.0**36))]
MemorySize = Annotated[Figure, Expect("B", "512 GiB", plausible=(2.0**24, 2.0**48))]
Width = Annotated[Figure, Expect("B", "8 B", plausible=(1, 2.0**12))]
Bandwidth = Annotated[Figure, Expect("B/s", "460.8 GB/s", plausible=(1e6, 1e15))]
TransferRate = Annotated[Figure, Expect("T/s", "4800 MT/s", plausible=(1e7, 1e12))]
Duration = Annotated[Figure, Expect("s", "1.2 us", plausible=(1e-12, 1e2))]
Power = Annotated[Figure, Expect("W", "360 W", plausible=(1e-3, 1e5))]
Price = Annotated[Figure, Expect("USD", "11805 USD", plausible=(1e-2, 1e8))]
Rent = Annotated[Figure, Expect("USD/s", "1.43 USD/h", plausible=(1e-4 / 3600, 1e5 / 3600))]
Operations = Annotated[Figure, Expect("op", "1e6 op", plausible=(1, 1e18))]
OpsPerCycle = Annotated[Figure, Expect("op/cycle", "128 op/cycle", plausible=(1e-2, 1e6))]
BytesPerCycle = Annotated[Figure, Expect("B/cycle", "64 B/cycle", plausible=(1e-3, 1e5))]
Count = Annotated[Figure, Expect("", "96", "count", plausible=(1, 1e12))]
CoreCount = Annotated[Figure, Expect("", "96", "count", plausible=(1, 4096))]
PartCount = Annotated[Figure, Expect("", "12", "count", plausible=(1, 1024))]
Fraction = Annotated[Figure, Expect("", "0.82", "fraction", plausible=(1e-9, 1))]
Factor = Annotated[Figure, Expect("", "3", plausible=(1e-9, 1e9))]
