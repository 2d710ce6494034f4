from __future__ import annotations

import pytest

from perfmodel.errors import MachineError, UnknownName
from perfmodel.machine import load_machine
from perfmodel.machine.settings import with_settings


def test_settings_change_the_machine_they_name() -> None:
    machines = [load_machine("xeon_8490h"), load_machine("epyc_9654")]
    intel, amd = with_settings(
        machines, ["epyc_9654.memory.bandwidth=576 GB/s", 'epyc_9654.clock.sustained = "3 GHz"']
    )
    assert intel is machines[0]
    assert amd.peak_bandwidth == 576e9
    assert amd.clock.sustained.typical == 3e9
    assert amd.clock.sustained.confidence == "stated"


def test_an_id_with_dots_is_matched_whole() -> None:
    plain = load_machine("epyc_9654")
    dotted = plain.model_copy(update={"id": "epyc_9654.v2"})
    first, second = with_settings([plain, dotted], ["epyc_9654.v2.cores.count=64"])
    assert (first.cores.count.typical, second.cores.count.typical) == (96, 64)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("epyc_9654.memory.bandwith=1 GB/s", MachineError, r"did you mean 'memory\.bandwidth'"),
        ("epyc_9654.memory.bandwidth=1 GHz", MachineError, "GHz"),
        ("epyc_9654.memory.bandwidth=-1 GB/s", MachineError, "positive"),
        ("epyc_9645.memory.bandwidth=1 GB/s", UnknownName, "did you mean 'epyc_9654'"),
        ("epyc_9654.memory.bandwidth", MachineError, r"expected ID\.PATH=VALUE"),
        ("bandwidth=1 GB/s", MachineError, r"expected ID\.PATH=VALUE"),
    ],
)
def test_a_bad_setting_is_one_clear_line(
    setting: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        with_settings([load_machine("epyc_9654")], [setting])
