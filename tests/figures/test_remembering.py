"""Descriptions that are kept: the same as those that are read, and never stale or half."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel import cache, sources
from perfmodel.certainty import error_model as certainty
from perfmodel.errors import MachineError
from perfmodel.figures import remembering
from perfmodel.figures.record import Record
from perfmodel.figures.remembering import remembered
from perfmodel.machine import Machine, catalog, catalogue, load_machine
from perfmodel.mapping import assumptions, remote
from perfmodel.software import Software
from perfmodel.software import catalog as software_catalog
from perfmodel.software import catalogue as software_catalogue

EPYC = catalog._CATALOG / "epyc_9654.toml"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def never() -> Any:
    raise AssertionError("read again")


def kept(folder: Path) -> Path:
    (path,) = (folder / "descriptions").iterdir()
    return path


def read_epyc() -> Machine:
    return catalog._load(EPYC, EPYC.name, ())


@pytest.mark.parametrize("cpu", catalogue())
def test_a_cpu_that_is_kept_is_the_cpu_that_is_read(cpu: str) -> None:
    path = catalog._CATALOG / f"{cpu}.toml"
    read = catalog._load(path, path.name, ())
    assert remembered(Machine, path, lambda: read) is read
    again = remembered(Machine, path, never)
    assert again is not read
    assert again == read
    assert again.figures() == read.figures()
    assert list(again.figures()) == list(read.figures())
    assert Record.__repr__(again) == Record.__repr__(read)


@pytest.mark.parametrize("name", software_catalogue())
def test_so_is_software(name: str) -> None:
    path = software_catalog._CATALOG / f"{name}.toml"
    read = software_catalog._load(path, path.name, ())
    remembered(Software, path, lambda: read)
    again = remembered(Software, path, never)
    # The rules of a precision are compared by identity.
    assert repr(again) == repr(read)
    assert again.figures() == read.figures()


@pytest.mark.parametrize(
    "read",
    [certainty.error_model, assumptions._assumptions, remote.losses],
    ids=["errors", "assumptions", "losses"],
)
def test_so_are_the_figures_of_other_rooms(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh: Callable[[], object] = read.__wrapped__  # type: ignore[attr-defined]
    first = fresh()
    monkeypatch.setattr("perfmodel.figures.files.read_description", never)
    assert repr(fresh()) == repr(first)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("Cores", "Kores"),
        lambda text: text.replace('"figure"', '"table"'),
    ],
)
def test_a_damaged_entry_is_read_anew(damage: Callable[[str], str], own_cache: Path) -> None:
    first = remembered(Machine, EPYC, read_epyc)
    path = kept(own_cache)
    path.write_text(damage(path.read_text()))
    assert remembered(Machine, EPYC, read_epyc) == first
    assert remembered(Machine, EPYC, never) == first


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {"table": []},
        {"figure": [1, 2]},
        {"perfmodel.machine.tables:Cores": []},
        {"perfmodel.machine.tables:PriceFigures": [None]},
        {"perfmodel.machine.schema:Machine": [1]},
        {"os:system": ["true"]},
    ],
)
def test_an_entry_of_something_else_is_read_anew(payload: object, own_cache: Path) -> None:
    """Even one that is whole, as its digest says."""
    first = remembered(Machine, EPYC, read_epyc)
    header, _ = kept(own_cache).read_text().split("\n", 1)
    made_of = remembering._made_of("machine")
    cache.store(json.loads(json.loads(header)["key"]), {"made_of": made_of, "description": payload})
    assert remembered(Machine, EPYC, read_epyc) == first


@pytest.mark.parametrize("changed", ["machine/catalog/cores/zen4.toml", "figures/figure.py"])
def test_a_changed_file_or_source_is_read_anew(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "perfmodel"
    for room in ("figures", "vocabulary", "machine"):
        shutil.copytree(sources.PACKAGE / room, package / room)
    monkeypatch.setattr(sources, "PACKAGE", package)
    monkeypatch.setattr(remembering, "_made_of", remembering._made_of.__wrapped__)
    path = package / "machine" / "catalog" / "epyc_9654.toml"
    remembered(Machine, path, read_epyc)
    remembered(Machine, path, never)
    file = package / changed
    before = file.stat()
    # Of the same size and with the time that it had: what is left is the inode's own time.
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(AssertionError, match="read again"):
        remembered(Machine, path, never)


def test_a_folder_that_cannot_be_written_goes_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And without a word: nobody waits for a description."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path / "file"))
    assert remembered(Machine, EPYC, read_epyc) == read_epyc()


def test_what_does_not_come_with_perfmodel_is_not_kept(tmp_path: Path, own_cache: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('base = "epyc_9654"\nname = "Mine"\n')
    assert load_machine(own).name == "Mine"
    assert not list((own_cache / "descriptions").glob("own*"))


def test_what_is_wrong_is_not_kept(own_cache: Path) -> None:
    def wrong() -> Record:
        raise MachineError("wrong")

    with pytest.raises(MachineError, match="wrong"):
        remembered(Record, EPYC, wrong)
    assert not own_cache.exists()
