"""Which loops are straight by their source, and which passes are like the one before."""

from __future__ import annotations

import ast
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from perfmodel.tracing import repeating, straight
from perfmodel.tracing.program import Step
from perfmodel.tracing.straight import Loop

aten = torch.ops.aten


def loop(body: str, head: str = "for i in range(9):") -> Loop | None:
    source = "\n    ".join([head, *body.splitlines()])
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.For)
    return straight._straight(node)


@pytest.mark.parametrize(
    ("body", "lists", "assigned", "calls", "written"),
    [
        ("y = x[i]\nout.append(y)", "out", "y", "", ""),
        ("s += x[:, i - 1]", "", "s", "", ""),
        ("a, (b, c) = f(x)", "", "a b c", "f", ""),
        ("a = b = torch.cat([x[i], y], dim=1)", "", "a b", "torch.cat", ""),
        ("r[i], s = x, -y", "", "s", "", "r"),
        ("self.r[i, 0] = y < x", "", "", "", "self.r"),
        ("one.append(x)\nother.append(f(y))", "one other", "", "f", ""),
        ("out.append(x, y)", "", "", "out.append", ""),
        ("out.append(x, more=y)", "", "", "out.append", ""),
        ("out.append(item=y)", "", "", "out.append", ""),
        ("self.out.append(y)", "", "", "self.out.append", ""),
        ("out.extend(y)", "", "", "out.extend", ""),
        ("append(y)", "", "", "append", ""),
        ("x", "", "", "", ""),
    ],
)
def test_straight_loops(body: str, lists: str, assigned: str, calls: str, written: str) -> None:
    found = loop(body)
    assert found is not None
    assert found.lists == tuple(lists.split())
    assert found.assigned == tuple(assigned.split())
    assert " ".join(map(ast.unparse, found.calls)) == calls
    assert " ".join(map(ast.unparse, found.written)) == written


@pytest.mark.parametrize(
    "body",
    [
        "y = x[i]\nif y: z = y",
        "self.y = x",
        "y, self.z = x",
        "i = 3",
        "y = x[i]\ni += 1",
        "out.append(x)\nout.append(y)",
        "y = x * i",
        "out.append(i)",
        "y = x[i] + i",
        "y = x[f(i)]",
        "y = x[i + f(z)]",
        "y = (lambda: x)()",
        "y = [z for z in x]",
        "y = x if z else w",
        "y = x and z",
        "y = f'{x}'",
        "(y := x)",
        "out.append(*x)",
        "continue",
        "return x",
    ],
)
def test_bodies_that_may_decide_something(body: str) -> None:
    assert loop(body) is None


@pytest.mark.parametrize("head", ["for i, j in range(9):", "for self.i in range(9):"])
def test_heads_of_other_loops(head: str) -> None:
    assert loop("y = x", head) is None


def test_a_loop_that_ends_in_another_way() -> None:
    (node,) = ast.parse("for i in range(9):\n    y = x\nelse:\n    y = z").body
    assert isinstance(node, ast.For)
    assert straight._straight(node) is None


LOOPS = """
for a in range(9):
    x = y
for b in range(9):
    if x: pass
for c in range(len(range(9))):
    x = y
for d in numbers(range(9)):
    x = y
e = range(9)
for f in range(
    9
):
    z = y
for g in torch.range(9):
    x = y
"""


def test_loops_are_found_by_the_line_of_their_range(tmp_path: Path) -> None:
    path = tmp_path / "loops.py"
    path.write_text(LOOPS)
    found = straight._loops(compile(LOOPS, str(path), "exec"))
    assert {line: one.assigned for line, one in found.items()} == {2: ("x",), 11: ("z",)}
    broken = tmp_path / "broken.py"
    broken.write_text("for a in range(9:")
    assert straight._loops(compile("1", str(broken), "exec")) == {}


class Own(nn.Module):
    pass


def own(x: Any) -> Any:
    return x


def hooked(kind: str) -> nn.Module:
    layer = nn.Linear(3, 3)
    getattr(layer, kind)(lambda *_: None)
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("F.relu", True),
        ("F.gelu", True),
        ("torch.relu", True),
        ("torch.einsum", True),
        ("torch.ones_like", True),
        ("x.relu", True),
        ("holder.x.relu", True),
        ("(x + 1).relu", True),
        ("x[0].relu", True),
        ("x.item", False),
        ("x.tolist", False),
        ("x.nonsense", False),
        ("(x + 1).nonsense", False),
        ("missing.relu", False),
        ("holder.missing.relu", False),
        ("relu", False),
        ("len", False),
        ("math.sqrt", False),
        ("own", False),
        ("numbers.append", False),
        ("layer", True),
        ("layers", True),
        ("holder.layer", True),
        ("module", False),
        ("mixed", False),
        ("before", False),
        ("after", False),
        ("torch.no_grad", False),
        ("x", False),
    ],
)
def test_what_decides_nothing_is_pytorchs(call: str, allowed: bool) -> None:
    x, layer, numbers = torch.ones(3), nn.Linear(3, 3), [1]
    layers, module, mixed = nn.Sequential(layer), Own(), nn.Sequential(layer, Own())
    before, after = hooked("register_forward_pre_hook"), hooked("register_forward_hook")
    holder = SimpleNamespace(x=x, layer=layer)
    names = (layers, module, mixed, before, after, holder, numbers, math, F)
    assert len(names) == 9
    frame = sys._getframe()
    calls = (ast.parse(call, mode="eval").body,)
    assert straight.is_torchs(Loop((), (), calls, ()), frame) == allowed
    good = (ast.parse("torch.relu", mode="eval").body,)
    assert straight.is_torchs(Loop((), (), good + calls, ()), frame) == allowed


