"""Which machines are alike follows from what they are, never from what they are called."""

from __future__ import annotations

import pytest

from perfmodel.certainty import identity, interval, of_run
from perfmodel.evidence.left_out import left_out
from perfmodel.machine import catalogue, load_machine
from perfmodel.machine.rented import instances
from perfmodel.machine.tables import Calibration
from perfmodel.scenario import Scenario


@pytest.mark.parametrize("cpu", catalogue())
def test_a_cpu_of_another_name_is_as_certain(cpu: str) -> None:
    machine = load_machine(cpu)
    called = machine.model_copy(update={"name": "Our Arm part"})
    assert identity(called) == identity(machine)
    for software, precision in (("openvino", "int8"), ("eager", "bf16")):
        run = Scenario(precision, software=software)
        assert of_run(called, run, None) == of_run(machine, run, None)


@pytest.mark.parametrize("name", {family: name for name, family in instances().items()}.values())
def test_an_instance_has_the_vendor_of_its_cpu(name: str) -> None:
    machine = load_machine(name)
    assert machine.rental is not None
    assert identity(machine).vendor == identity(load_machine(machine.rental.cpu)).vendor != ""


def test_every_cpu_that_was_measured_has_a_vendor() -> None:
    unnamed = {cpu for cpu in catalogue() if not identity(load_machine(cpu)).vendor}
    assert unnamed == {"neoverse_n2_96"}  # Its source does not say whose it is.
    assert not unnamed & {point.machine for point in left_out()}


def test_a_vendor_that_nothing_states_is_said() -> None:
    machine = load_machine("neoverse_n2_96")
    found = interval("openvino", "single", identity(machine), "int8")
    assert found.reason.startswith("no (vendor not stated) CPU measured")
    assert identity(machine.model_copy(update={"vendor": "AWS"})).vendor == "AWS"


def test_a_calibration_counts_in_the_precisions_it_was_made_in() -> None:
    record = Calibration(
        date="2026-01-01",
        measurements="m.toml",
        rows=9,
        error=0.05,
        precisions=("fp32",),
        runtimes=("eager",),
        parameters={},
        residuals={},
        software={},
    )
    machine = load_machine("epyc_9654").model_copy(update={"calibration": record})
    own, other = (
        of_run(machine, Scenario(precision, software="eager"), None)
        for precision in ("fp32", "bf16")
    )
    assert own.provenance == "measured"
    assert other.provenance == "transferred"
    assert other.high > own.high


def test_a_chip_is_what_its_descriptions_have_in_common() -> None:
    """Faster modules and another owner leave it; more channels, cores or clock are another."""
    known = load_machine("epyc_9654")
    faster = known.with_values({"memory.transfer_rate": "5280 MT/s"})
    assert identity(faster).own == identity(known).own
    assert (
        identity(load_machine("c4a-standard-72")).own == identity(load_machine("google_axion")).own
    )
    others = [
        known.with_values({path: value})
        for path, value in (("cores.count", "95"), ("clock.max", "3.6 GHz"))
    ]
    others += [load_machine("ampereone_192"), load_machine("ampereone_m_192")]
    assert len({identity(machine).own for machine in (known, *others)}) == 5
