"""A small disk cache of JSON texts, for traces that take seconds and are read in milliseconds.

An entry is two lines of JSON: a header, with the key it was stored under and a digest of the second
line, and the payload. An entry is never trusted: one whose key or digest does not match, or that
does not parse or cannot be read, is treated as absent. Writing is atomic, so concurrent processes
see a whole entry or none. Where the folder cannot be written, the work goes on without a cache,
after one warning.

The folder is platformdirs' user cache folder, or ``PERFMODEL_CACHE_DIR`` where that is set.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from perfmodel._files import write_atomically

Key = Mapping[str, object]

_warned = False


class CacheWarning(UserWarning):
    """The cache folder cannot be used; results are right, only slower."""


def directory() -> Path:
    """The folder that holds the entries (not created by this call)."""
    override = os.environ.get("PERFMODEL_CACHE_DIR")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_cache_path("perfmodel")


def path(key: Key) -> Path:
    """Where the entry of ``key`` is kept: readable kind and name first, then a digest."""
    label = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(key.get("name", "entry")))
    kind = str(key.get("kind", "misc"))
    return directory() / kind / f"{label[:60]}-{_digest(_canonical(key))[:20]}.jsonl"


def load(key: Key) -> dict[str, object] | None:
    """The stored payload of ``key``, or None if there is none that can be trusted."""
    try:
        header_line, payload_line = path(key).read_text(encoding="utf-8").split("\n", 1)
        header = json.loads(header_line)
        if header != _header(key, payload_line):
            return None
        payload = json.loads(payload_line)
    except (OSError, ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def store(key: Key, payload: Mapping[str, object], *, quiet: bool = False) -> None:
    """Keep ``payload`` (a JSON object) under ``key``; never raises for a disk it cannot write.

    ``quiet`` is for what costs so little to make again that nobody needs to hear of the disk.
    """
    payload_line = json.dumps(payload, separators=(",", ":")) + "\n"
    target = path(key)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(_header(key, payload_line)) + "\n" + payload_line)
    except OSError as error:
        if not quiet:
            _warn_once(error)


def _canonical(key: Key) -> str:
    return json.dumps(key, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _header(key: Key, payload_line: str) -> dict[str, str]:
    return {"key": _canonical(key), "sha256": _digest(payload_line)}


def _warn_once(error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"cannot write the cache folder {directory()} ({error.strerror or error}); going on "
            "without it. Set PERFMODEL_CACHE_DIR to a folder that can be written",
            CacheWarning,
            stacklevel=3,
        )