def test_only_tensors_are_written_to() -> None:
    x, table = torch.ones(3), {"x": 1}
    assert len(x) + len(table) == 4
    frame = sys._getframe()
    for names, allowed in (("x", True), ("x x", True), ("table", False), ("x table", False),
                           ("missing", False)):  # fmt: skip
        written = tuple(ast.parse(name, mode="eval").body for name in names.split())
        assert straight.is_torchs(Loop((), (), (), written), frame) == allowed


def test_names_are_those_of_the_users_files() -> None:
    assert repeating._tables(nn.Sequential(nn.Linear(2, 2))) == []
    assert repeating._tables(nn.Sequential(nn.Linear(2, 2), Own())) == [globals()]


# Passes


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def step(target: Any, *args: Any, result: Any, **kwargs: Any) -> Step:
    meta = {"val": result, "nn_module_stack": {"cell": ("cell", "Cell")}}
    return Step(target=target, args=args, kwargs=kwargs, meta=meta)


X, W = t(7, 3), t(3, 3)


def of_a_pass(state: torch.Tensor, place: int, **changed: Any) -> tuple[list[Step], torch.Tensor]:
    """The steps of one pass: a row of X and the state, mixed by W; and the state that it makes."""
    row = X[place]
    mixed, scaled, result = t(3), changed.get("scaled", t(3)), t(3)
    steps = [
        step(aten.select.int, X, 0, place, result=row),
        step(aten.mv.default, changed.get("w", W), state, result=mixed),
        step(aten.mul.Tensor, mixed, changed.get("factor", 2), result=scaled),
        step(changed.get("last", aten.add.Tensor), scaled, row, alpha=changed.get("alpha", 1),
             result=result),
    ]  # fmt: skip
    return steps[: changed.get("length", 4)], result


def passes(**changed: Any) -> tuple[repeating._Pass, repeating._Pass]:
    """Two passes, of which the last is ``changed``."""
    numbers = {"n": 1, "none": None}
    first, state = of_a_pass(t(3), 1)
    second, state = of_a_pass(state, 2)
    third, _ = of_a_pass(changed.pop("state", state), 3, **changed)
    for alter in changed.get("alter", ()):
        alter(third)
    one = repeating._Pass(first, [], numbers)
    two = repeating._Pass(second, [one], numbers)
    return two, repeating._Pass(third, [two], changed.get("numbers", dict(numbers)))


def test_a_pass_that_reads_the_next_row_is_like_the_one_before() -> None:
    before, last = passes()
    assert last.is_like(before)
    assert list(last.made.values()) == [0, 1, 2]
    # The first pass has its state from elsewhere.
    first, state = of_a_pass(t(3), 1)
    second, _ = of_a_pass(state, 2)
    one = repeating._Pass(first, [], {})
    assert not repeating._Pass(second, [one], {}).is_like(one)


KNOWN = t(3)
KNOWN._perfmodel_value = torch.ones(3)  # type: ignore[attr-defined]


def placeholder(steps: list[Step]) -> None:
    steps[0].op = "placeholder"


def elsewhere(steps: list[Step]) -> None:
    steps[1].meta["nn_module_stack"] = {"other": ("other", "Cell")}


@pytest.mark.parametrize(
    "changed",
    [
        {"length": 3},
        {"last": aten.sub.Tensor},
        {"factor": 3},
        {"factor": 2.0},
        {"factor": True},
        {"alpha": 2},
        {"w": t(3, 3)},  # another weight
        {"w": W.t()},  # with other strides
        {"state": t(3)},  # of elsewhere
        {"state": X[0]},
        {"scaled": t(3, dtype=torch.float64)},
        {"scaled": t(6)[::2]},
        {"scaled": KNOWN},
        {"numbers": {"n": 2, "none": None}},
        {"numbers": {"n": True, "none": None}},
        {"numbers": {"n": 1}},
        {"numbers": {"n": 1, "none": None, "more": 1}},
        {"numbers": {"n": 1, "none": [1]}},
        {"alter": [placeholder]},
        {"alter": [elsewhere]},
    ],
)
def test_a_pass_that_differs_is_not_like_the_one_before(changed: dict[str, Any]) -> None:
    before, last = passes(**changed)
    assert not last.is_like(before)


def test_what_is_known_could_decide_something() -> None:
    """So even two passes that make known values are not alike."""
    steps, _ = of_a_pass(t(3), 1, scaled=KNOWN)
    assert not repeating._Pass(steps, [], {}).is_like(repeating._Pass(steps, [], {}))


def test_values_that_are_the_same() -> None:
    items, size = [1], torch.Size([3])
    for left, right, same in (
        (items, items, True),
        (items, [1], False),
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (2, 3, False),
        ("a", "a", True),
        (size, torch.Size([3]), True),
        (torch.float32, torch.float32, True),
        (torch.float32, torch.float64, False),
        (None, None, True),
        (tuple(items), tuple(items), False),  # what is in it may not be comparable
    ):
        assert repeating._equal(left, right) == same


def test_numbers_are_what_a_body_assigned_but_tensors() -> None:
    x, pair, mixed, count = t(3), (t(3), t(3)), (t(3), 1), 5
    assert (len(pair), len(mixed)) == (2, 2)
    names = Loop((), ("x", "pair", "mixed", "count", "missing"), (), ())
    found = repeating._numbers(names, sys._getframe())
    assert found == {"mixed": mixed, "count": count, "missing": None}
    assert x is not None
