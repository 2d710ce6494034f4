"""Every exception perfmodel raises on purpose.

All derive from :class:`PerfmodelError`; the command line turns one into a single line on stderr and
exit code 2. A message says what is wrong, where, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class PerfmodelError(Exception):
    """Base of all errors a user can cause and mend."""


class NotInstalled(PerfmodelError):
    """An optional package is needed and not there; the message has the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs {package}, which is not installed: pip install 'perfmodel[{extra}]'"
        )


class UnknownName(PerfmodelError, KeyError):
    """A model, CPU, precision or other name that does not exist.

    The message suggests the nearest valid name, or the one that is known to be ``meant``.
    """

    def __init__(
        self, kind: str, name: str, valid: Iterable[str], *, meant: str | None = None
    ) -> None:
        self.kind = kind
        self.name = name
        listed = list(valid)
        self.valid = sorted(listed)
        folded = {each.lower(): each for each in self.valid}
        found = difflib.get_close_matches(name.lower(), folded, n=8, cutoff=0.5)
        # Swapped characters are the likeliest slip, and difflib does not rank them first.
        found.sort(key=lambda candidate: sorted(candidate) != sorted(name.lower()))
        near = [folded[candidate] for candidate in found]
        if meant is not None:
            near = [meant]
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif len(self.valid) <= 12:
            hint = f"choose one of {', '.join(self.valid)}"
        else:
            # What is listed first is what is meant most often; a set has no first.
            first = listed if isinstance(valid, Sequence) else self.valid
            hint = f"{len(self.valid)} are known, for example {', '.join(first[:3])}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")

    def __str__(self) -> str:
        # KeyError's own __str__ shows the repr of its argument.
        return str(self.args[0])


class TraceError(PerfmodelError):
    """The module could not be traced: its forward failed or depends on the data."""


class UnmodelledOperator(PerfmodelError):
    """A traced model holds operators without a formula.

    Attributes:
        operators: for each such operator, the module paths at which it occurs.
    """

    def __init__(self, model: str, operators: dict[str, list[str]]) -> None:
        self.model = model
        self.operators = operators
        places = "; ".join(
            f"{op} at {', '.join(paths[:3])}{' and elsewhere' if len(paths) > 3 else ''}"
            for op, paths in sorted(operators.items())
        )
        super().__init__(
            f"{model}: no formula for {places}. Register one with "
            "@perfmodel.tracing.operators.register(...), or pass allow_unmodelled=True "
            "(--allow-unmodelled) to charge only the bytes they move"
        )


class NoKernels(PerfmodelError):
    """A workload without kernels, such as that of an identity or of views alone."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model}: nothing in it computes or moves data (views and identities take no time), "
            "so there is no latency to estimate"
        )


class WorkloadFormatError(PerfmodelError):
    """A workload file is malformed, truncated, or of a version this release cannot read."""


class MachineError(PerfmodelError):
    """A machine description is wrong; the message names file, field and expectation."""


class NotEnoughMemory(PerfmodelError):
    """Weights, KV caches and activations that the machine's memory does not hold."""


class UnsupportedPrecision(PerfmodelError):
    """A precision that the chosen CPU or workload cannot be evaluated in."""


class UnsupportedSoftware(PerfmodelError):
    """Software that does not run on the chosen CPU, or has no kernels for the model."""


class UncoveredSize(PerfmodelError):
    """A batch or length at which a trace with named dimensions does not hold."""


class MeasurementError(PerfmodelError):
    """Measured points that cannot be used; the message names file, field and expectation."""
