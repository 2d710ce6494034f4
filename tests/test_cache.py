from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfmodel import cache

KEY = {"kind": "workload", "name": "resnet50", "inputs": [[1, 3, 224, 224]]}
PAYLOAD = {"flops": 2**60 + 1, "name": "résumé", "columns": [1, 2, 3]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An own cache folder, and a process that has not warned yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_warned", False)
    return folder


def test_what_was_stored_is_loaded(folder: Path) -> None:
    assert cache.load(KEY) is None
    cache.store(KEY, PAYLOAD)
    assert cache.load(KEY) == PAYLOAD
    assert [p.name for p in (folder / "workload").iterdir()] == [cache.path(KEY).name]
    assert cache.path(KEY).name.startswith("resnet50-")


def test_the_order_of_a_key_does_not_matter_and_its_values_do() -> None:
    cache.store(KEY, PAYLOAD)
    assert cache.load(dict(reversed(KEY.items()))) == PAYLOAD
    assert cache.load(KEY | {"inputs": [[2, 3, 224, 224]]}) is None


def test_an_entry_of_another_key_is_not_trusted() -> None:
    other = KEY | {"inputs": [[2, 3, 224, 224]]}
    cache.store(KEY, PAYLOAD)
    os.replace(cache.path(KEY), cache.path(other))
    assert cache.load(other) is None


def test_any_changed_byte_is_noticed() -> None:
    cache.store(KEY, PAYLOAD)
    path = cache.path(KEY)
    whole = path.read_bytes()
    for position in range(len(whole) - 1):
        spoiled = bytearray(whole)
        spoiled[position] ^= 1
        path.write_bytes(spoiled)
        # A change that leaves the header's meaning alone cannot make the payload another.
        assert cache.load(KEY) in (None, PAYLOAD), position
    header, payload = whole.decode().splitlines()
    path.write_text(header + "\n" + payload.replace("[1,2,3]", "[1,2,4]") + "\n")
    assert cache.load(KEY) is None


def test_any_truncation_is_noticed() -> None:
    cache.store(KEY, PAYLOAD)
    path = cache.path(KEY)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.load(KEY) is None, length


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"[]\n[]\n", b"null\n{}\n", b"[" * 100_000 + b"\n{}\n", b"{}\n{}\n"],
    ids=["binary", "lists", "null", "nested", "empty objects"],
)
def test_other_content_is_absent_and_can_be_replaced(content: bytes) -> None:
    path = cache.path(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert cache.load(KEY) is None
    cache.store(KEY, PAYLOAD)
    assert cache.load(KEY) == PAYLOAD


def test_names_cannot_leave_the_folder(folder: Path) -> None:
    key = {"kind": "workload", "name": "../../etc/passwd" + "x" * 300}
    cache.store(key, PAYLOAD)
    assert cache.load(key) == PAYLOAD
    assert cache.path(key).resolve().parent == folder / "workload"


def store_twice_catching_warnings() -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache.store(KEY, PAYLOAD)
        cache.store(KEY | {"name": "other"}, PAYLOAD)
        assert cache.load(KEY) is None
    return caught


def test_a_folder_that_cannot_exist_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    (warning,) = store_twice_catching_warnings()
    assert warning.category is cache.CacheWarning
    assert "PERFMODEL_CACHE_DIR" in str(warning.message)
    assert "Not a directory" in str(warning.message)


def test_a_file_in_place_of_the_folder_costs_one_warning(folder: Path) -> None:
    folder.write_text("not a folder")
    (warning,) = store_twice_catching_warnings()
    assert warning.category is cache.CacheWarning
    assert folder.read_text() == "not a folder"


def test_a_full_disk_costs_one_warning_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    (warning,) = store_twice_catching_warnings()
    assert "No space left on device" in str(warning.message)
    assert list((folder / "workload").iterdir()) == []


def test_a_full_disk_keeps_the_old_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, PAYLOAD)

    def full(*paths: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(cache.CacheWarning):
        cache.store(KEY, {"new": True})
    assert cache.load(KEY) == PAYLOAD


WRITER = """
import json, sys, time
from perfmodel import cache
key, mark, size, rounds = json.loads(sys.argv[1])
payload = {"mark": mark, "values": [mark] * size}
for _ in range(rounds):
    cache.store(key, payload)
"""


def test_two_writers_and_a_reader_see_whole_entries_only(folder: Path) -> None:
    # 20,000 numbers exceed any single write the runtime makes.
    cache.store(KEY, {"mark": 0, "values": [0]})
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, json.dumps([KEY, mark, size, 40])])
        for mark, size in ((1, 20_000), (2, 60_000))
    ]
    sizes = {0: 1, 1: 20_000, 2: 60_000}
    seen: set[object] = set()
    for _ in itertools.count():
        running = any(writer.poll() is None for writer in writers)
        entry = cache.load(KEY)
        assert entry is not None, "a torn entry, or none"
        mark = entry["mark"]
        assert entry["values"] == [mark] * sizes[mark]  # type: ignore[index]
        seen.add(mark)
        if not running:
            break
    assert [writer.returncode for writer in writers] == [0, 0]
    assert {1, 2} & seen
    assert [p.name for p in (folder / "workload").iterdir()] == [cache.path(KEY).name]
