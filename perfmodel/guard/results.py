"""``perfmodel-results.json``: all estimates of a session in one file, for other programs to read.

``results`` has one flat record an estimate; ``models`` and ``figures`` hold what explains a
difference. ``results.schema.json`` in this package is its JSON Schema, made of the records below.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perfmodel._files import write_atomically
from perfmodel._version import __version__
from perfmodel.errors import PerfmodelError
from perfmodel.guard.catalogue import catalogue_digest
from perfmodel.guard.documents import SCRATCH, Document
from perfmodel.guard.snapshots import SnapshotError, checked_model

FORMAT: Final = "perfmodel.results"
VERSION: Final = 1
SCHEMA: Final = Path(__file__).with_name("results.schema.json")


class ResultsError(PerfmodelError):
    """Saved results that cannot be read; the message names the file and what was expected."""


_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: Text, numbers, and a number with its unit.
_Value = float | str | tuple[float, str]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Record):
    """Milliseconds of one run; where the estimate has an interval, with its coverage."""

    value: _Positive
    low: _Positive | None = None
    high: _Positive | None = None
    coverage: Annotated[float, Field(gt=0, lt=1)] | None = None


class Old(_Record):
    """The stored snapshot of the same estimate."""

    latency_ms: _Positive
    bottleneck: str


class Result(_Record):
    """One estimate.

    ``key`` tells it from others of its model; ``parts`` are milliseconds by operator family and
    engine; ``asks`` is a key of its model's ``asks``.
    """

    model: str
    key: str
    cpu: str
    precision: str
    software: str
    state: str
    batch: Annotated[int, Field(ge=1)]
    asks: str
    latency_ms: Latency
    bottleneck: str
    parts: dict[str, dict[str, float]]
    test: str | None = None
    old: Old | None = None


class Asks(_Record):
    """What a model asks for, at one batch and phase."""

    workload: str
    module: str | None
    tracer: str
    parameters: Annotated[int, Field(ge=0)]
    inputs: dict[str, str]
    families: dict[str, dict[str, int]]
    operators: dict[str, int]
    modules: dict[str, dict[str, Any]]


class Model(_Record):
    """What explains a model's estimates; ``figures`` are digests by source."""

    asks: dict[str, Asks]
    figures: dict[str, str]


class Provenance(_Record):
    """What made the estimates."""

    perfmodel: str
    catalogue: str


class Results(_Record):
    """The whole document.

    ``failures`` say by test or model why there is no estimate; ``failed`` are all tests of the
    session that failed, for whatever reason.
    """

    format: Literal["perfmodel.results"]
    version: Literal[1]
    provenance: Provenance
    results: list[Result]
    models: dict[str, Model]
    figures: dict[str, dict[str, _Value]]
    failures: dict[str, str] = Field(default_factory=dict)
    failed: list[str] = Field(default_factory=list)


def schema() -> Document:
    """Return the JSON Schema (draft 2020-12) of the document."""
    found = Results.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def document(
    run: Mapping[str, Any],
    *,
    old: Mapping[str, Any] | None = None,
    failures: Mapping[str, str] | None = None,
    tests: Mapping[str, Mapping[str, str]] | None = None,
    failed: Iterable[str] = (),
) -> Document:
    """Return the results document of a run (:mod:`perfmodel.guard`), its records sorted.

    Args:
        run: what was estimated.
        old: the stored run it was compared with.
        failures: by test or model, why it could not be estimated.
        tests: by model and key, the test that asked for the estimate.
        failed: tests of the session that failed.
    """
    records = []
    for name in sorted(run["models"]):
        stored = (old or {"models": {}})["models"].get(name, {}).get("estimates", {})
        for key in sorted(run["models"][name]["estimates"]):
            entry = dict(run["models"][name]["estimates"][key])
            low, high, coverage = entry.get("interval") or (None, None, None)
            for scratch in SCRATCH:
                entry.pop(scratch, None)
            was = stored.get(key)
            records.append(
                {
                    **entry,
                    "model": name,
                    "key": key,
                    "latency_ms": {
                        "value": entry["latency_ms"], "low": low, "high": high,
                        "coverage": coverage,
                    },
                    "test": (tests or {}).get(name, {}).get(key),
                    "old": was and {k: was[k] for k in ("latency_ms", "bottleneck")},
                }
            )  # fmt: skip
    return {
        "format": FORMAT,
        "version": VERSION,
        "provenance": {"perfmodel": __version__, "catalogue": catalogue_digest()},
        "results": records,
        "models": {
            name: {"asks": found["asks"], "figures": found["figures"]}
            for name, found in sorted(run["models"].items())
        },
        "figures": dict(sorted(run["figures"].items())),
        "failures": dict(sorted((failures or {}).items())),
        "failed": sorted(failed),
    }


def save(path: Path, run: Mapping[str, Any], **how: Any) -> None:
    """Write the document of :func:`document` to ``path``, whole or not at all.

    Raises :class:`ResultsError` where that is impossible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document(run, **how), indent=1, allow_nan=False, ensure_ascii=False)
        write_atomically(path, text + "\n")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error.strerror or error}") from None


def load(path: Path) -> Document:
    """Return a saved document, checked against its schema.

    Raises :class:`ResultsError` for anything else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: is not JSON ({error})") from None
    return check(found, str(path))


def check(found: object, shown: str) -> Document:
    """Return ``found`` if it is a results document; ``shown`` begins the error's message."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ResultsError(
            f"{shown}: no results of perfmodel; expected what pytest --perfmodel-results wrote"
        )
    if found.get("version") != VERSION:
        raise ResultsError(
            f"{shown}: version {found.get('version')!r}; this release reads version {VERSION}"
        )
    try:
        Results.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{shown}: {place}: {first['msg']}") from None
    return found


def run_of(found: Mapping[str, Any], shown: str = "results") -> Document:
    """Return the run in a results document; raises :class:`ResultsError` for one inconsistent."""
    models: dict[str, Document] = {
        name: {"model": name, **model, "estimates": {}} for name, model in found["models"].items()
    }
    for result in found["results"]:
        model = models.get(result["model"])
        if model is None or result["asks"] not in model["asks"]:
            raise ResultsError(f"{shown}: {result['model']}: is not among its models")
        entry = {k: v for k, v in result.items() if k not in ("model", "key", "test", "old")}
        model["estimates"][result["key"]] = {**entry, "latency_ms": result["latency_ms"]["value"]}
    try:
        for name, model in models.items():
            checked_model(model, f"{shown}: {name}")
    except SnapshotError as error:
        raise ResultsError(str(error)) from None
    return {"models": models, "figures": dict(found["figures"])}
