"""docs/machines.md: its examples load, and it leaves no field out."""

from __future__ import annotations

import re
from pathlib import Path

from perfmodel.figures.figure import CONFIDENCES
from perfmodel.figures.record import fields_of
from perfmodel.machine import catalogue, load_machine
from perfmodel.machine.catalog import _core_from_catalogue
from perfmodel.machine.rented import Family, Prices, Size, families, family

DOC = (Path(__file__).parents[2] / "docs" / "machines.md").read_text(encoding="utf-8")
TOML = re.findall(r"```toml\n(.*?)```", DOC, flags=re.DOTALL)


def test_examples_load(tmp_path: Path) -> None:
    first, whole = tmp_path / "first.toml", tmp_path / "whole.toml"
    first.write_text(TOML[0])
    whole.write_text(TOML[2])
    rented = tmp_path / "rented.toml"
    rented.write_text(TOML[1])
    assert load_machine(rented).price.launch is None
    assert load_machine(rented).cores.count.typical == 28
    assert load_machine(first).peak_bandwidth == 576e9
    machine = load_machine(whole)
    assert machine.cores_per_domain == 8
    assert machine.figures()["memory.sustained"].source.startswith("Micron")
    # The last example changes a core, the one before it shows two clock figures.
    whole.write_text(TOML[2].replace('core = "zen4"', "# core") + TOML[-1])
    assert load_machine(whole).core.cache_bandwidth.l3.typical == 24
    figures = tmp_path / "figures.toml"
    sources = '[sources]\nvendor = "the vendor"\nmine = "my notes"\n'
    figures.write_text(f'base = "epyc_9654"\n{sources}[clock]\n{TOML[3].rstrip()}')
    assert load_machine(figures).clock.sustained.is_range


def test_every_figure_is_documented() -> None:
    written = set(re.findall(r"`([a-z_0-9.*]+)`", DOC))
    for cpu in catalogue():
        for path in load_machine(cpu).figures():
            if path.startswith("software."):
                continue  # What it may state of software is in docs/software.md.
            generic = re.sub(r"^core\.", "", path)
            generic = re.sub(r"^engines\.\w+", "engines.*", generic)
            steps = generic.split(".")
            prefixes = {".".join(steps[:length]) for length in range(2, len(steps) + 1)}
            assert prefixes & written, path


def test_the_catalogue_is_listed_with_its_cores() -> None:
    rows = re.findall(r"^\| (`.*?`) \| (`.*?`) \|", DOC, flags=re.MULTILINE)
    listed = [
        (cpu, core.split(", ")[-1 if index else 0].strip("`"))
        for ids, core in rows
        for index, cpu in enumerate(re.findall(r"`([a-z_0-9]+)`", ids))
        if cpu in catalogue()
    ]
    assert sorted(cpu for cpu, _ in listed) == sorted(catalogue())
    for cpu, core in listed:
        assert load_machine(cpu).core == _core_from_catalogue(core), cpu


def test_every_confidence_is_explained() -> None:
    for letter in CONFIDENCES.keys() - {"stated"}:
        assert f"| {letter} |" in DOC


def test_instances_are_documented(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "instances.md").read_text(encoding="utf-8")
    family_file, negotiated = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "ours.toml").write_text(family_file)
    assert load_machine(f"{tmp_path}/ours.toml:our.small").cores.count.typical == 8
    assert load_machine(f"{tmp_path}/ours.toml:our.large").sockets == 1
    (tmp_path / "own.toml").write_text(negotiated)
    assert load_machine(tmp_path / "own.toml").rental is not None
    for name in families():
        found = family(name)
        assert name in text or found.name.removeprefix("Azure ") in text
        assert f"`{found.cpu}`" in text
    fields = {*fields_of(Family), *(f"sizes.NAME.{field}" for field in fields_of(Size))}
    fields |= {f"price.REGION.{field}" for field in fields_of(Prices)} - {"price.REGION.hour"}
    written = set(re.findall(r"`([A-Za-z_.]+)`", text)) | {"sizes", "price"}
    assert fields <= written
