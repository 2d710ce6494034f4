from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from perfmodel.cli import run_options
from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.scenario import Options, Scenario, scenario_of
from perfmodel.vocabulary import ranges, words
from perfmodel.vocabulary.precision import get_precision


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"precision": "int6"}, "unknown precision 'int6': did you mean 'int8'"),
        ({"software": "eagre"}, "did you mean 'eager'"),
        ({"state": "warm"}, "unknown state 'warm'"),
        ({"phase": "prefil"}, "did you mean 'prefill'"),
        ({"weights": "share"}, "did you mean 'shared'"),
    ],
)
def test_a_word_that_does_not_exist_is_an_error_with_the_nearest(
    options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UnknownName, match=expected):
        Scenario(**options)


@pytest.mark.parametrize("name", ["batch", "tokens", "context", "instances", "cores_per_instance"])
@pytest.mark.parametrize("value", [0, -3, 1.5, True, "many"])
def test_a_count_is_a_whole_number_of_at_least_one(name: str, value: object) -> None:
    with pytest.raises(PerfmodelError, match=f"{name}: expected"):
        Scenario(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["batch", "tokens", "context"])
def test_a_size_outside_its_range_is_refused_with_the_range(name: str) -> None:
    most = {"batch": ranges.BATCH, "tokens": ranges.TOKENS, "context": ranges.TOKENS}[name].most
    assert getattr(Scenario(**{name: int(most)}), name) == most  # type: ignore[arg-type]
    with pytest.raises(PerfmodelError, match=f"{name}: expected 1 to"):
        Scenario(**{name: int(most) + 1})  # type: ignore[arg-type]


def test_only_the_counts_of_a_division_may_be_left_to_a_search() -> None:
    assert Scenario(instances="auto", cores_per_instance="auto").divided
    assert not Scenario().divided
    with pytest.raises(PerfmodelError, match="batch: expected a whole number, found 'auto'"):
        Scenario(batch="auto")  # type: ignore[arg-type]


def test_a_scenario_a_precision_or_nothing_stand_for_the_same_run() -> None:
    wanted = Scenario("bf16", software="eager", batch=8)
    assert scenario_of("bf16", {"software": "eager", "batch": 8}) == wanted
    assert scenario_of(None, {"precision": "bf16", "software": "eager", "batch": 8}) == wanted
    assert scenario_of(Scenario("bf16", batch=8), {"software": "eager"}) == wanted
    assert scenario_of(wanted, {}) is wanted
    policy = get_precision("bf16")
    assert scenario_of(policy, {}).policy is policy
    with pytest.raises(PerfmodelError, match="precision is given twice: bf16 and int8"):
        scenario_of("bf16", {"precision": "int8"})
    with pytest.raises(TypeError, match="runtime"):
        scenario_of(None, {"runtime": "eager"})  # type: ignore[typeddict-unknown-key]


def test_every_field_can_be_given_as_a_keyword_and_on_the_command_line() -> None:
    names = {field.name for field in fields(Scenario)}
    assert Options.__annotations__.keys() == names
    declared = {*run_options.HOW, *run_options.SHAPE, *run_options.DIVISION}
    assert declared | {"batch"} == names
    assert run_options._FIELDS.keys() == declared


def test_words_are_those_of_their_types() -> None:
    assert words.STATES == ("steady", "cold")
    assert words.PHASES == ("prefill", "decode")
    assert words.WEIGHTS == ("separate", "shared")


def test_ranges_hold_their_ends_and_no_number_that_is_none() -> None:
    for value in (ranges.SAMPLES.least, ranges.SAMPLES.most):
        ranges.SAMPLES.check("samples", value)
    for value in (1, 100_001, float("nan"), float("inf")):
        with pytest.raises(PerfmodelError, match="samples: expected 2 to 100,000, found"):
            ranges.SAMPLES.check("samples", value)
