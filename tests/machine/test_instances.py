"""Instances: what a part of a CPU has of it, prices, and files of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import MachineError, PerfmodelError, UnknownName
from perfmodel.machine import Machine, catalogue, load_machine
from perfmodel.machine.parts import MOST_SOCKETS, joined, one_socket, part_of, with_cores
from perfmodel.machine.rented import families, family, instances
from perfmodel.machine.schema import BANDWIDTH_PARTS

SLACK = 1 + 1e-9

#: Of each family whose CPU and rule are published: a size, its cores and its sockets.
KNOWN = {
    "c7i.8xlarge": (16, 1),
    "m7i.24xlarge": (48, 1),
    "r7i.48xlarge": (96, 2),
    "c7a.8xlarge": (32, 1),
    "m7a.48xlarge": (192, 2),
    "c8g.24xlarge": (96, 1),
    "m8g.48xlarge": (192, 2),
    "c8i.8xlarge": (16, 1),
    "m8i.96xlarge": (192, 2),
    "c6i.metal": (64, 2),
    "c3-standard-176": (88, 2),
    "c4-standard-192": (96, 2),
    "c4a-standard-72": (72, 1),
    "Standard_D192s_v6": (96, 2),
    "Standard_D96as_v6": (48, 1),
    "Standard_D96ps_v6": (96, 1),
}


@pytest.mark.parametrize("name", families())
def test_every_instance_has_its_own_memory_and_hourly_price_and_none_of_a_socket(name: str) -> None:
    for size, record in family(name).sizes.items():
        machine = load_machine(size)
        assert machine.id == size
        assert machine.rental is not None
        assert machine.rental.vcpus == record.vcpus
        assert machine.memory.capacity == record.memory
        assert machine.price.launch is None
        for region, price in machine.rental.price.items():
            assert region in family(name).price
            assert price.confidence in "VR"
            assert str(family(name).price[region].date) in price.source
        figures = (record.vcpus, record.memory)
        assert all(figure.confidence != "stated" for figure in figures)


@pytest.mark.parametrize(("name", "expected"), KNOWN.items())
def test_cores_and_sockets(name: str, expected: tuple[int, int]) -> None:
    machine = load_machine(name)
    assert (int(machine.cores.count.typical), machine.sockets) == expected


def test_an_instance_of_all_cores_is_the_socket_and_one_of_two_sockets_is_both() -> None:
    socket, whole, both = map(load_machine, ("xeon_8488c", "c7i.24xlarge", "c7i.48xlarge"))
    own = {"memory.capacity", "rental.vcpus", "rental.price.us-east-1"}
    theirs = {p: f for p, f in whole.figures().items() if p not in own}
    assert theirs == {p: f for p, f in socket.figures().items() if p not in own}
    two = joined(socket, 2)
    for path in ("cores.count", "cache.l3", "cache.l3_domains", "memory.bandwidth", "power.tdp"):
        assert both.figures()[path].typical == two.figures()[path].typical
    assert both.peak_bandwidth == 2 * socket.peak_bandwidth


@st.composite
def parts(draw: st.DrawFn) -> tuple[Machine, int]:
    cpu = load_machine(draw(st.sampled_from(catalogue())))
    return cpu, draw(st.integers(1, int(cpu.cores.count.typical)))


@given(parts())
def test_a_part_has_its_share_and_all_parts_together_no_more_than_the_socket(
    part: tuple[Machine, int],
) -> None:
    cpu, cores = part
    own, share = part_of(cpu, cores), cores / cpu.cores.count.typical
    assert own.peak_bandwidth == pytest.approx(cpu.peak_bandwidth * share)
    assert own.cache.l3.typical == pytest.approx(cpu.cache.l3.typical * share)
    assert own.power.tdp.typical == pytest.approx(cpu.power.tdp.typical * share)
    # A core reaches no more of a cache or a link than on the whole socket, at no other clock.
    assert own.l3_per_domain <= cpu.l3_per_domain * SLACK
    assert own.clock == cpu.clock
    if cpu.memory.per_domain is not None:
        links = [
            m.memory.per_domain.typical * m.cache.l3_domains.typical  # type: ignore[union-attr]
            for m in (own, cpu)
        ]
        assert links[0] == pytest.approx(links[1] * share)
    # What is shared with the CPU stays one unknown where rankings are sampled.
    assert own.memory.sustained == cpu.memory.sustained
    assert own.memory.bandwidth is not None
    factors = [getattr(cpu.memory, part) for part in BANDWIDTH_PARTS]
    if cpu.memory.bandwidth is None:
        assert own.memory.bandwidth.is_range == any(factor.is_range for factor in factors)
        # A factor that is sampled would win over the share that is listed.
        assert not any(getattr(own.memory, part).is_range for part in BANDWIDTH_PARTS)


@given(st.sampled_from(catalogue()), st.integers(2, MOST_SOCKETS))
def test_sockets_that_are_joined_have_all_of_each(cpu: str, sockets: int) -> None:
    one, many = load_machine(cpu), load_machine(cpu, sockets=sockets)
    assert many.sockets == sockets
    assert many.cores_per_socket == one.cores.count.typical
    assert many.numa_domains == sockets * one.numa_domains
    assert many.cores_per_numa_domain == one.cores_per_numa_domain
    assert many.peak_bandwidth == pytest.approx(sockets * one.peak_bandwidth)
    assert many.l3_per_domain == pytest.approx(one.l3_per_domain)
    apart = one_socket(many).figures()
    for path, own in one.figures().items():
        assert apart[path].typical == pytest.approx(own.typical), path
    for figure in ("tdp", "idle"):
        rating = getattr(one.power, figure).typical
        assert getattr(many.power, figure).typical == pytest.approx(sockets * rating)


def test_cores_that_one_socket_holds_are_on_one() -> None:
    one, two = load_machine("epyc_9654"), load_machine("epyc_9654", sockets=2)
    ours, theirs = (with_cores(machine, 24).figures() for machine in (two, one))
    for path, own in theirs.items():
        assert ours[path].typical == pytest.approx(own.typical), path


@pytest.mark.parametrize("sockets", [0, -1, MOST_SOCKETS + 1, True, 1.5])
def test_a_number_of_sockets_that_is_none(sockets: int) -> None:
    with pytest.raises(PerfmodelError, match="sockets: expected 1 to 16, found"):
        joined(load_machine("epyc_9654"), sockets)
    with pytest.raises(PerfmodelError, match=r"c7i.48xlarge has 2 sockets already"):
        load_machine("c7i.48xlarge", sockets=2)


OWN = """
provider = "Ours"
name = "Our cloud"
cpu = "epyc_9654"
vcpus_per_core = 2
[sizes]
"our.small" = { vcpus = 16, memory = "32 GiB" }
"our.large" = { vcpus = 96, memory = "192 GiB" }
[price.home]
date = 2026-01-01
hour = { "our.small" = "0.5 USD/h" }
"""


def test_a_file_of_instances_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "our.toml"
    file.write_text(OWN)
    small = load_machine(f"{file}:our.small")
    assert (small.id, small.cores.count.typical) == ("our.small", 8)
    assert small.rental is not None
    assert small.rental.price["home"].typical == pytest.approx(0.5 / 3600)
    large = load_machine(f"{file}:our.large")
    assert large.rental is not None
    assert large.rental.price == {}
    with pytest.raises(MachineError, match=r"our.toml has 2 sizes: name one, as in .*:our.small"):
        load_machine(file)
    with pytest.raises(UnknownName, match=r"did you mean 'our.small'"):
        load_machine(f"{file}:our.smal")
    file.write_text(OWN.replace('"our.large" = { vcpus = 96, memory = "192 GiB" }', ""))
    assert load_machine(str(file)) == load_machine(file) == small


def test_a_machine_file_may_rest_on_an_instance(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_text('base = "c7i.8xlarge"\nrental.price.us-east-1 = "1.1 USD/h"\n')
    own, theirs = load_machine(file), load_machine("c7i.8xlarge")
    assert own.rental is not None
    assert own.rental.price["us-east-1"].typical == pytest.approx(1.1 / 3600)
    assert own.cores == theirs.cores


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "vcpus = 16",
            "vcpus = 15",
            r"small.vcpus: 15 vCPUs at 2 a core; expected whole",
        ),
        ("vcpus = 16", "vcpus = 3202", r"sizes.our.small: 1601 cores on 17 sockets; expected an"),
        (
            "vcpus = 16",
            "vcpus = 386",
            r"sizes.our.small: 193 cores on 3 sockets; expected an",
        ),
        ('"0.5 USD/h"', '"-0.5 USD/h"', r"price.home.hour.our.small: .*; expected a positive"),
        ('"0.5 USD/h"', '"0.5 USD"', r"price.home.hour.our.small: .*cannot be read as USD/s"),
        ('{ "our.small" =', '{ "our.smal" =', r"no size 'our.smal'; expected one of sizes"),
        ("2026-01-01", '"soon"', r"price.home.date: 'soon'"),
        ("epyc_9654", "epyc_9655p", r"cpu: unknown CPU 'epyc_9655p'"),
        ('"32 GiB"', '"32"', r"sizes.our.small.memory: '32' has no unit"),
        ("vcpus_per_core", "vcpu_per_core", r"vcpu_per_core: unknown field \(did you mean 'vcpus_"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in OWN
    file = tmp_path / "our.toml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(PerfmodelError, match=expected) as caught:
        load_machine(f"{file}:our.small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["c7i.9xlarge", "c7i", "m8g.64xlarge", "Standard_D8as_v7"])
def test_an_unknown_instance_suggests_the_nearest(name: str) -> None:
    with pytest.raises(UnknownName, match="did you mean") as caught:
        load_machine(name)
    assert str(caught.value).split("'")[3] in instances()
