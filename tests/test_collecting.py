from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from perfmodel._collecting import EVERY, seldom


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def fail() -> None:
    with seldom():
        raise KeyError


def test_garbage_is_sought_seldom_and_as_before_afterwards(threshold: tuple[int, int, int]) -> None:
    with seldom():
        assert gc.get_threshold() == (EVERY, *threshold[1:])
        assert gc.isenabled()
    assert gc.get_threshold() == threshold
    with pytest.raises(KeyError):
        fail()
    assert gc.get_threshold() == threshold


def test_who_seeks_it_less_often_yet_is_left_alone() -> None:
    gc.set_threshold(2 * EVERY)
    with seldom():
        assert gc.get_threshold()[0] == 2 * EVERY
