"""An estimate made once more by stored figures: what they do not explain, the formula does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.errors import PerfmodelError
from perfmodel.figures.figure import Figure
from perfmodel.figures.tree import put
from perfmodel.guard import documents
from perfmodel.machine import Machine
from perfmodel.scenario import Scenario, scenario_of
from perfmodel.software import Software


def put_back(
    machine: Machine, scenario: Scenario, old_machine: documents.Figures,
    old_software: documents.Figures,
) -> tuple[Machine, Scenario]:  # fmt: skip
    """Return the machine and the scenario with the values that they had.

    Raises:
        PerfmodelError: that is impossible, since figures came or went, or rules changed.
    """
    software = _software_with(scenario.loaded, old_software)
    return _machine_with(machine, old_machine), scenario_of(scenario, {"software": software})


def _machine_with(machine: Machine, figures: Mapping[str, Any]) -> Machine:
    """The machine with other figures; raises :class:`PerfmodelError` where that is impossible."""
    now = documents.machine_figures(machine)
    if now.keys() != figures.keys():
        raise PerfmodelError("figures came or went")
    changed = {path: value for path, value in figures.items() if value != now[path]}
    if not changed:
        return machine
    if any(isinstance(value, str) for value in changed.values()):
        raise PerfmodelError("rules changed")
    return machine.with_values({path: _number(value) for path, value in changed.items()})


def _software_with(software: Software, figures: Mapping[str, Any]) -> Software:
    now = documents.software_figures(software)
    changed = {path: value for path, value in figures.items() if value != now.get(path)}
    if now.keys() != figures.keys() or any(isinstance(v, str) for v in changed.values()):
        raise PerfmodelError("rules changed, or figures came or went")
    tree: dict[str, Any] = {}
    for path, value in changed.items():
        number, unit = value if isinstance(value, list) else (value, "")
        put(tree, path, Figure(number, number, number, unit))
    return software.overlaid(tree, software.id)


def _number(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)
