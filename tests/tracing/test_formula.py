"""The registry of formulas, and what a formula sees of a call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from perfmodel.tracing import formula, operators
from perfmodel.tracing.formula import Call, Cost, broadcast, canonical, find, overrides, register


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Copies of the tables, which a test may change."""
    monkeypatch.setattr(formula, "_FORMULAS", dict(formula._FORMULAS))
    monkeypatch.setattr(formula, "_SEALED", dict(formula._SEALED))
    assert "aten.conv2d" in operators.registered()
    formula.seal()
    return


def one(call: Call) -> Cost:
    return Cost("linear", flops=1)


def other(call: Call) -> Cost:
    return Cost("linear", flops=2)


def test_what_a_call_does_not_say() -> None:
    cost = Cost("linear")
    assert (cost.flops, cost.vector_ops, cost.gemm, cost.writes, cost.note) == (
        0,
        0,
        None,
        None,
        "",
    )
    assert cost.reads == {}
    call = Call({"x": torch.empty(3, 5), "n": None, "zero": 0, "more": [torch.empty(2)]}, ())
    assert (call.in_place, call.weights) == (False, frozenset())
    assert [call.has(name) for name in ("x", "n", "zero", "y")] == [True, False, True, False]
    assert [call.get(name, 7) for name in ("n", "zero", "y")] == [7, 0, 7]
    assert (call.shape("x"), call.numel("x"), call.numel("y")) == ((3, 5), 15, 0)
    assert call.tensors() == ("x",)
    assert call.result_numel == 15
    two = {"x": torch.empty(3), "y": torch.empty(5)}
    assert (Call(two, ()).result_numel, Call(two, ((7,), (11,))).result_numel) == (3, 7)
    assert not call.complex
    halves = torch.empty(2, dtype=torch.complex64)
    assert Call({"x": torch.empty(3), "y": halves}, ()).complex
    assert Call({"tensors": [halves, torch.empty(2)]}, ()).complex
    assert not Call({"tensors": [torch.empty(2), halves], "none": []}, ()).complex
    with pytest.raises(KeyError):
        call.shape("y")


def test_names_are_registered_and_forgotten() -> None:
    assert register("mylib.one", "mylib.two")(one) is one
    assert find("mylib.one") is find("mylib.two") is find("mylib.two_") is one
    assert {"mylib.one", "mylib.two"} <= set(formula.registered())
    assert list(formula.registered()) == sorted(formula.registered())
    for again in (("mylib.two",), ("mylib.new", "mylib.two")):
        with pytest.raises(ValueError, match=r"mylib.two has a formula already"):
            register(*again)
    register("mylib.two", replace=True)(other)
    assert (find("mylib.one"), find("mylib.two")) == (one, other)
    formula.unregister("mylib.one", "mylib.two")
    assert find("mylib.one") is find("mylib.two") is None
    with pytest.raises(KeyError):
        formula.unregister("mylib.one")
    for name in ("conv", ".conv", "aten.", "aten::conv", "aten.a::b"):
        with pytest.raises(ValueError, match="expected a name like"):
            register("mylib.good", name)


def test_an_underscore_at_the_end_is_the_form_in_place() -> None:
    for name in ("mylib.add_", "mylib.add"):
        assert canonical(name) == "mylib.add"
    assert canonical("mylib.__and__") == "mylib.__and__"
    register("mylib.add_")(one)
    assert canonical("mylib.add_") == "mylib.add_"
    assert (find("mylib.add_"), find("mylib.add")) == (one, None)


def test_formulas_of_a_user_s_have_a_fingerprint() -> None:
    assert overrides() == {}
    register("mylib.one", "mylib.same")(one)
    register("aten.linear")(other)
    formula.unregister("aten.conv2d")
    found = overrides()
    assert list(found) == ["aten.conv2d", "aten.linear", "mylib.one", "mylib.same"]
    assert found["aten.conv2d"] == "none"
    assert found["mylib.one"] == found["mylib.same"] != found["aten.linear"]
    assert len(found["mylib.one"]) == 20
    formula.seal()
    assert overrides() == {"aten.conv2d": "none"}


def test_a_fingerprint_tells_what_a_formula_is_bound_to() -> None:
    def bound(factor: object, more: object = 1) -> formula.Formula:
        def made(call: Call, default: object = more) -> Cost:
            return Cost(str(factor))

        return made

    fingerprint = formula._fingerprint
    assert fingerprint(bound(2)) == fingerprint(bound(2)) != fingerprint(bound(3))
    assert fingerprint(bound(2, more=2)) != fingerprint(bound(2))
    # What cannot be seen is like nothing else, in this process or another.
    hidden = [bound(object()), bound(2, more=object()), len, eval("lambda call: None")]
    told = [fingerprint(function) for function in hidden]  # type: ignore[arg-type]
    assert told == [f"{formula._PROCESS}-{id(function)}" for function in hidden]


def test_shapes_are_broadcast_from_the_right() -> None:
    assert broadcast((2, 1, 5), (3, 1)) == (2, 3, 5)
    assert broadcast((), (3, 1)) == broadcast((3, 1), ()) == (3, 1)
    assert broadcast((1,), (0,)) == broadcast((0,), (1,)) == (0,)
