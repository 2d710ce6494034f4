"""Shapes that PyTorch does not say, keys of views, masks, and the even choice of a router."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from perfmodel.tracing import masks, routing, shapes, views
from perfmodel.tracing.inputs import symbolic
from perfmodel.tracing.stand_in import StandIns

aten = torch.ops.aten


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


LONG, BOOL, UINT8 = torch.long, torch.bool, torch.uint8


def shape_of(found: Any) -> Any:
    """Shapes of one tensor or several, NotImplemented as it is."""
    if isinstance(found, torch.Tensor):
        return tuple(found.shape)
    return found if found is NotImplemented else [tuple(part.shape) for part in found]


@pytest.mark.parametrize(
    ("left", "right", "offsets", "result"),
    [
        ((5, 7), (7, 11), True, (3, 5, 11)),  # groups of the depth
        ((5, 7), (7, 11), False, None),
        ((2, 5, 7), (2, 7, 11), True, (2, 5, 11)),
        ((5, 7), (3, 7, 11), True, (5, 11)),
        ((3, 5, 7), (7, 11), True, (5, 11)),
        ((3, 5, 7), (3, 5, 11), True, None),
        ((5, 7), (3, 2, 11), True, None),
        ((7,), (7, 11), True, None),
        ((7,), (2, 7, 11), True, None),
        ((5, 7), (7,), True, None),
        ((1, 2, 5, 7), (2, 7, 11), True, None),
        ((2, 5, 7), (1, 2, 7, 11), True, None),
        ((1, 1, 5, 7), (1, 1, 7, 11), True, None),
    ],
)
def test_products_in_groups(left: Any, right: Any, offsets: bool, result: Any) -> None:
    more = {"offs": t(3)} if offsets else {}
    found = shapes.result(aten._grouped_mm.default, (t(*left), t(*right)), more)
    assert shape_of(found) == (NotImplemented if result is None else result)
    if result is not None:
        assert found.dtype == torch.float32
        more["out_dtype"] = torch.bfloat16
        found = shapes.result(aten._grouped_mm.default, (t(*left), t(*right)), more)
        assert found.dtype == torch.bfloat16


def test_results_of_a_cpu() -> None:
    assert shapes.result(aten.add.Tensor, (t(3), t(3)), {}) is NotImplemented
    for right, solution in (((2, 11, 3), (2, 5, 3)), ((2, 11), (2, 5))):
        found = shapes.result(aten.linalg_lstsq.default, (t(2, 11, 5), t(*right), None), {})
        assert shape_of(found) == [solution, (0,), (2,), (0,)]
        assert found[2].dtype == LONG
    for func in (aten.ctc_loss.Tensor, aten.ctc_loss.IntList):
        for log_probs, each in (((11, 3, 7), (3,)), ((11, 7), ())):
            of = (t(*log_probs), t(5), [11], [5])
            assert shape_of(shapes.result(func, of, {})) == ()
            assert shape_of(shapes.result(func, (*of, 0, 1), {})) == ()
            assert shape_of(shapes.result(func, (*of, 0, 2, True), {})) == ()
            assert shape_of(shapes.result(func, (*of, 0, 0), {})) == each
            assert shape_of(shapes.result(func, of, {"reduction": 0})) == each


# Views


def test_a_view_is_its_place_in_its_storage() -> None:
    whole = t(5, 7)
    assert views.view_of(whole) == views.view_of(whole.view(5, 7))
    others = [whole, whole[1:], whole[:, 1:], whole.t(), whole[:4], whole[::2], t(5, 7)]
    assert len({views.view_of(view) for view in others}) == len(others)
    assert views.block_of(whole[2:4]) == (14, 14)
    assert views.block_of(whole) == (0, 35)
    assert views.block_of(whole.t()) is None


def test_rows_chosen_by_a_value_are_alike_and_no_known_one() -> None:
    environment = ShapeEnv()

    def row(offset: Any) -> Any:
        return SimpleNamespace(
            storage_offset=lambda: offset,
            shape=(7,),
            stride=lambda: (1,),
            numel=lambda: 7,
            is_contiguous=lambda: True,
            untyped_storage=lambda: SimpleNamespace(_cdata=1),
        )

    one, other = (row(environment.create_unbacked_symint()) for _ in range(2))
    assert views.view_of(one) == views.view_of(other)
    assert views.view_of(one) not in [views.view_of(row(place)) for place in (0, 1, 2)]
    assert views.block_of(one) is None
    assert views.block_of(row(7)) == (7, 7)
    assert views.is_unknown(one.storage_offset())
    assert not views.is_unknown(7)


def test_symbols_for_named_dimensions() -> None:
    environment = ShapeEnv()
    stand_ins = StandIns(FakeTensorMode(shape_env=environment))
    example = torch.empty(5, 7)
    made = symbolic(stand_ins, example, [0], environment, 2)
    assert stand_ins.of(example) is made
    rows, columns = made.shape
    assert isinstance(rows, torch.SymInt)
    assert type(columns) is int
    assert not views.is_unknown(rows)
    # Which one is less may differ by size: no comparison is decided.
    for less in (views.least(rows, 3), views.least(3, rows), views.least(rows, rows + 1)):
        assert isinstance(less, torch.SymInt)
    assert not environment.guards
    assert views.view_of(made) == views.view_of(made.view(rows, 7))
    assert views.view_of(made) != views.view_of(made.t())
    assert views.block_of(made) is None
    assert len({views.view_of(made), views.view_of(made[:1])}) == 2


def test_nodes_stand_for_their_values() -> None:
    graph = torch.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    x.meta["val"] = a = t(3)
    assert views.values_of([x, (y, 2), None]) == [a, [None, 2], None]


def test_elements_along_a_stride_of_0_count_once() -> None:
    assert views.distinct(t(5, 1, 7).expand(5, 3, 7)) == 35
    assert views.distinct(t(5, 7)[:, ::2]) == 20
    assert views.distinct(t()) == 1
    assert views.distinct(t(1).as_strided((0, 3), (0, 1))) == 0


def test_tensors_in_values() -> None:
    a, b, c = t(1), t(2), t(3)
    assert list(views.tensors_in([a, (b, [c]), 3, None])) == [a, b, c]
    assert list(views.tensors_in("text")) == []
    assert (views.least(3, 5), views.least(5, 3)) == (3, 3)


# Masks


@pytest.mark.parametrize(
    ("func", "args", "result"),
    [
        (aten.nonzero.default, (t(2, 3, 5),), (30, 3)),
        (aten.masked_select.default, (t(2, 1, 5), t(3, 1, dtype=BOOL)), (30,)),
        (aten.index.Tensor, (t(2, 3, 5), [t(2, 3, dtype=BOOL)]), (6, 5)),
        (aten.index.Tensor, (t(2, 3, 5), [None, t(3, 5, dtype=UINT8)]), (2, 15)),
        (aten.index.Tensor, (t(2, 3, 5), [t(3, dtype=LONG), t(3, dtype=BOOL)]), (3, 5)),
        (aten.index.Tensor, (t(2, 3, 5), [t(7, dtype=LONG)]), None),
        (aten.index.Tensor, (t(2, 3, 5), [None, t(7, dtype=LONG)]), None),
        (aten.add.Tensor, (t(2), t(2, dtype=BOOL)), None),
    ],
)
def test_a_mask_selects_everything(func: Any, args: Any, result: Any) -> None:
    found = masks.everything(func, args)
    assert shape_of(found) == (NotImplemented if result is None else result)
    if result is not None:
        assert found.dtype == (LONG if func is aten.nonzero.default else torch.float32)


def test_three_places_of_masks_are_named() -> None:
    said = "reading by a mask takes all elements, an upper bound"
    assert masks.note(["a:1", "b:2", "a:1", "c:3"]) == f"{said} (a:1, b:2, c:3)"
    assert masks.note(["a", "b", "c", "d", "e"]) == f"{said} (a, b, c and elsewhere)"


# Routers


def even(tokens: int, chosen: int, experts: int, first: int = 0) -> torch.Tensor:
    """Expert (first + chosen t + j) modulo E for choice j of token t."""
    return torch.tensor(
        [[(first + chosen * i + j) % experts for j in range(chosen)] for i in range(tokens)]
    )


def choices(func: Any, *args: Any, index: torch.Tensor, **kwargs: Any) -> Any:
    result = index if func is aten.argmax.default else (t(1), index)
    return routing.choices(func, args, kwargs, result)


SCORES = t(2, 7, 5)


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "position"),
    [
        (aten.topk.default, (SCORES, 3), {}, 1),
        (aten.topk.default, (SCORES, 3), {"dim": None}, 1),
        (aten.topk.default, (SCORES, 3, -1), {}, 1),
        (aten.topk.default, (SCORES, 3), {"dim": 2}, 1),
        (aten.max.dim, (SCORES, 2), {}, 1),
        (aten.max.dim, (SCORES, -1, True), {}, 1),
        (aten.max.dim, (SCORES,), {"dim": 2}, 1),
        (aten.argmax.default, (SCORES, -1), {}, None),
        (aten.argmax.default, (SCORES,), {"dim": 2}, None),
        (aten.topk.default, (t(7, 1024), 3), {}, 1),
        (aten.topk.default, (t(7, 2), 3), {}, 1),
    ],
)
def test_a_router_chooses_evenly(func: Any, args: Any, kwargs: Any, position: Any) -> None:
    found = choices(func, *args, index=t(7, 3), **kwargs)
    assert found is not None
    assert found[0] == position
    assert torch.equal(found[1], even(7, 3, args[0].shape[-1]))


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.topk.default, (SCORES, 3, 0)),
        (aten.topk.default, (t(3, 7, 5), 3, 1)),
        (aten.max.dim, (SCORES, 0)),
        (aten.argmax.default, (SCORES,)),  # over all of it
        (aten.min.dim, (SCORES, 2)),
        (aten.max.dim, (SCORES, 1)),
        (aten.topk.default, (t(7, 5, dtype=LONG), 3)),
        (aten.topk.default, (t(2, 7, 1025), 3)),  # a vocabulary
        (aten.topk.default, (t(2, 7, 1), 3)),
        (aten.topk.default, (t(), 1)),
    ],
)
def test_what_is_no_router(func: Any, args: Any) -> None:
    assert choices(func, *args, index=t(7, 3)) is None


def test_what_was_chosen_is_not_chosen_again() -> None:
    index = t(2, 7, 3, dtype=LONG)
    once, twice, other = t(2, 7, 5), t(2, 7, 5), t(2, 7, 5)
    routing.take_away(aten.scatter.value, (SCORES, -1, index, 0.0), other)
    assert not hasattr(other, "_perfmodel_taken")  # an index of unknown origin
    index._perfmodel_names = frozenset({routing.NAME})  # type: ignore[attr-defined]
    routing.take_away(aten.add.Tensor, (SCORES, -1, index), other)
    assert not hasattr(other, "_perfmodel_taken")
    routing.take_away(aten.scatter.value, (SCORES, -1, index, 0.0), once)
    routing.take_away(aten.scatter_.value, (once, -1, index, 0.0), twice)
    for scores, taken in ((once, 3), (twice, 6)):
        _, chosen = choices(aten.topk.default, scores, 3, index=t(7, 3))
        assert torch.equal(chosen, even(7, 3, 5, first=21 * taken))
