from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perfmodel.evidence.cases import Case, load_cases
from perfmodel.evidence.groups import (
    _groups,
    is_fitted,
    machine_group,
    model_group,
    on_desktop,
)
from perfmodel.evidence.prediction import kind_of, setting
from perfmodel.evidence.scores import ratio_scores
from perfmodel.evidence.validation import networks, noise, predict, selected, validated
from perfmodel.mapping import estimate
from perfmodel.software import load_software
from tests.cli.conftest import Run

ROW = '{{ model = "resnet18", batch = 1, cores = 4, value = {value} }}'
SET = """
[sources]
made = "Made up"
[[set]]
name = "{name}"
machine = "{machine}"
family = "made"
precision = "fp32"
software = "openvino"
quantity = "latency"
unit = "ms"
source = "made"
rows = [ {rows} ]
"""


def made(folder: Path, *values: float, machine: str = "xeon_8380", repeat: bool = False) -> Path:
    rows = [ROW.format(value=value) for value in values]
    if repeat:
        rows = [rows[0], *(row.replace(" }", ", repeat = true }") for row in rows[1:])]
    path = folder / f"{machine}.toml"
    path.write_text(SET.format(name=machine, machine=machine, rows=", ".join(rows)))
    return path


def test_a_model_is_left_out_with_its_resolutions_and_relatives() -> None:
    found: dict[str, set[str]] = {}
    for case in networks():
        found.setdefault(model_group(case), set()).add(case.row.subject)
    assert found["resnet50"] == {"resnet50", "resnet50_160", "resnet50_176", "resnet50_288"}
    assert {"bert_base", "hf_bert_512"} <= found["bert_base"]
    assert "bert_large" not in found["bert_base"]
    assert found["resnet18"] == {"resnet18", "resnet18_288"}


def test_no_group_names_what_there_is_no_point_of() -> None:
    points = [case for case in load_cases() if case.row.model]
    assert set(_groups().models.values()) <= {model_group(case) for case in points}
    assert set(_groups().machines.values()) <= {machine_group(case) for case in points}
    assert set(_groups().unfitted) == {case.group.name for case in points if not is_fitted(case)}
    assert set(_groups().desktops) == {case.group.machine for case in points if on_desktop(case)}


def test_language_models_come_last_and_only_where_asked_for() -> None:
    phases = [case.row.phase is not None for case in networks()]
    assert phases == sorted(phases)
    assert any(phases)
    few = networks(kinds=("single",))
    assert {kind_of(case.group, case.row) for case in few} == {"single"}


@pytest.mark.parametrize("cpu", ["xeon_8380", "xeon_6979p"])  # the second is of three domains
def test_a_point_is_predicted_as_an_estimate_is(cpu: str, tmp_path: Path) -> None:
    file = made(tmp_path, 1.0, machine=cpu)
    file.write_text(file.read_text().replace(", cores = 4", ""))
    (case,) = load_cases([file])
    seconds = float(setting(case).value()[0])
    expected = estimate(case.workload, cpu, case.group.scenario)
    assert seconds * 1e3 == pytest.approx(expected.latency_ms)
    # And a figure that is stated as it is changes nothing.
    path = "software.openvino.join"
    typical = load_software("openvino").figures()[path].typical
    assert float(setting(case).value({path: np.array([typical])})[0]) == pytest.approx(seconds)


def test_scores_of_ratios_count_both_ways() -> None:
    found = ratio_scores(np.log([0.5, 1.0, 1.3, 2.0]))
    assert found.mape == pytest.approx((0.5 + 0 + 0.3 + 1) / 4)
    assert found.median_ratio == pytest.approx(1.3**0.5)
    assert found.mean_factor == pytest.approx((2 * 1.3 * 2) ** 0.25)
    assert (found.within_1_25, found.within_1_35, found.within_1_5) == (0.25, 0.5, 0.5)


def test_the_noise_floor_is_the_spread_of_repeats(tmp_path: Path) -> None:
    (found,) = noise([str(made(tmp_path, 1.0, 2.0, repeat=True))])
    assert (found.software, found.kind, found.repeats) == ("openvino", "single server", 1)
    assert found.log_spread == pytest.approx(np.log(2) / 2**0.5)


def exact(case: Case, factor: float) -> Case:
    """The point as if it had been measured ``factor`` times faster than predicted."""
    value = float(setting(case).value()[0]) / factor / case.group.factor()
    return replace(case, row=case.row.model_copy(update={"value": value}))


def test_points_are_judged_shipped_and_left_out(tmp_path: Path) -> None:
    names = ("xeon_8380", "xeon_8280", "i9_13900k")
    points = load_cases([made(tmp_path, 1.0, machine=name) for name in names])
    slow = [exact(case, 1.3) for case in points]
    told: list[str] = []
    found = validated(slow, told.append)
    assert np.exp(found.log_ratio["shipped"]) == pytest.approx(1.3)
    # Points of other machines that say the same pull a fit towards a machine that it did not see.
    without = found.log_ratio["machine"]
    assert np.all(np.abs(without) < np.log(1.3))
    # All are of one model: without it, nothing but what was known before is left.
    nothing = validated(slow[:1]).log_ratio
    assert found.log_ratio["model"][0] == pytest.approx(nothing["machine"][0])
    kinds = [part.kind for part in found.parts() if not part.software]
    assert kinds == ["", "single server", "single desktop"]
    assert [part.machines for part in found.parts()] == [3, 2, 1, 2, 1]
    assert len(told) == 4
    assert len(selected(found, [], ["openvino"]).settings) == 3
    assert len(selected(found, ["throughput"], []).settings) == 0


def test_a_comparison_predicts_the_instances_of_its_row(tmp_path: Path) -> None:
    path = made(tmp_path, 1.0)
    rates = path.read_text().replace('"latency"', '"throughput"').replace('"ms"', '"samples/s"')
    path.write_text(rates.replace("cores = 4", "cores = 4, instances = 8"))
    (case,) = load_cases([path])
    found = predict(case)
    assert found.detail == "8 x 4 cores at batch 1, 1 socket"
    assert found.predicted == float(setting(case).value()[0])


def test_validate_prints_errors_by_software_and_kind(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = load_cases([made(tmp_path, 1.0)])
    monkeypatch.setattr("perfmodel.evidence.validation.networks", lambda kinds: points)
    found = json.loads(run("validate", "--kind", "single", "-f", "json").stdout)
    assert [part["kind"] for part in found["scores"]] == ["", "single server", "single server"]
    assert found["noise"]
    assert "machine_mape" in run("validate", "-f", "csv").stdout
    assert "openvino single server" in run("validate", "--software", "openvino").stdout
    refused = run("validate", "--software", "eager")
    assert refused.exit_code == 2
    assert "there are points of openvino" in refused.stderr
