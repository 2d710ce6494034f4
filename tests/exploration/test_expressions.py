"""Derived figures and constraints: arithmetic, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.exploration.expressions import Expression

NUMBER = st.floats(-1e6, 1e6)


@settings(max_examples=100)
@given(NUMBER, NUMBER, st.floats(0.5, 4))
def test_it_is_what_python_says(a: float, b: float, c: float) -> None:
    columns = {"cache.l3": np.array([a]), "b": b, "c": c}
    found = Expression("(cache.l3 - b) * 2 / c ** 2 + -min(cache.l3, b)").value(columns)
    assert found == pytest.approx((a - b) * 2 / c**2 - min(a, b))


@settings(max_examples=100)
@given(NUMBER, NUMBER)
def test_comparisons_are_joined(a: float, b: float) -> None:
    columns = {"a": np.array([a]), "b": np.array([b])}
    found = Expression("0 <= a < b or not b != 0").value(columns)
    assert bool(found[0]) is (0 <= a < b or b == 0)


def test_names_hold_dots_and_are_listed_once() -> None:
    expression = Expression("cores.count * 2 + cores.count / power.tdp")
    assert expression.names == ("cores.count", "power.tdp")
    with pytest.raises(UnknownName, match=r"cores\.count"):
        expression.value({"cores.counts": 1.0, "power.tdp": 1.0})


@pytest.mark.parametrize(
    "text",
    ["", "a +", "__import__('os')", "a.b()", "[a]", "'text'", "a if b else c", "lambda: 1", "a @ b",
     "min(a)", "sqrt(a, b)", "open(a)", "min(a, b=1)", "(1).real", "a[0]", "a := 1", "~a"],
)  # fmt: skip
def test_nothing_else_is_taken(text: str) -> None:
    with pytest.raises(PerfmodelError, match="write numbers, columns"):
        Expression(text)
