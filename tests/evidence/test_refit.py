"""What a fit finds is written where it is stated, and nowhere else."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import pytest

from perfmodel.evidence import refit
from perfmodel.evidence.parameters import Factor, software_factors

TEXT = """\
name = "Made up"
join = { low = "0.2 us", typical = "0.4 us", high = "0.8 us", confidence = "M", source = "fit" }
chunks = { low = 1, typical = 2, high = 3, confidence = "M", source = "measured" }

[efficiency.any]
conv = { low = 0.5, typical = 0.8, high = 1, confidence = "R", source = "analogy" }
linear = { low = 0.5, typical = 0.8, high = 1, confidence = "R", source = "analogy" }
"""
JOIN = Factor("join", "", ("software.*.join",), spread=0.5)
CONV = Factor("conv", "", ("software.*.conv",), spread=0.35)
ALL = Factor("all", "", ("software.*.conv",), spread=0.35)


def written(tmp_path: Path, by: dict[str, tuple[Factor, ...]]) -> dict[str, dict[str, object]]:
    file = tmp_path / "made.toml"
    file.write_text(TEXT)
    logs = {JOIN: math.log(2), CONV: math.log(1.1), ALL: math.log(2)}
    text = refit._rewritten(file, by, logs, {JOIN: 0.1, CONV: 0.34, ALL: 0.35})
    before, after = TEXT.splitlines(), text.splitlines()
    assert [a for a, b in zip(after, before, strict=True) if a != b]
    return tomllib.loads(text)


def test_a_figure_is_moved_with_its_unit_and_the_range_of_the_fit(tmp_path: Path) -> None:
    join = written(tmp_path, {"join": (JOIN,)})["join"]
    assert (join["typical"], join["confidence"], join["source"]) == ("0.8 us", "M", "fit")
    low, high = (float(str(join[end]).split()[0]) for end in ("low", "high"))
    assert high / low == pytest.approx(math.exp(2 * 1.645 * 0.1), rel=0.01)


def test_what_no_point_measured_is_an_analogy_and_no_efficiency_is_above_1(tmp_path: Path) -> None:
    table = written(tmp_path, {"efficiency.any.conv": (CONV, ALL)})["efficiency"]
    conv, linear = table["any"]["conv"], table["any"]["linear"]  # type: ignore[index]
    assert (conv["typical"], conv["high"]) == (1, 1)
    assert (conv["confidence"], conv["source"]) == ("R", "analogy")
    assert linear["typical"] == 0.8


def test_a_figure_of_another_source_is_not_moved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chunks: no figure of a fit"):
        written(tmp_path, {"chunks": (JOIN,)})


def test_values_of_factors_are_moved_alone() -> None:
    text = '[[factor]]\nname = "join"\nmeaning = "m"\nvalue = 0.31\nprior = 0.26\n'
    assert refit._with_value(text, JOIN, 2.0) == text.replace("0.31", "0.62")


def test_every_fitted_figure_can_be_written() -> None:
    factors = software_factors()
    logs, spreads = dict.fromkeys(factors, 0.0), {f: f.spread for f in factors}
    moved = 0
    for file, figures in refit._stated(factors).items():
        text = file.read_text(encoding="utf-8")
        # A fit that finds nothing leaves every typical figure where it is.
        again = refit._rewritten(file, figures, logs, spreads)
        assert _typical(again) == _typical(text), file.name
        moved += sum(bool(by) for by in figures.values())
    assert moved > 100


def _typical(text: str) -> list[str]:
    return re.findall(r"typical = ([^,]+),", text)
