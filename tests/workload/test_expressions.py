from __future__ import annotations

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy import functions

from perfmodel.tracing.symbolic import text_of
from perfmodel.workload.expressions import (
    Condition,
    Expression,
    ExpressionError,
)

NAMES = ("batch", "tokens")
SIZES = st.fixed_dictionaries({name: st.integers(1, 999) for name in NAMES})
ATOMS = st.one_of(
    st.sampled_from([sympy.Symbol(name, integer=True, positive=True) for name in NAMES]),
    st.integers(-20, 20).map(sympy.Integer),
)


def combined(parts: st.SearchStrategy[sympy.Expr]) -> st.SearchStrategy[sympy.Expr]:
    divisor = st.integers(1, 9).map(sympy.Integer)
    return st.one_of(
        st.tuples(parts, parts).map(lambda p: p[0] + p[1]),
        st.tuples(parts, parts).map(lambda p: p[0] * p[1]),
        st.tuples(parts, parts).map(lambda p: p[0] - p[1]),
        st.tuples(parts, st.integers(0, 3)).map(lambda p: p[0] ** p[1]),
        st.tuples(parts, divisor).map(lambda p: functions.FloorDiv(*p)),
        st.tuples(parts, divisor).map(lambda p: functions.PythonMod(*p)),
        st.tuples(parts, parts).map(lambda p: functions.Min(*p)),
        st.tuples(parts, parts).map(lambda p: functions.Max(*p)),
    )


@settings(max_examples=100)
@given(st.recursive(ATOMS, combined, max_leaves=8), SIZES)
def test_text_means_what_sympy_means(expression: sympy.Expr, sizes: dict[str, int]) -> None:
    at = {sympy.Symbol(name, integer=True, positive=True): n for name, n in sizes.items()}
    assert Expression(text_of(expression)).exactly(sizes) == int(expression.xreplace(at))


@settings(max_examples=100)
@given(SIZES)
def test_python_agrees(sizes: dict[str, int]) -> None:
    text = "max(batch**2 - 3*tokens, -(-tokens // 7), 1) % 1000 + min(batch, tokens, 5)"
    assert Expression(text)(sizes) == eval(text, {}, {**sizes, "min": min, "max": max})
    condition = "batch >= 2 and not tokens % 3 == 1 or batch != tokens"
    assert Condition(condition)(sizes) == eval(condition, {}, dict(sizes))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "batch.bit_length()",
        "__import__('os')",
        "(lambda: 1)()",
        "batch[0]",
        "batch / 2",
        "1.5",
        "True",
        "'1'",
        "batch if tokens else 1",
        "abs(batch)",
        "min(batch)",
        "min(*batch, 1)",
        "2**batch",
        "2**-1",
        "batch < 2",
        "batch; tokens",
        "(" * 300 + "1" + ")" * 300,
        "1" * 25_000,
        "9" * 400,
        "batch @ 2",
        "x := 1",
    ],
)
def test_anything_else_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["batch", "1", "batch < tokens < 3", "batch in (1, 2)", "True"])
def test_a_condition_is_a_comparison(text: str) -> None:
    with pytest.raises(ExpressionError, match="not a condition"):
        Condition(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch // (batch - 2)", "has no value"),
        ("1 - batch", "not a size of at most 63 bits"),
        ("batch**63", "not a size"),
        ("((batch**60)**60)**60", "too large"),
    ],
)
def test_a_value_that_is_no_size_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Expression(text)({"batch": 2})


def test_a_fraction_has_no_text() -> None:
    with pytest.raises(ExpressionError, match="not integer arithmetic"):
        Expression(text_of(sympy.Symbol("batch") / 2))
