"""Spaces: how points are numbered, what may vary, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError
from perfmodel.exploration import read_space
from perfmodel.exploration.space import BLOCK, Drawn, variant_values

SPACE: dict[str, Any] = {
    "models": ["resnet50"],
    "cpus": ["epyc_9654"],
    "figures": {
        "cores.count": [32, 64],
        "memory.transfer_rate": {"low": "4800 MT/s", "high": "8800 MT/s", "count": 5},
    },
    "sampled": {"memory.sustained": {"low": 0.6, "high": 0.9}},
    "samples": 100,
}


def test_every_combination_is_a_point() -> None:
    space = read_space(SPACE | {"precisions": ["int8", "fp32"], "batches": [1, 4]})
    assert [len(values) for values in space.grid.values()] == [2, 5]
    assert space.points == 2 * 2 * 2 * 5 * 100
    first = space.values(space.cells[0], 0, 10)
    pairs = set(zip(first["cores.count"], first["memory.transfer_rate"], strict=True))
    assert len(pairs) == 10
    assert len(set(first["memory.sustained"])) == 1


@settings(max_examples=100)
@given(st.integers(0, 3 * BLOCK * 6 - 1), st.integers(1, 500))
def test_a_variant_has_its_figures_whichever_others_are_asked_for(start: int, count: int) -> None:
    grid = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([5.0, 6.0])}
    drawn = (Drawn("c", 1, 2), Drawn("d", 1, 100, log=True), Drawn("e", 1, 9, False, 4.0))
    total = 3 * BLOCK * 6
    stop = min(start + count, total)
    some = variant_values(grid, drawn, 3 * BLOCK, 7, start, stop)
    one = variant_values(grid, drawn, 3 * BLOCK, 7, stop - 1, stop)
    for path, values in some.items():
        assert len(values) == stop - start
        assert values[-1] == one[path][0]


def test_a_block_of_samples_is_a_latin_hypercube() -> None:
    found = variant_values({}, (Drawn("a", 0, 1), Drawn("b", 1, 16, log=True)), BLOCK, 3, 0, BLOCK)
    for share in (found["a"], np.log2(found["b"]) / 4):
        assert sorted((share * BLOCK).astype(int)) == list(range(BLOCK))


def test_the_ranges_of_a_file_are_drawn_between_their_ends() -> None:
    space = read_space({**SPACE, "figures": {}, "sampled": {}, "file_ranges": True})
    found = space.values(space.cells[0], 0, 100)
    assert len(found) > 10
    for drawn in space.drawn["epyc_9654"]:
        assert drawn.low <= found[drawn.path].min() <= found[drawn.path].max() <= drawn.high


def test_counts_are_whole_and_logarithmic_steps_are_equal_factors() -> None:
    space = read_space(
        SPACE
        | {
            "figures": {
                "cores.count": {"low": 16, "high": 96, "count": 7},
                "cache.l3": {"low": "64 MiB", "high": "1 GiB", "count": 5, "scale": "log"},
            }
        }
    )
    assert all(value == round(value) for value in space.grid["cores.count"])
    assert np.diff(np.log2(space.grid["cache.l3"])) == pytest.approx(1)


def test_the_digest_is_of_all_that_decides_the_points() -> None:
    assert read_space(SPACE).digest == read_space(dict(SPACE)).digest
    others = ({"seed": 1}, {"samples": 101}, {"cpus": ["xeon_8490h"]}, {"batches": [2]})
    assert len({read_space(SPACE | other).digest for other in ({}, *others)}) == 5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cpus": ["epyc_9645"]}, "epyc_9654"),
        ({"cpus": []}, "cpus"),
        ({"modles": ["resnet50"]}, "modles"),
        ({"figures": {"cores.cuont": [1]}}, "cores.count"),
        ({"figures": {"cores.count": []}}, "no values"),
        ({"figures": {"cores.count": [1.5]}}, "whole number"),
        ({"figures": {"cores.count": [0]}}, "cores.count"),
        ({"figures": {"memory.transfer_rate": ["4800 MB"]}}, "MB"),
        ({"figures": {"price.launch": ["4800 USD"]}}, "moves no time"),
        ({"figures": {"cache.l3": {"low": "2 GiB", "high": "1 GiB"}}}, "below high"),
        ({"figures": {"memory.sustained": [0.7]}}, "both crossed and sampled"),
        ({"software": ["openvyno"]}, "openvino"),
        ({"constraints": ["import os"]}, "arithmetic"),
        ({"samples": 0}, "samples"),
        ({"batches": [0]}, "batch"),
        ({"batches": []}, "batches: .*at least one"),
        ({"precisions": []}, "precisions: .*at least one"),
        ({"software": []}, "software: .*at least one"),
        ({"seed": -1}, "seed: -1"),
        ({"figures": {"cores.count": {"low": 8, "high": 64, "count": 1}}}, "count: 1; expected"),
        (
            {"figures": {"cache.l3": {"low": "1 MiB", "high": "1 GiB", "count": 10**12}}},
            "count: 10",
        ),
        ({"figures": {"cache.l1d": [True]}}, "True"),
        # Twelve domains of a cache need as many cores, whichever value of the list is first.
        ({"figures": {"cores.count": [64, 8]}}, "12 domains for 8 cores"),
        (
            {"figures": {}, "sampled": {"cores.count": {"low": 8, "high": 64}}},
            "domains for 8 cores",
        ),
        # A figure of one software, in a space that has two.
        (
            {"software": ["openvino", "eager"], "figures": {"software.openvino.join": ["1 us"]}},
            "figure of eager",
        ),
        ({"derived": {"latency_ms": "1"}}, "derived.latency_ms is a column already"),
        ({"derived": {"cores.count": "1"}}, "derived.cores.count is a column already"),
        ({"minimise": []}, "nothing to minimise"),
    ],
)
def test_what_makes_no_sense_is_one_line(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(PerfmodelError, match=expected) as caught:
        read_space(SPACE | change)
    assert "\n" not in str(caught.value)
