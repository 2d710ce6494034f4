"""Which values are kept, what is computed from them, and which reads are noted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from perfmodel.tracing import routing
from perfmodel.tracing.inputs import symbolic
from perfmodel.tracing.stand_in import StandIns
from perfmodel.tracing.values import Values, _flat, tensors_in

aten = torch.ops.aten


@pytest.fixture
def stand_ins() -> StandIns:
    return StandIns(FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True))


@pytest.fixture
def values(stand_ins: StandIns) -> Values:
    return Values(stand_ins)


def called(values: Values, func: Any, *args: Any, **kwargs: Any) -> Any:
    """What ``func`` returns in a run, its values noted."""
    result = values.call(func, args, kwargs)
    if result is NotImplemented:
        with values._stand_ins.mode:
            result = func(*args, **kwargs)
        values.note(func, args, kwargs, result)
    return result


def kept(values: Values, original: torch.Tensor, name: str = "n") -> torch.Tensor:
    made = values._stand_ins.of(original)
    values.keep(original, made, name)
    return made


def known(values: Values, tensor: torch.Tensor) -> Any:
    found = values.of(tensor)
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("original", "name", "text"),
    [
        (torch.tensor([3, 5]), "n", "[3, 5]"),
        (torch.tensor(True), "n", "True"),
        (torch.arange(64), "n", str(list(range(64)))),
        (torch.arange(65), "n", None),
        (torch.full((65,), 7), "n", "all 7"),
        (torch.ones(5, 99) > 0, "n", "all True"),
        (torch.ones(2), "n", None),
        (torch.ones(2, dtype=torch.complex64), "n", None),
        (torch.ones(2, dtype=torch.long, device="meta"), "n", None),
        (torch.tensor([3]), "input_ids", None),
        (torch.tensor([3]), "decoder_input_ids", None),
        (torch.tensor([3]), "ids", None),
        (torch.tensor([3]), "text_tokens", None),
        (torch.tensor([3]), "token_ids", None),
        (torch.tensor([3]), "position_ids", "[3]"),
        (torch.tensor([3]), "token_type_ids", "[3]"),
        (torch.tensor([3]), "input_ids_length", "[3]"),
        (torch.tensor([3]), "grids", "[3]"),
    ],
)
def test_small_integers_that_are_no_tokens_are_kept(
    values: Values, original: torch.Tensor, name: str, text: str | None
) -> None:
    made = kept(values, original, name)
    assert known(values, made) == (None if text is None else original.tolist())
    assert values.read == {}
    if text is not None:
        first = made.flatten()[0] if made.ndim else made
        first._perfmodel_value, first._perfmodel_names = torch.tensor(1), made._perfmodel_names
        assert values.decision(first) is True
        assert values.read == {name: text}


def test_what_is_kept_does_not_change_with_the_original(values: Values) -> None:
    original = torch.tensor([3, 5])
    made = kept(values, original)
    original.zero_()
    assert known(values, made) == [3, 5]
    values.keep(made, made, "again")  # a stand-in has no values of its own
    values.keep(original, torch.zeros(2), "other")
    assert known(values, made) == [3, 5]


@pytest.mark.parametrize(("size", "there"), [(64, True), (65, False)])
def test_small_tensors_of_the_source_are_known(
    values: Values, stand_ins: StandIns, size: int, there: bool
) -> None:
    original = torch.ones(size)
    made = stand_ins.of(original)
    values.constant(original, made)
    assert (known(values, made) is not None) == there
    original.zero_()
    parameter = torch.nn.Parameter(torch.ones(2))
    of_meta = torch.ones(2, device="meta")
    for other in (parameter, of_meta, stand_ins.of(torch.ones(2))):
        values.constant(other, stand_ins.of(other))
        assert known(values, stand_ins.of(other)) is None
    if there:
        assert values.largest(made) == 1
        assert values.decision(called(values, aten.lt.Scalar, made, 2)[0]) is None
        assert values.read == {}  # of the source: nothing to be noted


def test_the_largest_and_decisions(values: Values, stand_ins: StandIns) -> None:
    made = kept(values, torch.tensor([3, 7, 5]))
    unknown = stand_ins.of(torch.tensor([3, 7, 5]))
    none = kept(values, torch.tensor([], dtype=torch.long), "none")
    assert values.largest(made) == 7
    assert values.largest(unknown) is values.largest(none) is None
    assert [values.decision(value) for value in (1, 0, True, None)] == [True, False, True, False]
    assert values.decision(unknown) is None
    assert values.read == {}
    zero = kept(values, torch.tensor(0), "zero")
    assert values.decision(zero) is False
    assert values.read == {"zero": "0"}


def test_what_is_computed_from_known_values_is_known(values: Values, stand_ins: StandIns) -> None:
    a, b = kept(values, torch.tensor([3, 5]), "a"), kept(values, torch.tensor([1, 2]), "b")
    unknown = stand_ins.of(torch.tensor([1, 2]))
    total = called(values, aten.add.Tensor, a, b, alpha=2)
    assert known(values, total) == [5, 9]
    assert known(values, called(values, aten.add.Tensor, a, unknown)) is None
    assert known(values, called(values, aten.cat.default, [a, b])) == [3, 5, 1, 2]
    assert known(values, called(values, aten.cat.default, [a, unknown])) is None
    high, low = called(values, aten.aminmax.default, total)[::-1]
    assert (known(values, high), known(values, low)) == (9, 5)
    assert known(values, called(values, aten.zeros.default, [2])) == [0.0, 0.0]
    # Without contents, by chance, or too many.
    assert known(values, called(values, aten.empty_like.default, a)) is None
    assert known(values, called(values, aten.rand.default, [2])) is None
    assert called(values, aten.zeros.default, [1 << 20]).numel() == 1 << 20
    for size, there in ((1 << 20, True), ((1 << 20) + 1, False)):
        assert (values.of(called(values, aten.zeros.default, [size])) is not None) == there
    assert values.read == {}
    assert called(values, aten.item.default, called(values, aten.sum.default, total)) == 14
    assert values.read == {"a": "[3, 5]", "b": "[1, 2]"}


def test_more_may_be_computed_from_the_choice_of_a_router(
    values: Values, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = stand_ins.of(torch.ones(7, 5))
    chosen = called(values, aten.topk.default, scores, 2)[1]
    assert known(values, chosen) == [[(2 * i + j) % 5 for j in range(2)] for i in range(7)]
    best = called(values, aten.argmax.default, scores, -1)
    assert known(values, best) == [0, 1, 2, 3, 4, 0, 1]
    monkeypatch.setattr("perfmodel.tracing.values._MOST", 6)
    monkeypatch.setattr(routing, "MOST_ELEMENTS", 14)
    assert values.of(called(values, aten.add.Scalar, chosen, 1)) is not None
    assert values.of(called(values, aten.zeros.default, [7])) is None
    monkeypatch.setattr(routing, "MOST_ELEMENTS", 13)
    assert values.of(called(values, aten.add.Scalar, chosen, 1)) is None
    first = called(values, aten.eq.Scalar, best, 3)
    found = called(values, aten.nonzero.default, first)
    assert known(values, found) == [[3]]
    assert values.read == {routing.NAME: routing.RULE}


def test_what_no_kernel_computes_and_symbols_are_not_known(
    values: Values, stand_ins: StandIns
) -> None:
    mask = kept(values, torch.tensor([[True]]))
    assert called(values, aten.mm.default, mask, mask).shape == (1, 1)  # a CPU adds no booleans
    assert known(values, called(values, aten.mm.default, mask, mask)) is None
    environment = stand_ins.mode.shape_env
    assert environment is not None
    rows = symbolic(stand_ins, torch.empty(5), [0], environment, 0).shape[0]
    for func, args in ((aten.ones.default, ([rows],)), (aten.full.default, ([2], rows)),
                       (aten.full.default, ([2, rows], 3))):  # fmt: skip
        assert known(values, called(values, func, *args)) is None
    assert known(values, called(values, aten.full.default, [2], 3)) == [3, 3]
    assert not environment.guards


def test_what_is_written_to_is_known_no_more(values: Values, stand_ins: StandIns) -> None:
    a, unknown = kept(values, torch.tensor([3, 5])), stand_ins.of(torch.tensor([1, 2]))
    view = called(values, aten.select.int, a, 0, 0)
    called(values, aten.add_.Tensor, a, 1)
    assert known(values, a) == [4, 6]
    called(values, aten.add_.Tensor, unknown, a)
    assert known(values, a) == [4, 6]
    called(values, aten.copy_.default, a, unknown)
    assert known(values, a) is known(values, view) is None


def test_a_size_that_depends_on_known_values(values: Values, stand_ins: StandIns) -> None:
    mask = kept(values, torch.tensor([True, False, True]), "mask")
    unknown = stand_ins.of(torch.tensor([True, False, True]))
    x, counts = stand_ins.of(torch.ones(3, 5)), kept(values, torch.tensor([3, 4, 9]), "counts")
    for func, args, shape, there in (
        (aten.nonzero.default, (mask,), (2, 1), [[0], [2]]),
        (aten.index.Tensor, (x, [mask]), (2, 5), None),
        (aten.index.Tensor, (counts, [mask]), (2,), [3, 9]),
        (aten.masked_select.default, (counts, mask), (2,), [3, 9]),
        (aten.masked_select.default, (x, kept(values, torch.ones(3, 5) > 0, "all")), (15,), None),
    ):  # fmt: skip
        values.read.clear()
        found = values.call(func, args, {})
        assert isinstance(found, FakeTensor)
        assert tuple(found.shape) == shape
        assert known(values, found) == there
        assert len(values.read) == (2 if args[0] is counts else 1)
    for func, args in (
        (aten.nonzero.default, (unknown,)),
        (aten.index.Tensor, (x, [unknown])),
        (aten.index.Tensor, (x, [counts])),  # no mask: its shape is known
        (aten.index.Tensor, (x, [None, counts])),
        (aten.add.Tensor, (counts, counts)),
        (aten.item.default, (stand_ins.of(torch.tensor(3)),)),
    ):
        values.read.clear()
        assert values.call(func, args, {}) is NotImplemented
        assert values.read == {}


def test_packed_sequences(values: Values, stand_ins: StandIns) -> None:
    x, lengths = stand_ins.of(torch.ones(3, 4, 5)), kept(values, torch.tensor([4, 2, 1]), "lengths")
    rows, sizes = values.call(aten._pack_padded_sequence.default, (x, lengths, True), {})
    assert tuple(rows.shape) == (7, 5)
    assert (known(values, rows), known(values, sizes)) == (None, [3, 2, 1, 1])
    padded, again = values.call(aten._pad_packed_sequence.default, (rows, sizes, True, 0.0, 4), {})
    assert tuple(padded.shape) == (3, 4, 5)
    assert (known(values, padded), known(values, again)) == (None, [4, 2, 1])


def test_tensors_among_arguments() -> None:
    a, b, c = (torch.empty(size) for size in (1, 2, 3))
    assert list(tensors_in((a, [b, (1,)], "x"), {"c": c, "n": None})) == [a, b, c]
    assert list(tensors_in((a,), {})) == [a]
    assert list(_flat([1, (2, [3]), "x"])) == [1, 2, 3, "x"]
