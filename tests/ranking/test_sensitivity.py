"""Sampling and sensitivity, held equal to SciPy's and SALib's own."""

from __future__ import annotations

import numpy as np
import pytest
from SALib.analyze import rbd_fast
from scipy import stats

from perfmodel.figures.figure import Figure
from perfmodel.mapping.unknowns import Samples, Unknown, latin_hypercube, triangular_quantile
from perfmodel.ranking.sensitivity import first_order_index, influences


def ishigami(x: np.ndarray) -> np.ndarray:
    a, b, c = (2 * np.pi * (x - 0.5)).T
    return np.asarray(np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a))


@pytest.mark.parametrize("count", [63, 256, 1001, 4096])
def test_an_index_is_that_of_salib(count: int) -> None:
    x = latin_hypercube(count, 3, seed=count)
    y = ishigami(x)
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0.0, 1.0]] * 3}
    expected = rbd_fast.analyze(problem, x, y, num_resamples=2)["S1"]
    found = [first_order_index(x[:, column], y) for column in range(3)]
    assert found == pytest.approx(list(map(float, expected)), rel=1e-9, abs=1e-12)


def test_the_indices_of_a_sum_are_the_shares_of_its_variance() -> None:
    x = latin_hypercube(4096, 3, seed=7)
    y = 3 * x[:, 0] + 1 * x[:, 1] + 100
    found = [first_order_index(x[:, column], y) for column in range(3)]
    assert found == pytest.approx([0.9, 0.1, 0.0], abs=0.02)


def test_a_constant_factor_on_a_ratio_decides_nothing() -> None:
    """Of thirty unknowns, three move the ratio: those are found, by whatever it is multiplied."""
    figure = Figure(low=1.0, typical=2.0, high=3.0, unit="")
    unit = latin_hypercube(256, 30, seed=3)
    named = tuple(Unknown((f"figure{i}",), figure, ()) for i in range(30))
    samples = Samples(named, unit, unit)
    ratio = unit[:, 4] + 0.5 * unit[:, 17] - 0.25 * unit[:, 29]
    plain = influences(samples, ratio, ("a", "b"))
    assert [found.unknown.paths[0] for found in plain] == ["figure4", "figure17", "figure29"]
    for offset in (1e6, -1e6):
        shifted = influences(samples, ratio + offset, ("a", "b"))
        assert [found.unknown for found in shifted] == [found.unknown for found in plain]
        shares = [found.share for found in shifted]
        assert shares == pytest.approx([found.share for found in plain], rel=1e-6)


@pytest.mark.parametrize(("count", "dimensions"), [(2, 1), (64, 7), (1000, 30)])
def test_samples_are_those_of_scipy(count: int, dimensions: int) -> None:
    expected = stats.qmc.LatinHypercube(d=dimensions, rng=count).random(count)
    assert np.array_equal(latin_hypercube(count, dimensions, count), expected)


def test_quantiles_are_those_of_scipy() -> None:
    share = latin_hypercube(500, 4, seed=1)
    mode = np.array([0.0, 0.25, 0.9, 1.0])
    expected = stats.triang.ppf(share, mode)
    assert triangular_quantile(share, mode) == pytest.approx(expected, rel=1e-12)
    assert triangular_quantile(np.array([0.0, 1.0]), np.array(0.3)).tolist() == [0.0, 1.0]
