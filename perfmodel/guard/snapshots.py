"""Recorded runs as a folder of small files, one for each model, sorted so that a diff reads well.

========================== ==========================================================
``MODEL.json``             what the model asks for, and its estimates
``figures/SOURCE.json``    the figures of a CPU, a software or a policy that were read
``FOLDER/NAME.json``       a document that a test recorded beside them
========================== ==========================================================

The files are written through an extension of syrupy, whole or not at all.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from syrupy.extensions.json import JSONSnapshotExtension

from perfmodel._files import write_atomically
from perfmodel.errors import PerfmodelError
from perfmodel.guard.documents import Document, Figures
from perfmodel.guard.plain import differences

if TYPE_CHECKING:
    from syrupy.data import SnapshotCollection
    from syrupy.types import SerializableData, SerializedData

FIGURES: Final = "figures"
#: A table of plain values up to so long is one line.
_LINE: Final = 100
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_.+-]+")


class SnapshotError(PerfmodelError):
    """A snapshot that cannot be read or written; the message names the file and what to do."""


class RecordExtension(JSONSnapshotExtension):
    """How syrupy stores plain documents: sorted keys, and floats equal within a tolerance."""

    def matches(self, *, serialized_data: SerializedData, snapshot_data: SerializedData) -> bool:
        """Return whether the new text is as the stored one; what is no JSON never is."""
        try:
            stored = json.loads(snapshot_data)
        except ValueError:
            return False
        return not any(differences(stored, json.loads(serialized_data)))

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Write the one snapshot of a file, whole or not at all; raises :class:`OSError`."""
        for snapshot in snapshot_collection:
            write_atomically(Path(snapshot_collection.location), str(snapshot.data))


class GuardExtension(RecordExtension):
    """How syrupy stores what is recorded of a model: small tables are on one line."""

    def serialize(self, data: SerializableData, **filters: Any) -> SerializedData:
        """Return the document as JSON text; raises ValueError for a NaN, which JSON lacks."""
        return dumps(data)


def dumps(document: object) -> str:
    """Return ``document`` as JSON with sorted keys, small tables of plain values on one line.

    Raises :class:`ValueError` for NaN and infinities.
    """
    return _dumped(document, 0) + "\n"


def _dumped(value: object, depth: int) -> str:
    line = json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
    plain = not isinstance(value, dict) or not any(
        isinstance(item, dict) and any(isinstance(i, dict) for i in item.values())
        for item in value.values()
    )
    if not isinstance(value, dict) or not value or (depth > 1 and plain and len(line) <= _LINE):
        return line
    inner = "  " * (depth + 1)
    items = (
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_dumped(value[key], depth + 1)}"
        for key in sorted(value)
    )
    return "{\n" + ",\n".join(items) + "\n" + "  " * depth + "}"


def file_name(name: str) -> str:
    """Return the file's name for a model or source, without what a file system may not have.

    Two names never share a file by differing only in such characters: those get a digest.
    """
    clean = _FORBIDDEN.sub("_", name).lstrip(".") or "model"
    if clean == name:
        return clean
    from perfmodel.guard.documents import digest

    return f"{clean}-{digest(name)[:6]}"


def check_record_name(name: str) -> None:
    """Raise :class:`SnapshotError` for a name that is not FOLDER/NAME, or could be a model's."""
    parts = name.split("/")
    fine = len(parts) > 1 and all(part and file_name(part) == part for part in parts)
    if not fine or parts[0] == FIGURES:
        raise SnapshotError(
            "a record's name is FOLDER/NAME, of letters, digits and _.+-; the folder is any but "
            f"{FIGURES}"
        )


