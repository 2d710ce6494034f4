"""Where one instance runs: the part of a machine that it has, and samples of that part."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.figures.figure import Figure
from perfmodel.machine import Machine, load_machine
from perfmodel.machine.parts import one_domain
from perfmodel.mapping import Mapper, mapper_for, register_mapper, registry
from perfmodel.mapping.placement import join_path, placed, placed_values
from perfmodel.mapping.remote import losses, remote_share
from perfmodel.scenario import Scenario
from tests.mapping.test_software_terms import software

INSIDE = software(numa="domain", join="1 us")
ACROSS = software(join="1 us")


@pytest.mark.parametrize("sockets", [1, 2])
@pytest.mark.parametrize("cpu", ["xeon_6979p", "xeon_8490h", "epyc_9654"])
@pytest.mark.parametrize("runtime", [INSIDE, ACROSS])
def test_samples_of_typical_figures_are_those_of_the_part(
    cpu: str, sockets: int, runtime: object
) -> None:
    machine = load_machine(cpu, sockets=sockets)
    run = Scenario("fp32", runtime)  # type: ignore[arg-type]
    own = {**run.loaded.figures(), **placed(machine, run).figures()}
    whole = {**run.loaded.figures(), **machine.figures()}
    kinds = {path: expected.kind for path, expected in machine.settable().items()}
    values = {p: np.array([x.typical]) for p, x in whole.items() if kinds.get(p) != "count"}
    found = placed_values(values, machine, run)
    assert found.keys() == values.keys()
    for path, (value,) in found.items():
        assert value == pytest.approx(own[path].typical, rel=1e-12), path


def test_a_domain_s_threads_meet_those_of_all_domains_of_its_socket() -> None:
    for sockets in (1, 2):
        machine = load_machine("xeon_6979p", sockets=sockets)
        own = placed(machine, Scenario("fp32", INSIDE))
        assert own.cores.count.typical == one_domain(machine).cores.count.typical == 40
        assert own.figures()[join_path(Scenario("fp32", INSIDE))].typical == pytest.approx(3e-6)
    silent = Scenario("fp32", software(numa="domain", join=None))
    assert placed(machine, silent) == one_domain(machine)


def test_what_the_machine_says_of_its_join_counts() -> None:
    figure = Figure(1e-6, 2e-6, 3e-6, "s", "R", "test")
    machine = load_machine("xeon_6979p").with_values({"software.plain.join": figure})
    own = placed(machine, Scenario("fp32", INSIDE)).figures()["software.plain.join"]
    assert (own.low, own.typical, own.high) == pytest.approx((3e-6, 6e-6, 9e-6))


def share(machine: Machine, **how: object) -> float:
    """What an instance draws of the machine's memory."""
    own = placed(machine, Scenario("fp32", ACROSS, **how))  # type: ignore[arg-type]
    return own.memory.sustained.typical / machine.memory.sustained.typical


def test_an_instance_on_all_sockets_pays_for_the_memory_of_the_others() -> None:
    one, two = load_machine("xeon_6979p"), load_machine("xeon_6979p", sockets=2)
    assert placed(one, Scenario("fp32", ACROSS)) is one
    across = pytest.approx(remote_share(6, 2))
    assert share(two) == across
    assert share(two, instances=1) == across
    assert share(two, cores_per_instance=240) == across
    # What is divided is divided elsewhere.
    for divided in ({"instances": 2}, {"cores_per_instance": 60}):
        assert placed(two, Scenario("fp32", ACROSS, **divided)) is two  # type: ignore[arg-type]
        assert placed(one, Scenario("fp32", INSIDE, **divided)) is one  # type: ignore[arg-type]


@pytest.mark.parametrize(("domains", "sockets"), [(1, 1), (2, 1), (2, 2), (3, 1), (12, 4)])
def test_remote_bandwidth_is_the_harmonic_mean_of_where_the_pages_are(
    domains: int, sockets: int
) -> None:
    die, socket = (losses()[name].typical for name in ("other_die", "other_socket"))
    on_socket = domains // sockets
    paces = [1.0] + [1 / (1 - die)] * (on_socket - 1)
    paces += [1 / (1 - socket)] * (domains - on_socket)
    assert remote_share(domains, sockets) == pytest.approx(1 / np.mean(paces), rel=1e-12)


# -- which mapper ----------------------------------------------------------------------------------


def test_what_is_no_mapper_is_not_registered() -> None:
    for wrong in (object, "mapper", Mapper(load_machine("epyc_9654"))):
        with pytest.raises(PerfmodelError, match="expected a subclass of Mapper"):
            register_mapper("wrong", wrong)  # type: ignore[arg-type]
    assert "wrong" not in registry._mappers


def test_an_installed_package_brings_its_mapper(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Mapper):
        """From an entry point."""

    class Point:
        def load(self) -> type[Mapper]:
            return Own

    asked = []

    def entry_points(**of: str) -> list[Point]:
        asked.append(of)
        return [Point()]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    monkeypatch.setattr(registry, "_mappers", dict(registry._mappers))
    machine = load_machine("epyc_9654").model_copy(update={"mapper": "brought"})
    assert type(mapper_for(machine)) is Own
    assert type(mapper_for(machine)) is Own
    assert asked == [{"group": "perfmodel.mappers", "name": "brought"}]
