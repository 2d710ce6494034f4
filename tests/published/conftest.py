"""Traces of the published models, made once for all tests of the published method."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perfmodel import published


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads a trace that an earlier version of the code left behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path_factory.mktemp("published-cache")))
        yield


@pytest.fixture(scope="session")
def graphs(_own_cache: None) -> dict[str, published.Graph]:
    names = ("resnet50", "deeplabv3_resnet50", "vit_b_16", "vit_l_16")
    return {name: published.graph(name) for name in names}
