"""Public models: what a trace counts, and that it leaves the model as it was."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from perfmodel.errors import PerfmodelError
from zoo import check
from zoo.case import Case
from zoo.conftest import chosen, libraries

#: Cases that do not trace, with what is said of them and why; and cases whose count differs.
EXCEPTIONS: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("exceptions.toml").read_text("utf-8")
)
STOPS, DIFFERS = EXCEPTIONS.get("stops", {}), EXCEPTIONS.get("differs", {})


@pytest.fixture(autouse=True)
def _libraries_may_warn() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_a_model_is_counted_and_left_as_it_was(case: Case) -> None:
    built = case.build()
    before = check.held(built.module)
    if case.name in STOPS:
        with pytest.raises(PerfmodelError, match=STOPS[case.name]["message"]) as stopped:
            check.traced(built)
        assert "\n" not in str(stopped.value)
        assert check.held(built.module) == before
        return
    first = check.traced(built)
    assert first.unmodelled == ()
    assert check.held(built.module) == before

    expected = check.forward(built)
    second = check.traced(built)
    assert second.to_dict() == first.to_dict()
    for output, same in zip(check.forward(built), expected, strict=True):
        torch.testing.assert_close(output, same, rtol=0, atol=0, equal_nan=True)

    found, reference = check.countable(first), check.counted(built)
    if case.name in DIFFERS:
        assert found - reference == DIFFERS[case.name]["more"]
    else:
        assert found == reference


def test_exceptions_are_of_cases(pytestconfig: pytest.Config) -> None:
    if pytestconfig.option.sample is not None:
        return
    names = {case.name for case in chosen(pytestconfig)}
    asked = tuple(f"{library}/" for library in libraries(pytestconfig))
    assert {name for name in (*STOPS, *DIFFERS) if name.startswith(asked)} <= names


def test_every_family_of_timm_is_there() -> None:
    import timm

    from zoo.timm_models import MODELS

    assert sorted(MODELS) == timm.list_modules()
