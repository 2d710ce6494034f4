from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError
from perfmodel.guard.plain import ABSENT, Difference, differences, require_plain
from perfmodel.guard.tolerance import close

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | finite,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@settings(max_examples=100)
@given(documents)
def test_a_document_without_nan_equals_itself(document: object) -> None:
    assert list(differences(document, document)) == []


@settings(max_examples=100)
@given(finite.filter(lambda x: abs(x) > 1e-290), st.floats(-1e-3, 1e-3))
def test_floats_differ_exactly_beyond_the_relative_tolerance(value: float, shift: float) -> None:
    if math.isclose(abs(shift), 1e-6, rel_tol=1e-3):
        return  # too near the border for float arithmetic to say
    assert close(value, value * (1 + shift)) == (abs(shift) < 1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (math.nan, math.nan),
        (1.0, math.nan),
        (math.nan, 1.0),
        (math.inf, -math.inf),
        (math.inf, 1e308),
        (0.0, 5e-324),
        (1_000_000_000, 1_000_000_001),
        (1, 1.0),
        (True, 1),
        (None, 0),
        ("amx", "avx512"),
        ({}, []),
    ],
)
def test_these_are_different(old: object, new: object) -> None:
    (found,) = differences({"x": old}, {"x": new})
    assert found.path == ("x",)
    assert found.old is old
    assert found.new is new


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.0])
def test_infinity_and_zero_equal_themselves(value: float) -> None:
    assert list(differences(value, value)) == []


def test_every_place_is_named_once_with_what_only_one_side_has() -> None:
    old = {"same": 1, "gone": {"a": 1}, "list": [1.0, 2.0, 3.0], "deep": {"x": {"y": "a"}}}
    new = {"same": 1, "new": 5, "list": [1.0, 2.5], "deep": {"x": {"y": "b"}}}
    assert list(differences(old, new)) == [
        Difference(("deep", "x", "y"), "a", "b"),
        Difference(("gone",), {"a": 1}, ABSENT),
        Difference(("list", 1), 2.0, 2.5),
        Difference(("list", 2), 3.0, ABSENT),
        Difference(("new",), ABSENT, 5),
    ]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"x": {"y": np.int64(3)}}, r"x\.y is a int64"),
        ({"x": {"y": np.float64(3)}}, r"x\.y is a float64"),
        ({"x": [1, (2, 3)]}, r"x\.1 is a tuple"),
        ({"x": {1: 2}}, "x has the key 1"),
        ({"a": [1.0, math.nan]}, r"a\.1 is nan, which is never recorded"),
        ({"a": -math.inf}, "a is -inf, which is never recorded"),
    ],
)
def test_what_is_not_plain_json_is_refused(document: object, place: str) -> None:
    with pytest.raises(PerfmodelError, match=place):
        require_plain(document)


@settings(max_examples=100)
@given(documents)
def test_plain_documents_are_accepted(document: object) -> None:
    require_plain(document)


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [(2.0, 4.0, math.log(2)), (4, 2, math.log(2)), (0.0, 1.0, math.inf), ("a", "b", math.inf)],
)
def test_size_of_a_difference(old: object, new: object, size: float) -> None:
    assert Difference((), old, new).size == pytest.approx(size)
