"""Which sources of this package something was made by, so that what is kept is never stale."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfmodel import cache

PACKAGE: Final = Path(__file__).parent


@functools.cache
def digest(*rooms: str) -> str:
    """Return a digest of the modules of these rooms: the same wherever they are installed.

    Reading all of them takes longer than what is asked about, so it is kept as long as they are
    the same files (:func:`made_of`).
    """
    key = {"kind": "sources", "name": "-".join(rooms), "path": str(PACKAGE)}
    files = made_of(*rooms)
    stored = cache.load(key)
    if stored is not None and stored.get("made_of") == files:
        return str(stored.get("digest"))
    found = hashlib.sha256()
    for room in rooms:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            found.update(name.encode() + b"\0" + path.read_bytes())
    cache.store(key, {"made_of": files, "digest": found.hexdigest()}, quiet=True)
    return found.hexdigest()


def made_of(*rooms: str) -> str:
    """Return a digest of which files these rooms have, without reading them.

    By size and time, as Python recognises what it compiled, and by the time of the inode's last
    change, which nothing sets.
    """
    found = hashlib.sha256()
    for room in rooms:
        for line in _files(str(PACKAGE / room)):
            found.update(line.encode())
    return found.hexdigest()


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.endswith((".py", ".toml")):
                stat = entry.stat()
                yield f"{entry.path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n"
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _files(entry.path)
