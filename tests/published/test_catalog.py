from __future__ import annotations

import pytest

from perfmodel import published
from perfmodel.errors import UnknownName
from perfmodel.published.catalog import get_cpu


def test_all_eight_cpus_are_there() -> None:
    assert set(published.CPUS) == {
        "ampereone_192",
        "ampereone_128",
        "xeon_8490h",
        "xeon_8592plus",
        "epyc_9654",
        "epyc_9754",
        "granite_rapids",
        "epyc_turin",
    }


@pytest.mark.parametrize("cpu", published.CPUS.values(), ids=lambda cpu: cpu.id)
def test_listed_peak_is_cores_times_rate_times_clock(cpu: published.PublishedCpu) -> None:
    # The list is printed to three decimals.
    assert cpu.peak_ops_per_s / 1e12 == pytest.approx(cpu.peak_tops, abs=5.01e-4)


def test_granite_rapids_peak_is_not_the_rounded_one() -> None:
    assert published.CPUS["granite_rapids"].peak_ops_per_s == pytest.approx(209.7152e12, rel=1e-15)


def test_unknown_cpu_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'epyc_9654'"):
        get_cpu("epyc_9645")


def test_unknown_cpu_is_refused_before_the_model_is_traced() -> None:
    with pytest.raises(UnknownName, match="CPU of the published comparison 'xeon'"):
        published.estimate("no_such_model", "xeon")
