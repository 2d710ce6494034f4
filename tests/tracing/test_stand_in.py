"""What is reached from a module and its arguments holds stand-ins, and then what it held."""

from __future__ import annotations

import functools
import random
from collections import OrderedDict, deque
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from perfmodel.tracing.stand_in import StandIns, _closed_over, slots


def fresh() -> StandIns:
    return StandIns(FakeTensorMode(allow_non_fake_inputs=True))


class Pair(NamedTuple):
    x: Any
    y: Any


class Shape(tuple):  # type: ignore[type-arg]
    __slots__ = ()


class OneSlot:
    __slots__ = "x"


class MoreSlots(OneSlot):
    __slots__ = ("__weakref__", "unset", "y")


class Plain:
    def __init__(self, x: Any) -> None:
        self.x = x


def test_one_tensor_has_one_stand_in_and_views_one_storage() -> None:
    stand_ins = fresh()
    whole = torch.empty(5, 7)
    made = stand_ins.of(whole)
    assert isinstance(made, FakeTensor)
    assert stand_ins.of(whole) is stand_ins.of(made) is made
    assert stand_ins.original(made) is whole
    assert stand_ins.original(whole) is whole
    view = stand_ins.of(whole.t()[1:, ::2])
    assert (view.shape, view.stride(), view.storage_offset()) == ((6, 3), (1, 14), 1)
    assert view.untyped_storage()._cdata == made.untyped_storage()._cdata
    assert made.untyped_storage().nbytes() == 5 * 7 * 4
    assert made.device.type == "cpu"
    halves = stand_ins.of(whole.view(torch.int16))
    assert (halves.shape, halves.dtype) == ((5, 14), torch.int16)
    weight = stand_ins.of(nn.Parameter(whole))
    assert isinstance(weight, nn.Parameter)
    assert not weight.requires_grad
    # One of another mode is no stand-in of this one.
    with FakeTensorMode():
        other = torch.empty(3)
    assert stand_ins.of(other) is not other
    assert stand_ins.within({"a": [whole, 3]})["a"][0] is made


def test_results_are_remembered_while_that_is_on() -> None:
    stand_ins = fresh()
    for before in (True, False):
        stand_ins.mode.cache_enabled = before
        for on in (True, False):
            with stand_ins.remembering(on):
                assert stand_ins.mode.cache_enabled == (before and on)
            assert stand_ins.mode.cache_enabled == before


def test_generators_go_on_where_they_were() -> None:
    def drawn() -> list[float]:
        return [random.random(), np.random.random(), float(torch.rand(1))]  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = drawn()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with fresh().inside():
        drawn()
    assert drawn() == first


def holders(x: torch.Tensor) -> dict[str, Any]:
    one = OneSlot()
    one.x = x
    more = MoreSlots()
    more.x, more.y = [x], x
    return {
        "list": [1, x, x],
        "deque": deque([x, 2], maxlen=9),
        "dict": {"a": x, "b": {"c": [x]}},
        "ordered": OrderedDict(b=x, a=1),
        "tuple": (1, (x, 2)),
        "pair": Pair(x, 1),
        "shape": Shape([x]),
        "set": {1, 2},
        "one": one,
        "more": more,
        "plain": Plain(Plain(x)),
    }


