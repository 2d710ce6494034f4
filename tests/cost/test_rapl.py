"""Energy counters, against a powercap tree made for the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perfmodel.cost import package_power
from perfmodel.cost.rapl import Counter, NoCounter, counters, measure_energy
from perfmodel.cost.validation import power_point
from perfmodel.errors import PerfmodelError
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from tests.builder import Builder

RANGE = 262_143_328_850


@dataclass
class Fake:
    """A powercap tree and a clock: each run takes so long, and each package draws so much."""

    root: Path
    seconds: float = 0.5
    watts: dict[str, float] = field(default_factory=dict)
    now: float = 1000.0
    runs: int = 0

    def zone(self, name: str, package: str, energy_uj: int = 0, range_uj: int = RANGE) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{package}\n")
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        return folder

    def run(self) -> None:
        self.now += self.seconds
        self.runs += 1
        for name, watts in self.watts.items():
            path = self.root / name / "energy_uj"
            limit = int((self.root / name / "max_energy_range_uj").read_text())
            total = int(path.read_text()) + round(watts * self.seconds * 1e6)
            path.write_text(f"{total % (limit + 1)}\n")

    def clock(self) -> float:
        return self.now


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path / "powercap")


def test_every_package_is_counted_and_none_twice(fake: Fake) -> None:
    """Parts of a package, the same package over MMIO, and the platform are left out."""
    fake.zone("intel-rapl:0", "package-0")
    fake.zone("intel-rapl:1", "package-1")
    fake.zone("intel-rapl:0:0", "dram")
    fake.zone("intel-rapl-mmio:0", "package-0")
    fake.zone("intel-rapl:2", "psys")
    (fake.root / "dtpm").mkdir()
    fake.watts = {
        "intel-rapl:0": 200.0,
        "intel-rapl:1": 50.0,
        "intel-rapl:0:0": 30.0,
        "intel-rapl-mmio:0": 200.0,
        "intel-rapl:2": 400.0,
    }
    found = measure_energy(fake.run, fake.root, seconds=3.0, clock=fake.clock)
    assert (found.runs, found.seconds) == (6, 3.0)
    assert dict(found.packages) == pytest.approx({"package-0": 600.0, "package-1": 150.0})
    assert found.watts == pytest.approx(250.0)
    assert found.joules_per_run == pytest.approx(125.0)


def test_counters_come_by_the_names_of_their_packages(fake: Fake) -> None:
    """The kernel numbers zones as drivers register, not as sockets are numbered."""
    fake.zone("intel-rapl:0", "package-1")
    fake.zone("intel-rapl:1", "package-0")
    assert [c.name for c in counters(fake.root)] == ["package-0", "package-1"]
    fake.watts = {"intel-rapl:0": 10.0, "intel-rapl:1": 20.0}
    found = measure_energy(fake.run, fake.root, seconds=1.0, clock=fake.clock)
    assert found.packages == (("package-0", 20.0), ("package-1", 10.0))


def test_dies_of_one_package_are_counted_each(fake: Fake) -> None:
    fake.zone("intel-rapl:0", "package-0-die-0")
    fake.zone("intel-rapl:1", "package-0-die-1")
    assert [c.name for c in counters(fake.root)] == ["package-0-die-0", "package-0-die-1"]


def test_a_counter_that_begins_again_loses_nothing(fake: Fake) -> None:
    """Many times over in one measurement: each run is read."""
    fake.zone("intel-rapl:0", "package-0", energy_uj=2_000_000_000, range_uj=2_100_000_000)
    fake.watts = {"intel-rapl:0": 300.0}
    found = measure_energy(fake.run, fake.root, seconds=100.0, clock=fake.clock)
    assert found.joules == pytest.approx(300.0 * 100.0)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_one_run_is_enough_that_takes_as_long(fake: Fake, seconds: float) -> None:
    fake.zone("intel-rapl:0", "package-0")
    assert measure_energy(fake.run, fake.root, seconds=seconds, clock=fake.clock).runs == 1


@given(st.integers(0, RANGE), st.integers(0, RANGE))
@example(before=RANGE, added=1)
@example(before=RANGE, added=0)
def test_what_passed_is_what_was_added(before: int, added: int) -> None:
    counter = Counter("package-0", Path(), RANGE)
    assert counter.between(before, (before + added) % (RANGE + 1)) == added


def test_a_run_of_milliseconds_is_repeated_for_seconds(fake: Fake) -> None:
    fake.zone("intel-rapl:0", "package-0")
    fake.watts, fake.seconds = {"intel-rapl:0": 100.0}, 0.004
    found = measure_energy(fake.run, fake.root, clock=fake.clock)
    assert 2.0 <= found.seconds < 2.01
    assert found.runs == fake.runs >= 500
    assert found.joules_per_run == pytest.approx(0.4)


def test_a_run_so_long_that_the_counter_may_lap_is_refused(fake: Fake) -> None:
    fake.zone("intel-rapl:0", "package-0", range_uj=65_532_610_987)
    fake.seconds = 60.0
    # At 2 kW a counter of 120 kJ begins again within a minute at the earliest.
    fake.zone("intel-rapl:1", "package-1", range_uj=120_000_000_000)
    (fake.root / "intel-rapl:0" / "max_energy_range_uj").write_text("130000000000")
    assert measure_energy(fake.run, fake.root, clock=fake.clock).runs == 1
    (fake.root / "intel-rapl:0" / "max_energy_range_uj").write_text("65532610987")
    with pytest.raises(PerfmodelError, match=r"one run took 60 s, .* measure a shorter run"):
        measure_energy(fake.run, fake.root, clock=fake.clock)


def test_a_run_is_held_against_its_estimate(fake: Fake) -> None:
    """Half a second at 150 W for a batch of four is 18.75 J a sample."""
    b = Builder("layer", batch=4)
    b.linear(b.input(4 * 1024), 4, 1024, 1024)
    machine = load_machine("epyc_9654")
    run = estimate(b.workload(), machine, "fp32")
    fake.zone("intel-rapl:0", "package-0")
    fake.watts = {"intel-rapl:0": 150.0}
    found = power_point(fake.run, run, machine, 96, fake.root, clock=fake.clock)
    assert found.measured_j == pytest.approx(18.75)
    assert found.measured_w == pytest.approx(150.0)
    assert found.fps_per_watt == pytest.approx(1 / 18.75)
    modelled = package_power(run, machine)
    assert found.modelled_j == modelled.energy_j
    assert found.ratio == pytest.approx(found.modelled_j / 18.75)
    assert found.to_dict()["power_basis"] == "measured"


def test_no_powercap_tree_at_all(tmp_path: Path) -> None:
    with pytest.raises(NoCounter, match="no energy counter"):
        measure_energy(lambda: None, tmp_path / "absent")


def test_a_tree_without_packages(fake: Fake) -> None:
    fake.zone("intel-rapl:0", "psys")
    with pytest.raises(NoCounter, match="no RAPL package"):
        counters(fake.root)


def test_a_counter_that_may_not_be_read(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.zone("intel-rapl:0", "package-0")
    read = Path.read_text

    def denied(path: Path, *args: object, **kwargs: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **kwargs)  # type: ignore[arg-type]

    # Root, as in a container, may read what the mode forbids.
    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(NoCounter, match=r"energy_uj may not be read: .* root"):
        measure_energy(lambda: None, fake.root)


@pytest.mark.parametrize("text", ["", "many", "-3"])
def test_a_counter_that_is_no_number(fake: Fake, text: str) -> None:
    zone = fake.zone("intel-rapl:0", "package-0")
    (zone / "energy_uj").write_text(text)
    with pytest.raises(NoCounter, match="expected a count of microjoules"):
        measure_energy(lambda: None, fake.root)


def test_a_counter_that_goes_away(fake: Fake) -> None:
    zone = fake.zone("intel-rapl:0", "package-0")

    def unplug() -> None:
        (zone / "energy_uj").unlink()

    with pytest.raises(NoCounter, match="cannot be read"):
        measure_energy(unplug, fake.root)
