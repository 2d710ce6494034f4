"""A workload's columns, each by hand from the kernels that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.machine import load_machine
from perfmodel.mapping import copies
from perfmodel.mapping.columns import Columns, columns
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.policies import effective
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.scenario import Scenario
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import FORMATS, get_precision
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload
from tests.builder import Builder
from tests.mapping.test_software_terms import linear, software


def of(build: Builder, precision: str = "fp32") -> Columns:
    """Columns in the order of the kernels, which all differ."""
    table = columns(build.workload(), get_precision(precision))
    return table.take(table.inverse)


def test_what_each_kernel_asks_for() -> None:
    b = Builder(batch=2)
    x = b.linear(b.input(3 * 5), 3, 7, 5)
    x = b.kernel("gelu", f.ACTIVATION, [x], elements=21, vector_ops=84)
    # Operations without loops, such as a Fourier transform's, are vectors' work.
    x = b.kernel("fft", f.ELEMENTWISE, [x], elements=21, flops=1000, vector_ops=10)
    b.kernel(
        "conv2d", f.DEPTHWISE_CONV, [x], weights=(b.weight(27),), gemm=(3, 7, 1, 9), elements=21
    )
    b.kernel("nothing", f.DATA_MOVEMENT, [], elements=0)
    table = of(b)
    families = [f.LINEAR, f.ACTIVATION, f.ELEMENTWISE, f.DEPTHWISE_CONV, f.DATA_MOVEMENT]
    assert [f.FAMILIES[code] for code in table.family] == families
    assert table.work.flops.tolist() == [2 * 3 * 7 * 5, 0, 0, 2 * 3 * 7 * 9, 0]
    assert table.work.vector_ops.tolist() == [0, 84, 1010, 0, 0]
    # Engines vectorise a depthwise convolution over its groups.
    ones = [1, 1, 1, 1]
    assert table.work.loops.tolist() == [[1, 3, 7, 5], ones, ones, [1, 7, 3, 9], ones]
    # The larger of what is read and what is written, and never none.
    assert table.work.elements.tolist() == [21, 21, 21, 21, 1]
    assert table.work.moved[WEIGHT].tolist() == [4 * 35, 0, 0, 4 * 27, 0]
    assert table.work.moved[INPUT].tolist() == [4 * 15, 4 * 21, 4 * 21, 4 * 21, 0]
    assert table.work.moved[OUTPUT].tolist() == [4 * 21, 4 * 21, 4 * 21, 4 * 21, 0]
    assert table.elements(INPUT).tolist() == [15, 21, 21, 21, 0]
    assert table.elements(WEIGHT).tolist() == [35, 0, 0, 27, 0]
    assert table.elements(OUTPUT).tolist() == [21, 21, 21, 21, 0]
    assert table.count.tolist() == [1] * 5
    assert (table.batch, table.resident_bytes) == (2, 4 * (35 + 27))


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
def test_which_operand_of_a_product_is_packed(precision: str, size: int) -> None:
    b = Builder()
    b.linear(b.input(3 * 5), 3, 7, 5)
    b.linear(b.input(2 * 5), 2, 7, 5)
    b.linear(b.input(5), 1, 7, 5)  # of one row: read as it is
    b.kernel("mm", f.MATMUL, [b.input(3 * 5), b.input(5 * 7)], gemm=(1, 3, 7, 5))
    b.kernel("mm", f.MATMUL, [b.input(5), b.input(5 * 7)], gemm=(1, 1, 7, 5))
    b.kernel("conv2d", f.CONV, [b.input(45)], weights=(b.weight(63),), gemm=(1, 5, 7, 9))
    b.kernel("conv2d", f.POINTWISE_CONV, [b.input(45)], weights=(b.weight(9),), gemm=(1, 5, 1, 9))
    b.kernel("conv2d", f.DEPTHWISE_CONV, [b.input(45)], weights=(b.weight(27),), gemm=(3, 5, 1, 9))
    b.kernel("attention", f.ATTENTION, [b.input(45)], gemm=(1, 3, 5, 3))
    b.kernel("add", f.ELEMENTWISE, [b.input(8)], elements=8, vector_ops=8)
    weight, activation = of(b, precision).second
    assert (weight / size).tolist() == [35, 35, 0, 0, 0, 63, 9, 0, 0, 0]
    assert (activation / size).tolist() == [0, 0, 0, 35, 0, 0, 0, 0, 0, 0]


def test_what_a_program_states_is_a_format_and_all_else_is_the_precision_s() -> None:
    b = Builder()
    for number, operator in enumerate(
        ("aten.mm", "aten._int_mm", "aten._scaled_mm", "aten._weight_int8pack_mm")
    ):
        gemm = (1, 8, 16, 16 * (number + 1))
        b.kernel(operator, f.LINEAR, [b.input(64)], weights=(b.weight(64),), gemm=gemm)
    b.kernel("add", f.ELEMENTWISE, [b.input(8)], elements=8, vector_ops=8)
    int8, bf16 = FORMATS.index("int8"), FORMATS.index("bf16")
    assert of(b, "fp32").stated.tolist() == [-1, int8, bf16, -1, -1]
    # Narrow weights beside wide activations are multiplied in no less than 16 bits.
    assert of(b, "int8").stated.tolist() == [-1, int8, bf16, bf16, -1]
    (default, rest), *own = of(b, "fp32").arithmetic()
    assert default == get_precision("fp32").arithmetic
    assert rest.tolist() == [True, False, False, True, True]
    assert [(set(formats), chosen.tolist()) for formats, chosen in own] == [
        ({"bf16"}, [False, False, True, False, False]),
        ({"int8"}, [False, True, False, False, False]),
    ]


def test_kernels_that_are_alike_are_one_column() -> None:
    b = Builder()
    for _ in range(3):
        b.linear(b.input(64), 1, 64, 64)
    b.linear(b.input(64), 1, 32, 64)
    table = columns(b.workload(), get_precision("fp32"))
    assert sorted(table.count.tolist()) == [1.0, 3.0]
    assert table.count[table.inverse].tolist() == [3.0, 3.0, 3.0, 1.0]


# -- what software asks for, by precision and machine ----------------------------------------------


def test_what_a_software_runs_is_made_once_for_all_that_it_is_the_same_for() -> None:
    workload, epyc = linear(64), load_machine("epyc_9654")
    run = Scenario("fp32", software(fusion=["linear_activation"]))
    fused, table = prepare(workload, run, epyc)
    again = prepare(workload, run, load_machine("xeon_8490h"))
    assert (again[0], again[1]) == (fused, table)
    assert again[1] is table
    # Of another precision the kernels are the same, and what they move is not.
    narrow, other = prepare(workload, Scenario("int8", run.software), epyc)
    assert narrow is fused
    assert other.work.moved.sum() < table.work.moved.sum()
    # Of other rules they are others.
    plain, _ = prepare(workload, Scenario("fp32", software()), epyc)
    assert plain is not fused


def test_a_policy_that_software_changes_is_not_to_be_written_to() -> None:
    found = effective(get_precision("int8"), software(widens=True), load_machine("xeon_8280"))
    for bits in (found.weight_bits, found.input_bits, found.output_bits):
        with pytest.raises(ValueError, match="read-only"):
            bits[0] = 1


def test_an_engine_that_software_leaves_out_has_no_16_bits_for_it() -> None:
    int8, xeon = get_precision("int8"), load_machine("xeon_8490h")
    for without, bits in (((), 16), (("amx",), 16), (("amx", "avx512"), 32)):
        found = effective(int8, software(widens=True, without=without), xeon)
        assert found.output_bits[f.CODE[f.NORM]] == bits, without
        assert found.input_bits[f.CODE[f.NORM]] == bits, without


# -- terms of software that copies, one at a time --------------------------------------------------


def convolution(groups: int = 1, batch: int = 1) -> Workload:
    b = Builder(batch=batch)
    gemm = (groups, 100, 8, 72)
    b.kernel("conv2d", f.CONV, [b.input(6400)], weights=(b.weight(576),), gemm=gemm, elements=800)
    return b.workload()


RATE = np.full((1, 1), 1e9)
CORES = np.array([[1.0], [4.0]])


def copied(workload: Workload, name: str, **fields: object) -> list[float]:
    """Seconds beside the kernel on one core and on four, at 10**9 operations a second."""
    mapper: Mapper = mapper_for(load_machine("epyc_9654"))
    table = columns(workload, get_precision(name))
    applied = mapper.applied(software(**fields))
    traffic = mapper.traffic(table, "cold", CORES)
    found = copies.copies(table, applied, traffic, RATE, CORES, 4)
    return np.broadcast_to(found, (2, 1))[:, 0].tolist()


@pytest.mark.parametrize(
    ("fields", "fp32", "bf16"),
    [
        ({}, 0.0, 0.0),
        # Of elements read and written, on all cores: changing their layout, and their format.
        ({"relayout": 2.0}, 2 * 7200, 2 * 7200),
        ({"relayout": 2.0, "conversion": 3.0}, 2 * 7200, 5 * 7200),
        ({"conversion": 3.0}, 0.0, 0.0),
        ({"touching": "1 GB/s"}, 4 * 7200, 2 * 7200),
        # Once for all threads that copy.
        ({"packing": 2.0, "packing_bandwidth": "1 GB/s"}, 2 * 4 * 576, 2 * 2 * 576),
    ],
)
def test_a_term_of_a_convolution_by_hand(
    fields: dict[str, object], fp32: float, bf16: float
) -> None:
    for precision, nanoseconds in (("fp32", fp32), ("bf16", bf16)):
        one, four = copied(convolution(), precision, **fields)
        assert one == pytest.approx(nanoseconds * 1e-9, rel=1e-12)
        assert four == pytest.approx(nanoseconds * 1e-9 / 4, rel=1e-12)


def test_an_output_from_the_threshold_on_is_fresh_whatever_the_threads() -> None:
    for threshold, fresh in ((3200, True), (3201, False)):
        record = {"threshold": f"{threshold} B", "bandwidth": "1 GB/s"}
        found = copied(convolution(), "fp32", fresh_output=record)
        assert found == pytest.approx([3200e-9 if fresh else 0.0] * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "precision", "converts"),
    [(1, "bf16", True), (2, "bf16", False), (1, "fp32", False)],
)
def test_a_matrix_of_one_row_is_converted_element_by_element(
    rows: int, precision: str, converts: bool
) -> None:
    found = copied(linear(rows, 64), precision, conversion=3.0)
    operations = 3 * 64 * 64 * converts
    assert found == pytest.approx([operations * 1e-9, operations * 1e-9 / 4], rel=1e-12)


def test_a_model_that_was_prepared_changes_no_layout() -> None:
    packed = {"fp32": {"packed": True}}
    fields = {"packing": 2.0, "packing_bandwidth": "1 GB/s", "relayout": 2.0}
    assert copied(convolution(), "fp32", **fields, precision=packed) == [0.0, 0.0]
    assert min(copied(convolution(), "bf16", **fields, precision=packed)) > 0


def test_convolutions_in_groups_and_of_several_samples_go_to_the_library() -> None:
    native = {"launch": "1 ns", "batch": 16, "elements": 6400}
    fields = {"relayout": 2.0, "native_convolution": native}
    assert copied(convolution(), "fp32", **fields) == [0.0, 0.0]
    for workload in (convolution(groups=2), convolution(batch=2)):
        assert min(copied(workload, "fp32", **fields)) > 0
    native["elements"] = 6399
    assert min(copied(convolution(), "fp32", **fields)) > 0