def flat(value: Any) -> list[Any]:
    """The leaves in a holder."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flat(item)]
    if isinstance(value, list | tuple | deque | set):
        return [leaf for item in value for leaf in flat(item)]
    found = [*getattr(value, "__dict__", {}).values(), *(item for _, item in slots(value))]
    return flat(found) if found and not isinstance(value, torch.Tensor) else [value]


def changed(root: Any, fake: torch.Tensor) -> None:
    """Change everything as a forward might."""
    root["list"].append(fake)
    root["list"][0] = fake
    root["deque"].popleft()
    root["dict"]["new"] = fake
    del root["dict"]["a"]
    root["dict"]["b"]["c"].clear()
    root["ordered"].move_to_end("b")
    root["set"].add(3)
    root["set"].remove(1)
    root["one"].x = root["more"].x = root["more"].unset = fake
    root["plain"].x.x = 7
    root["plain"].more = fake


@pytest.mark.parametrize("change", [False, True])
def test_whatever_holds_tensors_holds_stand_ins_and_then_the_tensors(change: bool) -> None:
    x = torch.empty(3)
    root = holders(x)
    root["list"].append(root["dict"])
    before, ids = flat(root), {name: id(item) for name, item in root.items()}
    stand_ins = fresh()
    with stand_ins.inside(root, (x, [x])) as walk:
        fake = stand_ins.of(x)
        assert walk.roots[0] is root
        assert walk.roots[1][0] is walk.roots[1][1][0] is fake
        assert [leaf for leaf in flat(root) if isinstance(leaf, torch.Tensor)] == [fake] * 15
        kinds = {name: type(item) for name, item in root.items()}
        assert (kinds["pair"], kinds["shape"], kinds["tuple"]) == (Pair, Shape, tuple)
        if change:
            changed(root, fake)
    after = flat(root)
    assert len(after) == len(before)
    assert all(new is old for new, old in zip(after, before, strict=True))
    assert {name: id(item) for name, item in root.items()} == ids
    assert list(root["ordered"]) == ["b", "a"]
    assert list(root["dict"]) == ["a", "b"]
    assert root["deque"].maxlen == 9


def test_modules_are_in_eval_mode_and_then_in_theirs() -> None:
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.ReLU()))
    module[1].eval()
    module.coach = Plain([])
    module.coach.training = True
    with fresh().inside(module):
        assert not any(part.training for part in module.modules())
        assert module.coach.training  # no module
    assert [part.training for part in module.modules()] == [True, True, False, False]


@functools.lru_cache
def remembered(size: int) -> torch.Tensor:
    return torch.empty(size)


class Tables(nn.Module):
    """Tables and caches beside a module: of a thousand entries at most."""

    few: ClassVar[dict[int, Any]] = dict.fromkeys(range(1000))
    many: ClassVar[dict[int, Any]] = dict.fromkeys(range(1001))
    items: ClassVar[list[int]] = [1, 2]
    names: ClassVar[set[int]] = {1, 2}
    plain: ClassVar[int] = 1
    ordered: ClassVar[OrderedDict[str, int]] = OrderedDict(b=1, a=2)


def test_tables_of_a_class_are_put_back() -> None:
    remembered.cache_clear()
    remembered(1)
    with fresh().inside(Tables()) as walk:
        assert walk.remembered() == [1]
        remembered(2)
        assert walk.remembered() == [2]
        for table in (Tables.few, Tables.many):
            table[0] = 7
        Tables.items[0] = 7
        Tables.plain = 7  # a name that stands for no tensor
        Tables.names.add(7)
        Tables.ordered.move_to_end("b")
    assert (Tables.few[0], Tables.many[0], Tables.items) == (None, 7, [1, 2])
    assert Tables.plain == 7
    assert (Tables.names, list(Tables.ordered)) == ({1, 2}, ["b", "a"])
    # A cache that grew may hold stand-ins.
    assert remembered.cache_info().currsize == 0
    remembered(1)
    with fresh().inside(Tables()):
        remembered(1)
    assert remembered.cache_info().currsize == 1


def test_where_tensors_are_kept() -> None:
    a, b = torch.empty(2), torch.empty(3)
    module = Plain([])
    stand_ins = fresh()
    with stand_ins.inside(module) as walk:
        assert walk.tensors() == {}
        fakes = [stand_ins.of(a), stand_ins.of(b)]
        module.x.append(fakes[0])
        module.y = {"k": fakes[1], "n": 3}
        module.z = (fakes[0], [fakes[1]])
        found = walk.tensors()
        assert [(place[1], tensor) for place, tensor in found.items()] == [
            ("x", fakes[0]), ("y", fakes[1]), ("z", fakes[0]), (0, fakes[0]),
        ]  # fmt: skip
        assert all(place[2] == id(tensor) for place, tensor in found.items())
        assert len({place[0] for place in found}) == 2


def test_attributes_in_slots() -> None:
    value = MoreSlots()
    value.x, value.y = 1, 2
    assert slots(value) == [("y", 2), ("x", 1)]
    theirs = type("Theirs", (), {"__slots__": ("x",), "__module__": "torch.mine"})()
    theirs.x = 1
    assert slots(nn.ReLU()) == slots(3) == slots(theirs) == []


def test_what_functions_close_over() -> None:
    cell = [1]

    def function(self: Any = None) -> Any:
        return cell

    for wrapped in (function, staticmethod(function), classmethod(function), property(function)):
        assert _closed_over(wrapped) == [cell]
    assert _closed_over(fresh) == _closed_over(len) == []


def test_a_base_behind_one_of_pytorchs_is_met_too() -> None:
    base: Any = type("Base", (), {"__module__": "elsewhere", "table": {"a": 1}})
    kind: Any = type("Kind", (nn.Module, base), {"__module__": __name__})
    with fresh().inside(kind()):
        base.table["b"] = 2
    assert base.table == {"a": 1}
