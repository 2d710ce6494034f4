"""What is recorded of a model, of an estimate, and of the figures it read: plain, small JSON.

A model's document has what it asks for (``asks``, by batch and phase) and its ``estimates``, by
CPU, precision and whatever else is not the default. Figures are kept once per source: a CPU, a
software ("software.openvino") or a precision policy ("precision.bf16").
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np

from perfmodel._text import common_name
from perfmodel.figures.figure import Figure
from perfmodel.figures.record import Record, fields_of
from perfmodel.machine import Machine
from perfmodel.scenario import Scenario
from perfmodel.software import Software
from perfmodel.vocabulary.families import FAMILIES
from perfmodel.vocabulary.precision import Precision
from perfmodel.workload.workload import ROLES, Workload, describe_phase

#: Any plain JSON object.
Document = dict[str, Any]
#: The figures of one source: a number, a number and its unit, or a text.
Figures = dict[str, Any]

#: Figures of a machine that no latency depends on.
_UNREAD: Final = ("power.", "price.", "memory.capacity", "calibration.", "cache.kind")
#: What an entry holds for this session alone: the interval, and the latency by stored figures.
SCRATCH: Final = ("interval", "with_old_figures_ms")
#: Fields that move no latency, for people or for what runs at all: of a whole description, and of
#: its parts.
_DESCRIBES: Final = (
    "id", "name", "description", "notes", "vendor", "requires", "lacks", "precisions",
)  # fmt: skip
_REMARKS: Final = ("confidence", "source", "setting", "notes")
_DIGITS: Final = re.compile(r"\d+")


class Kernel(Protocol):
    """What is read of a kernel of a result."""

    @property
    def family(self) -> str:
        """Its operator family."""

    @property
    def engine(self) -> str:
        """What executes it."""

    @property
    def latency_ms(self) -> float:
        """Of the kernel."""


class Estimated(Protocol):
    """What is read of a result."""

    @property
    def latency_ms(self) -> float:
        """Of one run."""

    @property
    def latency_low_ms(self) -> float | None:
        """The interval's lower end, where there is an interval."""

    @property
    def latency_high_ms(self) -> float | None:
        """The interval's upper end."""

    @property
    def interval_coverage(self) -> float | None:
        """The interval's probability of holding the latency."""

    @property
    def bottleneck(self) -> str:
        """What most of it is spent on."""

    @property
    def kernels(self) -> Iterable[Kernel]:
        """What it is made of."""


def digest(document: object) -> str:
    """Return a short digest of a plain JSON document, the same in every process."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -- figures ---------------------------------------------------------------------------------------


def machine_figures(machine: Machine) -> Figures:
    """Return every figure and rule of ``machine`` that a latency may depend on, by its path."""
    found = {path: _value(figure) for path, figure in machine.figures().items()} | dict(
        _rules(machine)
    )
    return {path: value for path, value in found.items() if not path.startswith(_UNREAD)}


def software_figures(software: Software) -> Figures:
    """Return every figure and rule of ``software``, by path without ``software.ID``."""
    start = f"software.{software.id}."
    return {path.removeprefix(start): _value(f) for path, f in software.figures().items()} | dict(
        _rules(software)
    )


def policy_figures(policy: Precision) -> Figures:
    """Return the formats and bits of a precision policy, by what it does with each family."""
    found: Figures = {
        f"arithmetic.{family}": policy.arithmetic[code] for code, family in enumerate(FAMILIES)
    }
    for role in ROLES:
        for family, bits in zip(FAMILIES, policy.bits(role).tolist(), strict=True):
            found[f"{role}_bits.{family}"] = bits
    return found


def scenario_figures(scenario: Scenario) -> dict[str, Figures]:
    """Return the figures that an estimate of ``scenario`` may read on any machine, by source."""
    return {
        f"software.{scenario.loaded.id}": software_figures(scenario.loaded),
        f"precision.{scenario.policy.name}": policy_figures(scenario.policy),
    }


def _rules(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Whatever a description states that is no figure, as text: instructions, tiles, fusion."""
    if isinstance(node, Record):
        items: Iterable[tuple[str, Any]] = ((n, getattr(node, n)) for n in fields_of(node))
    elif isinstance(node, Mapping):
        items = node.items()
    else:
        if not (node is None or isinstance(node, Figure)):
            yield path, ", ".join(map(str, node)) if isinstance(node, tuple) else str(node)
        return
    for name, child in items:
        if name not in (_REMARKS if path else _DESCRIBES):
            yield from _rules(child, f"{path}.{name}" if path else str(name))


def _value(figure: Figure) -> Any:
    return [figure.typical, figure.unit] if figure.unit else figure.typical


