"""Digests of the package's sources: of what they say, and of which files they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perfmodel import sources


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(sources, "digest", sources.digest.__wrapped__)
    room = tmp_path / "package" / "room" / "inner"
    room.mkdir(parents=True)
    (room / "a.py").write_text("A = 1\n")
    (room / "a.toml").write_text("a = 1\n")
    (tmp_path / "package" / "other").mkdir()
    return room


@pytest.mark.parametrize("of", [lambda: sources.digest("room"), lambda: sources.made_of("room")])
def test_a_changed_module_is_another_one(of: Callable[[], str], package: Path) -> None:
    first = of()
    assert of() == first
    before = (package / "a.py").stat()
    (package / "a.py").write_text("A = 2\n")
    # Of the same size and, as it says, of the same time.
    os.utime(package / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = of()
    assert second != first
    (package / "b.py").write_text("")
    assert of() not in (first, second)


def test_a_description_is_made_of_its_file_and_a_trace_is_not(package: Path) -> None:
    digest, made_of = sources.digest("room"), sources.made_of("room")
    (package / "a.toml").write_text("a = 2\n")
    assert sources.digest("room") == digest
    assert sources.made_of("room") != made_of


def test_a_digest_is_of_what_modules_say_wherever_they_are(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sources.digest("room")
    (tmp_path / "package").rename(tmp_path / "elsewhere")
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "elsewhere")
    assert sources.digest("room") == first


def test_what_python_compiles_is_no_source(package: Path) -> None:
    made_of = sources.made_of("room")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.py").write_text("")
    assert sources.made_of("room") == made_of
