"""A syrupy extension: one readable JSON file per snapshot, floats equal within a tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from syrupy.data import SnapshotCollections
from syrupy.extensions.json import JSONSnapshotExtension

from benchmarks.support.tolerance import differences, nan_paths

if TYPE_CHECKING:
    from syrupy.data import SnapshotCollection
    from syrupy.location import PyTestLocation
    from syrupy.types import SerializableData, SerializedData, SnapshotIndex

#: The folder of all snapshots, beside pyproject.toml.
SNAPSHOT_DIRECTORY: Final = "snapshots"


class ToleranceJSONExtension(JSONSnapshotExtension):
    """Stores ``snapshot(name="estimates/vit_b_16/epyc_9654")`` under that name in snapshots/.

    A document within the tolerance of the stored one matches it, so ``--snapshot-update`` leaves
    the file alone and small drifts cannot add up unseen.
    """

    def serialize(self, data: SerializableData, **filters: Any) -> SerializedData:
        """The document as JSON text with sorted keys.

        Raises TypeError for anything that is not plain JSON (a NumPy integer, say), where syrupy
        would store its repr or drop it.
        """
        _require_plain(data)
        return super().serialize(data, **filters)

    def matches(self, *, serialized_data: SerializedData, snapshot_data: SerializedData) -> bool:
        """Whether the new text is as the stored one; a stored text that is no JSON never is."""
        try:
            stored = json.loads(snapshot_data)
        except ValueError:
            return False
        return not any(differences(stored, json.loads(serialized_data)))

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """The top-level snapshots/ folder, whichever test asks."""
        return str(test_location.item.config.rootpath / SNAPSHOT_DIRECTORY)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: SnapshotIndex) -> str:
        """The snapshot's own name, which may hold folders."""
        if not isinstance(index, str):
            raise TypeError("give the snapshot a name: snapshot(name='folder/name')")
        return index

    @classmethod
    def matches_test_location(
        cls, *, test_location: PyTestLocation, snapshot_location: str
    ) -> bool:
        """True for all of snapshots/: files are named for what they hold, not for a test."""
        root = Path(cls.dirname(test_location=test_location))
        return Path(snapshot_location).is_relative_to(root)

    def discover_snapshots(self, **_: Any) -> SnapshotCollections:
        """Nothing: syrupy guesses a file's owner from test names, which these files do not carry.

        Files that nothing records any more are found by an explicit check instead
        (:func:`benchmarks.support.plugin.check_orphans`), which knows every expected name and so
        cannot accuse a file falsely when only some tests run.
        """
        return SnapshotCollections()

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Write the file. Raises ValueError for a NaN, which no update may accept."""
        for snapshot in snapshot_collection:
            for path in nan_paths(json.loads(str(snapshot.data))):
                raise ValueError(f"{'.'.join(map(str, path))} is NaN, which is never recorded")
        super().write_snapshot_collection(
            snapshot_collection=snapshot_collection, name_order=name_order
        )


def _require_plain(value: object, place: str = "the document") -> None:
    inner = "" if place == "the document" else f"{place}."
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{place} has the key {key!r}, which is not text")
            _require_plain(item, f"{inner}{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _require_plain(item, f"{inner}{index}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise TypeError(f"{place} is a {type(value).__name__}, which JSON does not have")
