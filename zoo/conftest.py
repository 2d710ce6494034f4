"""Which cases run: all, those of some libraries, or a seeded share."""

from __future__ import annotations

import gc
import importlib
import random
import warnings
from collections.abc import Iterator

import pytest

from perfmodel.models._torchvision import import_torchvision
from zoo.case import Case

#: Modules of the zoo by library. The first three are what a sample is drawn from.
LIBRARIES = {
    "timm": "timm_models",
    "transformers": "transformers_models",
    "diffusers": "diffusers_models",
    "ultralytics": "ultralytics_models",
    "monai": "monai_models",
    "torch_geometric": "geometric_models",
    "segmentation_models": "segmentation_models",
}
SAMPLED = ("timm", "transformers", "diffusers")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("zoo")
    group.addoption("--library", action="append", choices=LIBRARIES, help="default: all")
    group.addoption("--sample", type=float, metavar="SHARE", help=f"of {', '.join(SAMPLED)}")
    group.addoption("--seed", type=int, default=0, help="of the sample")


def libraries(config: pytest.Config) -> list[str]:
    usual = LIBRARIES if config.option.sample is None else SAMPLED
    return config.option.library or list(usual)


def chosen(config: pytest.Config) -> list[Case]:
    """The cases that run, in an order that does not depend on the process."""
    import_torchvision()  # Before a library does, where its binary part does not fit torch.
    found = []
    for library in libraries(config):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = importlib.import_module(f"zoo.{LIBRARIES[library]}").cases()
        if config.option.sample is not None:
            size = max(1, round(config.option.sample * len(cases)))
            cases = random.Random(config.option.seed).sample(cases, size)
        found += cases
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = chosen(metafunc.config)
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(autouse=True)
def free_memory() -> Iterator[None]:
    """One model at a time: modules refer to each other in circles."""
    yield
    gc.collect()