@dataclass
class Folder:
    """The snapshots in one folder, read when they are asked for."""

    path: Path
    _models: dict[str, Document | None] = field(default_factory=dict)
    _figures: dict[str, Figures | None] = field(default_factory=dict)
    _records: dict[str, Document | None] = field(default_factory=dict)

    def model_file(self, name: str) -> Path:
        """Return where the model's document is, or would be."""
        return self.path / f"{file_name(name)}.json"

    def figures_file(self, source: str) -> Path:
        """Return where the figures of ``source`` are, or would be."""
        return self.path / FIGURES / f"{file_name(source)}.json"

    def record_file(self, name: str) -> Path:
        """Return where the record called ``name`` is, or would be."""
        return self.path / f"{name}.json"

    def models(self) -> list[str]:
        """Return the names of all models that are stored and readable."""
        found = []
        for path in sorted(self.path.glob("*.json")):
            try:
                # A model's name is in its file; the file's name may differ.
                document = _read(path, _MODEL)
            except SnapshotError:
                continue
            if document is not None and self.model_file(document["model"]) == path:
                found.append(str(document["model"]))
        return found

    def model(self, name: str) -> Document | None:
        """Return the model's document; None where none is stored.

        Raises :class:`SnapshotError` for one that cannot be read, or is none.
        """
        if name not in self._models:
            found = _read(self.model_file(name), _MODEL)
            # Where a file system ignores case, "net" and "Net" are one file.
            if found is not None and found["model"] != name:
                raise SnapshotError(
                    f"{self.model_file(name)}: holds {found['model']!r}, and not {name!r}: give "
                    "one of them another name="
                )
            self._models[name] = found
        return self._models[name]

    def figures(self, source: str) -> Figures | None:
        """Return the figures of ``source``; None where none, or none readable, are stored.

        They explain, they are not compared: a file that is spoilt costs the explanation only.
        """
        if source not in self._figures:
            try:
                self._figures[source] = _read(self.figures_file(source), {})
            except SnapshotError:
                self._figures[source] = None
        return self._figures[source]

    def record(self, name: str) -> Document | None:
        """Return the record called ``name``; None where none is stored.

        Raises :class:`SnapshotError` for one that cannot be read.
        """
        if name not in self._records:
            self._records[name] = _read(self.record_file(name), {})
        return self._records[name]

    def run(self, models: Iterable[str], sources: Iterable[str]) -> Document:
        """Return what is stored of these models and sources, as a run."""
        return {
            "models": {n: d for n in models if (d := self.model(n)) is not None},
            "figures": {s: f for s in sources if (f := self.figures(s)) is not None},
        }

    def store_model(self, name: str, document: Mapping[str, Any]) -> None:
        """Write the model's document; raises :class:`SnapshotError` where that is impossible."""
        self._store(self.model_file(name), document)
        self._models[name] = dict(document)

    def store_figures(self, source: str, figures: Figures) -> None:
        """Write the figures of ``source``; raises as :meth:`store_model`."""
        self._store(self.figures_file(source), figures)
        self._figures[source] = dict(figures)

    def store_record(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a record; raises as :meth:`store_model`."""
        self._store(self.record_file(name), document, RecordExtension)
        self._records[name] = dict(document)

    def remove(self, path: Path) -> list[str]:
        """Remove a file of this folder; returns why that is impossible, where it is."""
        self._models, self._figures = {}, {}
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            return [f"{path}: cannot be removed: {error.strerror or error}"]
        return []

    def _store(
        self,
        path: Path,
        document: Mapping[str, Any],
        extension: type[RecordExtension] = GuardExtension,
    ) -> None:
        from syrupy.data import Snapshot, SnapshotCollection

        try:
            data = extension().serialize(dict(document))
        except ValueError:
            raise SnapshotError(
                f"{path}: a latency is not a number, which is never recorded"
            ) from None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            collection = SnapshotCollection(location=str(path))
            collection.add(Snapshot(name=path.stem, data=data))
            extension.write_snapshot_collection(snapshot_collection=collection)
        except OSError as error:
            raise SnapshotError(
                f"{path}: cannot be written: {error.strerror or error}; nothing of it is lost, the "
                "stored snapshot is as it was"
            ) from None


#: What a model's document must have, with the type of each.
_MODEL: Final = {"model": str, "asks": dict, "estimates": dict, "figures": dict}
_ENTRY: Final = {
    "cpu": str, "precision": str, "software": str, "asks": str, "bottleneck": str, "parts": dict,
    "latency_ms": float,
}  # fmt: skip
_ASKS: Final = {
    "workload": str, "tracer": str, "families": dict, "operators": dict, "modules": dict,
    "inputs": dict,
}  # fmt: skip


def checked_model(document: object, shown: str) -> Document:
    """Return ``document`` if it is a model's; raises :class:`SnapshotError` that says what is not.

    ``shown`` begins the message.
    """
    found = _has(document, _MODEL, shown)
    for key, entry in found["estimates"].items():
        _has(entry, _ENTRY, f"{shown}: estimates.{key}")
        if not math.isfinite(entry["latency_ms"]):
            raise SnapshotError(f"{shown}: estimates.{key}: latency_ms is not a number")
        for family, engines in entry["parts"].items():
            if not isinstance(engines, dict) or not engines:
                raise SnapshotError(f"{shown}: estimates.{key}: parts.{family} is no table")
    for key, asked in found["asks"].items():
        _has(asked, _ASKS, f"{shown}: asks.{key}")
    return found


def _has(document: object, fields: Mapping[str, type], shown: str) -> Document:
    if not isinstance(document, dict):
        raise SnapshotError(f"{shown}: expected a JSON object")
    for name, kind in fields.items():
        if not isinstance(document.get(name), kind):
            raise SnapshotError(f"{shown}: {name} is missing, or not {_KINDS[kind]}")
    return document


_KINDS: Final = {str: "a text", dict: "a table", float: "a number with a decimal point"}


def _read(path: Path, fields: Mapping[str, type]) -> Document | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: is not JSON ({error})") from None
    if fields is _MODEL:
        return checked_model(document, str(path))
    return _has(document, fields, str(path))
