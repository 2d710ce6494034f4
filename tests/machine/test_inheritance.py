"""What a file takes over from the CPU it rests on, and what of that cannot be meant."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from perfmodel.machine import catalogue, load_machine
from perfmodel.machine.inheritance import Inheritance, inheritance


def taken(tmp_path: Path, text: str) -> Inheritance:
    file = tmp_path / "own.toml"
    file.write_text(text)
    found = inheritance(file)
    assert found is not None
    return found


def test_what_a_file_states_is_not_inherited(tmp_path: Path) -> None:
    found = taken(tmp_path, 'base = "epyc_9654"\n[memory]\ntransfer_rate = "6000 MT/s"\n')
    below = load_machine("epyc_9654").figures()
    # A listed peak does not hold for other memory, so it is not taken over either.
    gone = {"memory.transfer_rate", "memory.bandwidth"}
    assert found.figures == {path: figure for path, figure in below.items() if path not in gone}
    assert found.base == "epyc_9654"


def test_a_table_is_stated_figure_by_figure(tmp_path: Path) -> None:
    found = taken(tmp_path, 'base = "epyc_9654"\n[clock]\nbase = "2.3 GHz"\n')
    assert "clock.base" not in found.figures
    assert {"clock.sustained", "clock.max", "parallel_region.base"} <= found.figures.keys()


def test_another_core_is_stated_whole(tmp_path: Path) -> None:
    other = taken(tmp_path, 'base = "xeon_8280"\ncore = "cooper_lake"\n')
    assert not [path for path in other.figures if path.startswith("core.")]
    based = taken(tmp_path, 'base = "epyc_9654"\ncore = { base = "zen4", name = "Mine" }\n')
    assert not [path for path in based.figures if path.startswith("core.")]
    changed = 'base = "epyc_9654"\ncore.engines.avx512.efficiency.conv = 0.5\n'
    missing = load_machine("epyc_9654").figures().keys() - taken(tmp_path, changed).figures.keys()
    assert missing == {"core.engines.avx512.efficiency.conv"}


def test_a_file_without_a_base_inherits_nothing() -> None:
    catalog = resources.files("perfmodel.machine") / "catalog"
    assert inheritance(str(catalog / "epyc_9654.toml")) is None


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        # A rented part of a socket: neither its power nor its memory.
        ("cores.count = 16", ["power.tdp", "power.idle", "memory.capacity"]),
        ('clock.base = "2.2 GHz"', ["power.tdp", "power.idle"]),
        ("memory.channels = 4", ["memory.capacity"]),
        # The same chip, told otherwise.
        ('name = "Ours"', []),
        ("memory.sustained = 0.7", []),
        ("cores.count = 56", []),
        (
            'cores.count = 16\nwithout = ["price.launch", "memory.capacity"]\n'
            'power = { tdp = "100 W", idle = "30 W" }',
            [],
        ),
    ],
)
def test_what_cannot_be_meant_is_doubted(tmp_path: Path, text: str, doubted: list[str]) -> None:
    found = taken(tmp_path, f'base = "xeon_8480plus"\n{text}\n')
    assert [doubt.partition(":")[0] for doubt in found.doubts] == doubted
    if doubted[:1] == ["power.tdp"] and "cores" in text:
        assert found.doubts[0] == (
            "power.tdp: 350 W is that of xeon_8480plus, whose cores.count differs: state it"
        )


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("cores.count = 16", None),
        ('clock.max = "3.5 GHz"', None),
        ('cores.count = 16\nprice.launch = "4000 USD"', 4000.0),
        ('name = "Ours"', 10710.0),
        ("cores.count = 56", 10710.0),
    ],
)
def test_another_chip_never_has_the_list_price_of_its_base(
    tmp_path: Path, text: str, price: float | None
) -> None:
    found = taken(tmp_path, f'base = "xeon_8480plus"\n{text}\n')
    machine = load_machine(tmp_path / "own.toml")
    assert (machine.price.launch and machine.price.launch.typical) == price
    assert (found.left_out is not None) == (price is None)


@pytest.mark.parametrize("cpu", catalogue())
def test_the_catalogue_inherits_nothing_doubtful(cpu: str) -> None:
    file = resources.files("perfmodel.machine") / "catalog" / f"{cpu}.toml"
    found = inheritance(str(file))
    assert found is None or found.doubts == ()
