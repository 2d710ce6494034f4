"""Which level tensors come from, by hand: what must fit where, from the figures of the machine."""

from __future__ import annotations

import pytest

from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import estimate, mapper_for
from perfmodel.mapping.columns import columns
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.closed_forms import usable_l3

#: Bytes of an element in FP32, and of one in BF16.
FP32, BF16 = 4, 2
EPYC, XEON = "epyc_9654", "xeon_8490h"


def product(m: int, n: int, k: int) -> Workload:
    b = Builder()
    b.linear(b.input(m * k), m, n, k)
    return b.workload()


def input_level(workload: Workload, machine: Machine) -> str:
    """Level of the input of a product in FP32, which all its cores share."""
    found = estimate(workload, machine, "fp32")
    assert found.active_cores >= machine.cache.l3_domains.typical
    return found.levels(0)["input"]


@pytest.mark.parametrize(("share", "level"), [(0.95, "L3"), (1.05, "DRAM")])
def test_what_complexes_share_is_in_their_caches_if_it_and_the_weights_fit(
    share: float, level: str
) -> None:
    """A part of the input each, and the whole of the weights: 240 x n x 65536, n about 80."""
    machine = load_machine(EPYC)
    m, k = 240, 65536
    own_part = m * k * FP32 / machine.cache.l3_domains.typical
    n = int((share * usable_l3(machine) - own_part) / (k * FP32))
    assert own_part < 0.5 * usable_l3(machine)
    assert input_level(product(m, n, k), machine) == level


@pytest.mark.parametrize(("share", "level"), [(0.95, "L3"), (1.05, "DRAM")])
def test_what_complexes_write_takes_room_beside_what_they_share(share: float, level: str) -> None:
    """Each writes its part of the output, and no more of it than that."""
    machine = load_machine(EPYC)
    n, k = 4096, 16
    written = share * usable_l3(machine) * machine.cache.l3_domains.typical
    m = int(written / (FP32 * (n + k)))
    assert input_level(product(m, n, k), machine) == level


def attention(samples: int, heads: int, length: int, width: int) -> Workload:
    """A token of each sample against a cache of keys and values that outlives the run."""
    b = Builder(batch=samples)
    state = b.tensor(2 * samples * heads * length * width, "state")
    b.kernel(
        "attention",
        f.ATTENTION,
        [b.input(samples * heads * width), state],
        gemm=(samples * heads, 1, length, width),
        flops=4 * samples * heads * length * width,
        elements=samples * heads * width,
    )
    return b.workload()


@pytest.mark.parametrize(("share", "level"), [(0.9, "L3"), (1.1, "DRAM")])
def test_keys_and_values_are_split_over_the_complexes_by_sample_and_head(
    share: float, level: str
) -> None:
    """Of 32 heads with 16 keys each, a complex of twelve holds a twelfth, not all."""
    machine = load_machine(EPYC)
    heads, length, width = 32, 16, 64
    room = usable_l3(machine) * machine.cache.l3_domains.typical
    samples = int(share * room / (2 * heads * length * width * BF16))
    found = estimate(attention(samples, heads, length, width), machine, "bf16")
    assert found.levels(0)["weight"] == level


def test_one_head_that_no_complex_can_split_is_copied_into_each() -> None:
    machine = load_machine(EPYC)
    width = int(2 * usable_l3(machine) / (2 * 16 * BF16))
    assert estimate(attention(1, 1, 16, width), machine, "bf16").levels(0)["weight"] == "DRAM"
    assert estimate(attention(16, 1, 16, width // 16), machine, "bf16").levels(0)["weight"] == "L3"


@pytest.mark.parametrize("cpu", [XEON, EPYC])
@pytest.mark.parametrize(("share", "level"), [(0.9, "L3"), (1.1, "DRAM")])
def test_weights_stay_in_the_cache_only_next_to_the_largest_activations(
    cpu: str, share: float, level: str
) -> None:
    """Weights take 0.6 of it; a later kernel's operands take the rest, or more than that."""
    machine = load_machine(cpu)
    room = usable_l3(machine) * machine.cache.l3_domains.typical
    width = 4096
    b = Builder()
    b.linear(b.input(width), 1, int(0.6 * room / (width * FP32)), width)
    moved = int((share - 0.6) * room / FP32 / 2)
    # Smaller ones do not add to it: they are not there at the same time.
    for elements in (moved // 4, moved, moved // 2, moved // 2):
        b.kernel("relu", f.ACTIVATION, [b.input(elements)], elements=elements, vector_ops=elements)
    found = estimate(b.workload(), machine, "fp32", software="eager")
    assert found.levels(0)["weight"] == level


@pytest.mark.parametrize("domains", [1, 2, 12])
def test_a_domain_holds_its_share_of_what_can_be_split(domains: int) -> None:
    """Weights by blocks of 16 output channels; one block is in each of the domains."""
    mapper = mapper_for(load_machine(EPYC).with_values({"cache.l3_domains": domains}))

    def held(workload: Workload) -> float:
        return mapper.resident_weights(columns(workload, get_precision("fp32")))

    for n, blocks in ((16, 1), (17, 2), (32, 2), (16 * 12, 12), (16 * 100, 100)):
        assert held(product(8, n, 64)) == pytest.approx(n * 64 * FP32 / min(domains, blocks))
    whole = 2 * 16 * 64 * FP32
    assert held(attention(1, 1, 16, 64)) == pytest.approx(whole)
    assert held(attention(4, 3, 16, 64)) == pytest.approx(4 * 3 * whole / domains)
    assert held(attention(2, 1, 32, 64)) == pytest.approx(4 * whole / min(domains, 4))
    b = Builder()
    b.kernel("add", f.ELEMENTWISE, [b.input(64)], elements=64, vector_ops=64)
    assert held(b.workload()) == 0.0
    # What two kernels share is there once.
    x, weight = b.input(8 * 64), b.weight(64 * 64)
    for _ in range(2):
        x = b.kernel("linear", f.LINEAR, [x], weights=(weight,), gemm=(1, 8, 64, 64))
    assert held(b.workload()) == pytest.approx(64 * 64 * FP32 / min(domains, 4))


@pytest.mark.parametrize("cpu", [XEON, EPYC])
def test_a_cold_run_finds_no_weights_in_any_cache(cpu: str) -> None:
    workload = product(8, 256, 256)
    steady, cold = (
        estimate(workload, cpu, "fp32", state=state).levels(0)["weight"]
        for state in ("steady", "cold")
    )
    assert (steady, cold) == ("L3", "DRAM")
