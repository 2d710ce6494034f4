"""A calibrated machine as a TOML file, usable wherever a catalogue id is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from perfmodel._files import write_atomically
from perfmodel.calibration.fitting import Fit
from perfmodel.calibration.host.runners import RUNNERS
from perfmodel.errors import MeasurementError
from perfmodel.figures import quantity
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Origin
from perfmodel.figures.record import tree_of
from perfmodel.figures.tree import nested, put
from perfmodel.machine import Figure, Machine
from perfmodel.machine.tables import Calibration

_LIBRARIES: Final = ("perfmodel", "numpy", "scipy", "torch")


def versions(libraries: Iterable[str] = ()) -> dict[str, str]:
    """Versions of perfmodel, of what fits, and of other libraries, where they are installed."""
    found = {}
    for name in dict.fromkeys((*_LIBRARIES, *libraries)):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def calibration(
    found: Fit, measurements: str, error: float, day: date | None = None
) -> Calibration:
    """The record of how a fit came about; ``day`` is today unless given."""
    groups = [case.group for case in found.cases]
    return Calibration(
        date=(day or date.today()).isoformat(),
        measurements=measurements,
        rows=len(found.cases),
        error=float(f"{max(error, 1e-6):.4g}"),
        precisions=tuple(dict.fromkeys(group.precision for group in groups)),
        runtimes=tuple(dict.fromkeys(group.software for group in groups)),
        parameters={
            parameter.name: float(f"{value:.4g}")
            for parameter, value in zip(found.parameters, found.value.tolist(), strict=True)
        },
        residuals={
            f"{case.group.machine}: {case.name} ({case.group.precision})": float(f"{ratio:.4g}")
            for case, ratio in zip(found.cases, found.ratio.tolist(), strict=True)
        },
        software=versions(
            library
            for software in dict.fromkeys(group.software for group in groups)
            if software in RUNNERS
            for library in RUNNERS[software].libraries
        ),
    )


def applied(machine: Machine, figures: Mapping[str, Figure], record: Calibration) -> Machine:
    """``machine`` with these figures, by dotted path, and the record of where they are from."""
    tree: dict[str, Any] = tree_of(machine)
    for path, figure in figures.items():
        put(tree, path, figure)
    tree["calibration"] = tree_of(record)
    return validated(Machine, tree, Origin(machine.id, {}))


def render(
    base: str,
    figures: Mapping[str, Figure],
    record: Calibration,
    *,
    name: str,
    identity: str | None = None,
    stated: Mapping[str, object] | None = None,
    comment: str = "",
) -> str:
    """The text of a machine file that rests on ``base`` and states ``figures``.

    Args:
        base: a catalogue id, or the path of a machine file.
        identity: its id, by default its file's name.
        stated: further fields by dotted path, as TOML values or figures.
    """
    from perfmodel._toml import toml_text

    own = dict.fromkeys(figure.source for figure in figures.values())
    keys = {
        source: f"kept_{number}"
        for number, source in enumerate(source for source in own if source != "calibration")
    }
    sources = {"calibration": _source(record), **{key: source for source, key in keys.items()}}
    fields: dict[str, object] = {"base": base, "name": name}
    fields |= {"id": identity} if identity else {}
    fields["sources"] = sources
    fields |= {path: _value(value, {}) for path, value in (stated or {}).items()}
    fields |= {path: _value(figure, keys) for path, figure in figures.items()}
    fields["calibration"] = tree_of(record)
    return toml_text(nested(fields), comment or "A machine fitted to measured points.")


def write(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``: whoever looks, or interrupts, finds the old file or the new.

    Raises:
        MeasurementError: it cannot be written.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be written: {error.strerror}") from None


def _source(record: Calibration) -> str:
    return f"Fitted on {record.date} to {record.rows} measured points of {record.measurements}"


def _value(value: object, keys: Mapping[str, str]) -> object:
    """A figure as a table on one line, its source by key; anything else as it is."""
    from perfmodel._toml import inline

    if not isinstance(value, Figure):
        return value
    bounds = {"value": value.typical}
    if value.is_range:
        bounds = {"low": value.low, "typical": value.typical, "high": value.high}
    fields: dict[str, object] = {
        key: quantity.render(bound, value.unit) if value.unit else float(f"{bound:.6g}")
        for key, bound in bounds.items()
    }
    if value.confidence != "stated":
        fields |= {"confidence": value.confidence, "source": keys.get(value.source, "calibration")}
    return inline(fields)