# -- what a model asks for -------------------------------------------------------------------------


def shape_key(workload: Workload) -> str:
    """Return how ``workload`` is told from the same model at other sizes: "batch 1"."""
    phase = describe_phase(workload.phase, workload.tokens, workload.context)
    return f"batch {workload.batch}" + (f", {phase}" if phase else "")


def asks(workload: Workload, module: str | None = None, tracer: str = "") -> Document:
    """Return what a model asks for: work by operator family, and shapes of its products by module.

    FLOPs count a multiply-accumulate as 2. A shape is [kernels, batch or groups, m, n, k], as
    :class:`~perfmodel.workload.workload.Kernels` has them.

    Args:
        workload: the traced model.
        module: digest of the module that was traced; None where there is none (a saved file).
        tracer: what traced it.
    """
    kernels = workload.kernels
    moved = np.sum([workload.traced_bytes(role) for role in range(len(ROLES))], axis=0)
    families: dict[str, dict[str, int]] = {}
    for index, family in enumerate(workload.family_names()):
        total = families.setdefault(family, {"kernels": 0, "flops": 0, "vector_ops": 0, "bytes": 0})
        total["kernels"] += 1
        total["flops"] += int(kernels.flops[index])
        total["vector_ops"] += int(kernels.vector_ops[index])
        total["bytes"] += int(moved[index])
    traced = workload.to_dict()
    return {
        "workload": digest({k: v for k, v in traced.items() if k not in ("name", "provenance")}),
        "module": module,
        "tracer": tracer or _tracer(workload.provenance),
        "parameters": workload.parameters,
        "inputs": {i.name: f"{'x'.join(map(str, i.shape))} {i.dtype}" for i in workload.inputs},
        "families": families,
        "operators": workload.operator_counts(),
        "modules": _modules(workload),
    }


def _tracer(provenance: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {provenance[name]}" for name in sorted(provenance))


def _modules(workload: Workload) -> dict[str, Document]:
    """Shapes of products, by the modules that ask for them; repeated layers are one, with ``*``."""
    kernels, names = workload.kernels, workload.family_names()
    alike: dict[tuple[Any, ...], list[str]] = {}
    for index, loops in enumerate(kernels.gemm.tolist()):
        if any(loops):
            path = kernels.name[index].partition("/")[0] or "the model"
            key = (names[index], tuple(loops), _DIGITS.sub("*", path))
            alike.setdefault(key, []).append(path)
    found: dict[str, Document] = {}
    for (family, loops, _), paths in alike.items():
        name = common_name(paths)
        if found.get(name, {"family": family})["family"] != family:
            name = f"{name} ({family})"
        entry = found.setdefault(name, {"family": family, "shapes": []})
        entry["shapes"].append([len(paths), *loops])
    for entry in found.values():
        entry["shapes"].sort()
    return found


# -- estimates -------------------------------------------------------------------------------------


def estimate_key(cpu: str, scenario: Scenario, workload: Workload) -> str:
    """Return what tells an estimate from others of its model: "epyc_9654 bf16, batch 8, eager"."""
    said = [f"{cpu} {scenario.policy.name}"]
    if (shape := shape_key(workload)) != "batch 1":
        said.append(shape)
    usual = Scenario()
    if scenario.loaded.id != usual.loaded.id:
        said.append(scenario.loaded.id)
    if scenario.state != usual.state:
        said.append(scenario.state)
    return ", ".join(said)


def entry(cpu: str, result: Estimated, scenario: Scenario, workload: Workload) -> Document:
    """Return what is recorded of one estimate.

    ``parts`` are milliseconds by operator family and by the engine that executes it; ``interval``
    is its low and high end in ms and its coverage, or None.
    """
    parts: dict[str, dict[str, float]] = {}
    for kernel in result.kernels:
        engines = parts.setdefault(kernel.family, {})
        engines[kernel.engine] = engines.get(kernel.engine, 0.0) + float(kernel.latency_ms)
    low, high, coverage = result.latency_low_ms, result.latency_high_ms, result.interval_coverage
    stated = low is not None and high is not None and coverage is not None
    return {
        "cpu": cpu,
        "precision": scenario.policy.name,
        "software": scenario.loaded.id,
        "state": scenario.state,
        "batch": workload.batch,
        "asks": shape_key(workload),
        "latency_ms": float(result.latency_ms),
        "bottleneck": result.bottleneck,
        "parts": parts,
        "interval": [float(v) for v in (low, high, coverage) if v is not None] if stated else None,
    }


def entry_sources(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the names of the three sources whose figures an estimate read."""
    return entry["cpu"], f"software.{entry['software']}", f"precision.{entry['precision']}"
