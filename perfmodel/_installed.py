"""Versions of installed libraries, which are part of every trace's key."""

from __future__ import annotations

import functools
import os
import sys


@functools.cache
def version(library: str) -> str:
    """Return the version of an installed library, as :func:`importlib.metadata.version` has it.

    Raises :class:`ModuleNotFoundError` (:class:`importlib.metadata.PackageNotFoundError`).
    """
    # An installer puts it into the name of a folder; that module takes longer to import than a
    # trace takes to be read.
    for folder in sys.path:
        try:
            names = os.listdir(folder or os.curdir)
        except OSError:
            continue
        found = [name for name in names if name.startswith(f"{library}-")]
        if any(name.endswith(".egg-info") for name in found):
            break
        found = [name for name in found if name.endswith(".dist-info")]
        if len(found) == 1:
            return found[0].removeprefix(f"{library}-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version(library)
