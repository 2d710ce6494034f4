"""A workload that carries its own formats is mapped in them, whatever the precision of the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.machine import Machine
from perfmodel.mapping import Result, estimate
from perfmodel.mapping.kernel_table import KernelEstimate
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.workload.own_formats import narrowed
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload
from tests.builder import Builder
from tests.mapping.machines import machines
from tests.strategies import workloads

PRECISION = st.sampled_from(sorted(PRECISIONS))
ROWS, WIDE, DEEP = 64, 512, 256
LOOPS = (1, ROWS, WIDE, DEEP)
DEQUANTIZE = "quantized_decomposed.dequantize_per_tensor"


def plain() -> Workload:
    """A linear layer, and another behind it."""
    build = Builder("plain")
    hidden = build.kernel(
        "aten.linear",
        f.LINEAR,
        [build.input(ROWS * DEEP)],
        weights=(build.weight(DEEP * WIDE),),
        elements=ROWS * WIDE,
        gemm=LOOPS,
    )
    last(build, hidden)
    return build.workload()


def last(build: Builder, hidden: int) -> None:
    build.kernel(
        "aten.linear",
        f.LINEAR,
        [hidden],
        weights=(build.weight(WIDE * 8),),
        elements=ROWS * 8,
        gemm=(1, ROWS, 8, WIDE),
        name="last",
    )


def quantised(*, activation: bool = True, weight: bool = True, cast: bool = False) -> Workload:
    """The same as PT2E writes it: operands of one byte, widened in front of the first product."""
    build = Builder("quantised")
    source = build.input(ROWS * DEEP)
    if activation:
        narrow = build.tensor(ROWS * DEEP, itemsize=1, floating=False)
        build.kernel(
            "quantized_decomposed.quantize_per_tensor", f.ELEMENTWISE, [source], into=narrow
        )
        source = build.kernel(DEQUANTIZE, f.ELEMENTWISE, [narrow], elements=ROWS * DEEP)
    stored = build.tensor(DEEP * WIDE, "weight", 1, floating=False)
    if weight:
        widened = build.kernel(
            "aten.to" if cast else DEQUANTIZE,
            f.DATA_MOVEMENT if cast else f.ELEMENTWISE,
            [],
            weights=(stored,),
            elements=DEEP * WIDE,
        )
    else:
        widened = build.tensor(DEEP * WIDE)
    hidden = build.kernel(
        "aten.mm" if cast else "aten.linear",
        f.MATMUL if cast else f.LINEAR,
        [source, widened],
        elements=ROWS * WIDE,
        gemm=LOOPS,
        name="first",
    )
    last(build, hidden)
    return build.workload()


def _format(result: Result, name: str) -> str:
    table = result.kernel_table
    return table.formats[table.columns.inverse[table.workload.kernels.name.index(name)]]


def product(result: Result, name: str = "first") -> KernelEstimate:
    (found,) = (kernel for kernel in result.kernels if kernel.name == name)
    return found


@given(machines(), PRECISION)
def test_an_int8_product_of_the_program_is_one_of_the_float_model_in_int8(
    machine: Machine, precision: str
) -> None:
    own = estimate(quantised(), machine, precision, software="openvino")
    asked = estimate(plain(), machine, "int8", software="openvino")
    first, like = product(own), product(asked, "k0")
    assert (first.engine, first.flops) == (like.engine, like.flops)
    assert first.compute_ms == pytest.approx(like.compute_ms)


@given(machines(), PRECISION)
def test_the_rest_runs_in_the_precision(machine: Machine, precision: str) -> None:
    own = estimate(quantised(), machine, precision, software="openvino")
    asked = estimate(plain(), machine, precision, software="openvino")
    rest, like = product(own, "last"), product(asked, "last")
    assert (rest.engine, rest.flops) == (like.engine, like.flops)
    assert rest.compute_ms == pytest.approx(like.compute_ms)
    assert sum(own.flops_by_format().values()) == own.kernel_table.workload.flops
    (note,) = [note for note in own.notes if "the program states" in note]
    assert note.endswith(f"(int8), the rest in {precision}")


@given(machines(), st.sampled_from(["fp32", "bf16", "w8", "int8"]))
def test_narrow_weights_are_read_as_they_are_and_multiplied_wide(
    machine: Machine, precision: str
) -> None:
    own = estimate(quantised(activation=False), machine, precision, software="ideal")
    asked = estimate(
        plain(), machine, "bf16" if precision == "int8" else precision, software="ideal"
    )
    assert _format(own, "first") == _format(asked, "k0")
    assert product(own).flops == product(asked, "k0").flops
    assert {kernel.operator for kernel in own.kernels} & {DEQUANTIZE} == set()


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
def test_bytes_are_those_that_are_stored(precision: str) -> None:
    program = narrowed(quantised())
    (first,) = (i for i, name in enumerate(program.kernels.name) if name == "first")
    assert program.bytes(WEIGHT, precision)[first] == DEEP * WIDE
    assert program.bytes(INPUT, precision)[first] == ROWS * DEEP
    assert program.flops == quantised().flops
    assert DEQUANTIZE not in program.kernels.operator


def test_a_widened_weight_of_a_matrix_product_makes_it_a_linear_layer() -> None:
    program = narrowed(quantised(activation=False, cast=True))
    assert program.family_names() == (f.LINEAR, f.LINEAR)
    assert program.kernels.operator[0] == "aten.mm[narrow weight]"


def test_a_narrow_activation_alone_is_widened() -> None:
    workload = quantised(weight=False)
    assert narrowed(workload).kernels.operator == workload.kernels.operator


def test_what_others_read_too_is_still_widened() -> None:
    build = Builder()
    stored = build.tensor(DEEP * WIDE, "weight", 1, floating=False)
    widened = build.kernel(DEQUANTIZE, f.ELEMENTWISE, [], weights=(stored,), elements=DEEP * WIDE)
    build.kernel("aten.linear", f.LINEAR, [build.input(DEEP), widened], elements=WIDE, gemm=LOOPS)
    build.kernel("aten.add", f.ELEMENTWISE, [widened], elements=DEEP * WIDE)
    program = narrowed(build.workload())
    assert program.kernels.operator == (DEQUANTIZE, "aten.linear[narrow weight]", "aten.add")
    assert (program.accesses.role == OUTPUT).sum() == 3


@pytest.mark.parametrize(
    ("operator", "expected"), [("aten._int_mm", "int8"), ("aten._scaled_mm", "bf16")]
)
def test_operators_that_state_a_format(operator: str, expected: str) -> None:
    build = Builder()
    narrow = [build.tensor(64 * 64, "input", 1, floating=False) for _ in range(2)]
    build.kernel(operator, f.MATMUL, narrow, elements=64 * 64, gemm=(1, 64, 64, 64))
    for software in ("eager", "openvino"):
        result = estimate(build.workload(), "epyc_9654", "fp32", software=software)
        assert {fmt for _, fmt in result.flops_by_format()} == {expected}


@given(workloads())
def test_a_workload_without_formats_of_its_own_is_left_alone(workload: Workload) -> None:
    assert narrowed(workload) is workload
