"""From the rows of a recorder to tables: parts of weights, totals, and copies of passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import TraceError
from perfmodel.tracing import copying
from perfmodel.tracing.rows import recorded
from perfmodel.workload.tables import INT64_MAX, WEIGHT
from perfmodel.workload.workload import INPUT, OUTPUT

Rows = list[Any]


def tables(tensors: Rows, accesses: Rows) -> tuple[Rows, Rows]:
    """Tensors (name, elements) and accesses (kernel, name of the tensor, role, elements)."""
    kernels = [(f"k{i}", "aten.x", 0, 0, 0, (0, 0, 0, 0)) for i in range(9)]
    rows = [(name, 0, elements, 4, True) for name, elements in tensors]
    t, _, a = recorded("model", rows, kernels, accesses, np.int64)
    touched = zip(a.kernel.tolist(), a.tensor.tolist(), a.role.tolist(), a.elements.tolist(),
                  strict=True)  # fmt: skip
    return (
        list(zip(t.name, t.elements.tolist(), strict=True)),
        [(kernel, t.name[row], role, elements) for kernel, row, role, elements in touched],
    )


#: Two parts of a weight of 12 that is row 1, beside one another up to its end.
PARTED = [(0, 1, WEIGHT, 5, (0, 5)), (1, 1, WEIGHT, 7, (5, 7)), (2, 1, WEIGHT, 5, (0, 5))]
AS_PARTS = [(0, "v[0]", WEIGHT, 5), (1, "v[1]", WEIGHT, 7), (2, "v[0]", WEIGHT, 5)]


@pytest.mark.parametrize(
    "blocks",
    [
        [(0, 12)],  # read as one
        [(0, 5), None],  # in a way that is no part
        [None],
        [(0, 6), (5, 7)],  # parts that overlap
        [(5, 7), (0, 6)],
        [(0, 5), (5, 8)],  # beyond the end: a view as another type
        [(0, 1), (1, 1), (2, 11)],
    ],
)
def test_only_parts_that_do_not_overlap_are_rows_of_their_own(blocks: list[Any]) -> None:
    whole = [(3 + i, 0, WEIGHT, 5, block) for i, block in enumerate(blocks)]
    # The other weight is parted all the same, whichever comes first.
    for accesses in (whole + PARTED, PARTED + whole):
        tensors, touched = tables([("w", 12), ("v", 12)], accesses)
        assert tensors == [("w", 12), ("v[0]", 5), ("v[1]", 7)]
        as_whole = [(3 + i, "w", WEIGHT, 5) for i in range(len(blocks))]
        assert sorted(touched) == sorted(as_whole + AS_PARTS)


def test_parts_with_a_gap_and_what_is_no_weight() -> None:
    accesses = [
        (0, 0, INPUT, 3, None),
        (0, 0, OUTPUT, 3, None),
        (0, 1, WEIGHT, 2, (9, 2)),
        (1, 1, WEIGHT, 3, (0, 3)),
        (2, 1, OUTPUT, 4, None),  # a buffer that is written
    ]
    tensors, touched = tables([("x", 3), ("w", 12)], accesses)
    assert tensors == [("x", 3), ("w[0]", 3), ("w[1]", 2)]
    assert touched == [
        (0, "x", INPUT, 3), (0, "x", OUTPUT, 3), (0, "w[1]", WEIGHT, 2), (1, "w[0]", WEIGHT, 3),
        (2, "w[0]", OUTPUT, 4),
    ]  # fmt: skip


def test_views_of_one_tensor_in_a_kernel_are_added_up_to_all_of_it() -> None:
    accesses = [(0, 0, INPUT, 6, None), (0, 0, INPUT, 7, None), (1, 0, INPUT, 3, None),
                (1, 0, INPUT, 4, None)]  # fmt: skip
    assert tables([("x", 10)], accesses)[1] == [(0, "x", INPUT, 10), (1, "x", INPUT, 7)]


@pytest.mark.parametrize(
    ("tensor", "kernel", "accessed"),
    [
        ((INT64_MAX - 1, 1), (0, 0), 0),
        ((1, 1), (INT64_MAX - 5, 0), 0),
        ((1, 1), (0, INT64_MAX - 5), 0),
        ((1, 3), (0, 0), INT64_MAX // 3),
    ],
)
def test_totals_are_exact_as_64_bit_integers(tensor: Any, kernel: Any, accessed: int) -> None:
    def made(integer: Any, *, more: int) -> Any:
        tensors = [("x", 1, tensor[0], tensor[1], True), ("y", 0, more, 1, False)]
        kernels = [("a", "aten.a", 2, *kernel, (1, 2, 3, 5)), ("b", "aten.b", 3, more, more,
                                                               (0, 0, 0, 0))]  # fmt: skip
        accesses = [(0, 0, INPUT, accessed, None), (1, 1, OUTPUT, more, None)]
        return recorded("model", tensors, kernels, accesses, integer)

    t, k, a = made(np.int64, more=1)
    assert (t.name, t.kind.tolist(), t.floating.tolist()) == (("x", "y"), [1, 0], [True, False])
    assert t.elements.tolist() == [tensor[0], 1]
    assert t.itemsize.tolist() == [tensor[1], 1]
    assert (k.name, k.operator, k.family.tolist()) == (("a", "b"), ("aten.a", "aten.b"), [2, 3])
    assert (k.flops.tolist(), k.vector_ops.tolist()) == ([kernel[0], 1], [kernel[1], 1])
    assert k.gemm.tolist() == [[1, 2, 3, 5], [0, 0, 0, 0]]
    assert (a.kernel.tolist(), a.tensor.tolist()) == ([0, 1], [0, 1])
    assert (a.role.tolist(), a.elements.tolist()) == ([INPUT, OUTPUT], [accessed, 1])
    with pytest.raises(TraceError, match=r"^model: operations or bytes are beyond"):
        made(np.int64, more=7)
    assert made(np.object_, more=7)[0].elements.dtype == np.object_


def test_of_no_kernels_there_are_empty_tables() -> None:
    _, kernels, accesses = recorded("model", [], [], [], np.int64)
    assert kernels.gemm.shape == (0, 4)
    assert len(accesses.kernel) == 0


def test_copies_of_a_pass_go_on_as_its_second_does() -> None:
    passes = copying.Passes(
        # The second kernel runs twice in a pass, once beside the loop's own calls.
        kernels=[("a#3", "x", 1), ("b#5", "y", 2), ("a#4", "x", 1), ("b#7", "y", 2)],
        accesses=[
            (20, 4, WEIGHT, 6, (3, 6)),
            (20, 10, OUTPUT, 5, None),
            (21, 9, INPUT, 5, None),
            (21, 5, WEIGHT, 2, None),
            (21, 7, INPUT, 5, (8, 1)),
            (22, 4, WEIGHT, 6, (14, 6)),
            (22, 13, OUTPUT, 5, None),
            (23, 10, INPUT, 5, None),
            (23, 5, WEIGHT, 2, (3, 2)),
            (23, 7, INPUT, 5, None),
        ],
        tensors=[("a#3", 5), ("b#5:1", 5), ("part", 5), ("a#4", 5), ("b#7:1", 5), ("part", 5)],
        first_tensor=10,
    )
    found = copying.copies(passes, 3)
    assert found.kernels == [
        ("a#5", "x", 1), ("b#9", "y", 2), ("a#6", "x", 1), ("b#11", "y", 2), ("a#7", "x", 1),
        ("b#13", "y", 2),
    ]  # fmt: skip
    assert found.tensors == [
        ("a#5", 5), ("b#9:1", 5), ("part", 5), ("a#6", 5), ("b#11:1", 5), ("part", 5), ("a#7", 5),
        ("b#13:1", 5), ("part", 5),
    ]  # fmt: skip
    assert found.numbers == {"a": 3, "b": 6}
    # As text: a number of rows that is a fraction is none.
    assert repr(found.accesses) == repr(
        [
            row
            for j in (1, 2, 3)
            for row in (
                (22 + 2 * j, 4, WEIGHT, 6, (14 + 11 * j, 6)),  # the next part of a weight
                (22 + 2 * j, 13 + 3 * j, OUTPUT, 5, None),
                (23 + 2 * j, 10 + 3 * j, INPUT, 5, None),  # what the pass before made
                (23 + 2 * j, 5, WEIGHT, 2, (3, 2)),
                (23 + 2 * j, 7, INPUT, 5, None),
            )
        ]
    )


@pytest.mark.parametrize(
    "rows",
    [
        {"kernels": [("a", 1)] * 3},
        {"tensors": [("a", 1)] * 3},
        {"accesses": [(0, 0, INPUT, 5, None)] * 3},
    ],
)
def test_the_two_passes_are_as_long_as_each_other(rows: dict[str, Rows]) -> None:
    passes = copying.Passes(**{"kernels": [], "accesses": [], "tensors": [], **rows},
                            first_tensor=0)  # fmt: skip
    with pytest.raises(ValueError, match="is longer than argument"):
        copying.copies(passes, 1)


def test_the_first_of_its_name_has_no_number() -> None:
    passes = copying.Passes([("a", 1), ("a#2", 1)], [], [], 0)
    assert copying.copies(passes, 2).kernels == [("a#3", 1), ("a#4", 1)]
