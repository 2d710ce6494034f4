"""What eager runtimes do beside a kernel; machines that state figures of a runtime themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import MachineError
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.unknowns import unknowns
from perfmodel.mapping.variants import latency_variants
from perfmodel.software import load_software
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.bound import EAGER

RUNTIME = """
base = "epyc_9654"
[software.eager.launch]
linear = "40 us"
matmul = "1 us"
[software.eager]
packing = 1
"""


def product(m: int, n: int, k: int) -> Workload:
    b = Builder()
    b.kernel("mm", "matmul", [b.input(m * k), b.input(k * n)], gemm=(1, m, n, k))
    return b.workload()


def layer(m: int, n: int, k: int) -> Workload:
    b = Builder()
    b.linear(b.input(m * k), m, n, k)
    return b.workload()


def overhead_us(workload: Workload, cpu: object = "epyc_9654", software: Any = EAGER) -> float:
    (kernel,) = estimate(workload, cpu, "fp32", state="cold", software=software).kernels  # type: ignore[arg-type]
    machine = load_machine(cpu)  # type: ignore[arg-type]
    region = machine.parallel_region
    shared = region.base.typical + region.per_doubling.typical * np.log2(kernel.cores)
    return kernel.overhead_ms * 1e3 - (shared * 1e6 if kernel.cores > 1 else 0.0)


def test_weights_are_packed_on_every_eager_call_with_several_rows() -> None:
    assert EAGER.packing is not None
    bandwidth = load_machine("epyc_9654").sustained_bandwidth
    # 64 MB of weights, cold: from memory, at what all cores draw.
    dispatch_us, times = 5.2, EAGER.packing.typical
    expected = dispatch_us + times * 4096 * 4096 * 4 / bandwidth * 1e6
    assert overhead_us(layer(64, 4096, 4096)) == pytest.approx(expected)
    assert overhead_us(layer(1, 4096, 4096)) == pytest.approx(dispatch_us)
    assert overhead_us(layer(64, 4096, 4096), software="ideal") == pytest.approx(1.5)


def test_packing_takes_as_long_however_many_instances_share_the_memory() -> None:
    """The threads of an instance copy, so that a share of the memory makes them no slower."""
    eager, whole = load_software("eager"), load_machine("epyc_9654")
    assert eager.packing is not None
    assert eager.packing_bandwidth is not None
    half = whole.with_values({"memory.sustained": whole.memory.sustained.typical / 2})
    weights, other = layer(64, 4096, 4096), eager.model_copy(update={"packing": None})
    copied = eager.packing.typical * 4096 * 4096 * 4 / (96 * eager.packing_bandwidth.typical) * 1e6
    for cpu in (whole, half):
        packing = overhead_us(weights, cpu, eager) - overhead_us(weights, cpu, other)
        assert packing == pytest.approx(copied)


def test_a_model_that_was_quantised_ahead_is_neither_packed_nor_laid_out_anew() -> None:
    eager = load_software("eager")
    rule = eager.precision["int8"]
    assert rule.packed
    # It has to be said of a precision that a model in it was prepared.
    unprepared = rule.model_copy(update={"packed": False})
    table = {**eager.precision, "int8": unprepared}
    other = eager.model_copy(update={"precision": table})
    b = Builder()
    b.linear(b.input(64 * 4096), 64, 4096, 4096)
    prepared, packing = (
        estimate(b.workload(), "epyc_9654", "int8", software=s).latency_ms for s in (eager, other)
    )
    assert eager.packing is not None
    assert eager.packing_bandwidth is not None
    copied = eager.packing.typical * 4096 * 4096 / (96 * eager.packing_bandwidth.typical) * 1e3
    assert packing - prepared == pytest.approx(copied, rel=1e-6)


def test_the_second_activation_of_a_product_is_packed_too() -> None:
    wide, tall = overhead_us(product(64, 8192, 512)), overhead_us(product(8192, 64, 512))
    dispatch = 1.2
    assert wide - dispatch > 5 * (tall - dispatch)


def test_outputs_that_are_mapped_anew_fault_when_written() -> None:
    mib = 2**20
    just, below = (
        estimate(product(1024, n, 1), "epyc_9654", "fp32", software=EAGER).latency_ms
        for n in (8 * 1024, 8 * 1024 - 16)
    )
    bandwidth = 13e9
    assert just - below == pytest.approx(32 * mib / bandwidth * 1e3, rel=0.02)


def test_a_machine_file_may_state_what_its_runtime_costs(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(RUNTIME)
    machine = load_machine(path)
    assert overhead_us(layer(1, 64, 64), machine) == pytest.approx(40)
    assert overhead_us(product(1, 64, 64), machine) == pytest.approx(1)
    assert overhead_us(layer(1, 64, 64), machine, "ideal") == pytest.approx(1.5)
    packed = overhead_us(layer(64, 4096, 4096), machine) - 40
    assert packed == pytest.approx(4096 * 4096 * 4 / machine.sustained_bandwidth * 1e6)
    # Samples of such a figure are of the machine, and move its estimates.
    seconds = np.array([10e-6, 30e-6])
    values = {"software.eager.launch.linear": seconds}
    fast, slow = latency_variants(layer(1, 64, 64), machine, values, "fp32", software=EAGER)
    assert slow - fast == pytest.approx(20e-3)


def test_a_runtime_s_own_figures_are_unknowns_of_that_runtime_alone(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    ranged = '{ low = "20 us", typical = "40 us", high = "50 us" }'
    path.write_text(RUNTIME.replace('"40 us"', ranged))
    machine = load_machine(path)
    wanted = "software.eager.launch.linear"
    assert wanted in [u.path for u in unknowns([machine], "eager")]
    assert wanted not in [u.path for u in unknowns([machine], "ideal")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[software.eager.launch]\ndefault = "1 us"\ncnv = "1 us"', "did you mean 'conv'"),
        ('[software.eager.launch]\ndefault = "1"', "a figure in no unit"),
        ('[software.eager.launch]\ndefault = "1 GB"', "a positive quantity with a unit of s"),
        ('[software.eager.lunch]\ndefault = "1 us"', "did you mean 'launch'"),
        ('[software.eagr.launch]\ndefault = "1 us"', "did you mean 'eager'"),
    ],
)
def test_a_runtime_that_is_wrong_is_said(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f'base = "epyc_9654"\n{text}\n')
    with pytest.raises(MachineError, match=expected):
        estimate(layer(1, 64, 64), path, "fp32", software="eager")


def test_an_eager_runtime_says_what_it_copies() -> None:
    eager, compiled = load_software("eager"), load_software("ideal")
    assert eager.packing is not None
    assert eager.fresh_output is not None
    assert (eager.packing.typical, eager.fresh_output.threshold.typical) == (2, 32 * 2**20)
    assert (compiled.packing, compiled.fresh_output) == (None, None)
