"""What a shell completes: names that there are, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final


def _completed(names: Callable[[], Iterable[str]], *suffixes: str) -> Callable[[str], list[str]]:
    """What completes a name: those there are, folders, and files with one of ``suffixes``."""

    def complete(incomplete: str) -> list[str]:
        found = [name for name in names() if name.startswith(incomplete)]
        if not incomplete or not suffixes:
            return found
        folder, slash, start = incomplete.rpartition("/")
        entries = sorted(Path(f"{folder}{slash}" or ".").glob(f"{start}*"))
        return found + [
            f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
            for entry in entries
            if entry.is_dir() or entry.suffix in suffixes
        ]

    return complete


def _models() -> Iterable[str]:
    from perfmodel.models import zoo

    return zoo.known()


def _cpus() -> Iterable[str]:
    from perfmodel.machine.catalog import known

    return known()


def _precisions() -> Iterable[str]:
    from perfmodel.vocabulary.precision import PRECISIONS

    return PRECISIONS


def _software() -> Iterable[str]:
    from perfmodel.software import catalogue

    return catalogue()


MODELS: Final = _completed(_models, ".json", ".pt2", ".py")
CPUS: Final = _completed(_cpus, ".toml")
SOFTWARE: Final = _completed(_software, ".toml")
PRECISIONS: Final = _completed(_precisions)
