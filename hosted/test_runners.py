"""The real software, against eager PyTorch: it runs here, gives like results, and takes time.

How fast this computer is, is not judged. ``nox -s host_software`` installs what this imports.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from perfmodel.calibration.host import layers
from perfmodel.calibration.host.plan import Step
from perfmodel.calibration.host.runners import RUNNERS
from perfmodel.calibration.host.timing import threads
from perfmodel.cli import app
from perfmodel.evidence.probes import probe
from perfmodel.machine import load_machine

CHAINS = ("2 of encoder 16x32 by 2", "2 of bottleneck 1x16x8x8 to 8")
RUNS = [(name, p) for name, runner in RUNNERS.items() for p in runner.precisions]
#: How far a result may be off, as a share of the results' standard deviation.
OFF = {"fp32": 0.001, "bf16": 0.1, "int8": 0.5}


@pytest.mark.parametrize(("software", "precision"), RUNS)
@pytest.mark.parametrize("chain", CHAINS)
def test_a_network_gives_what_pytorch_gives(software: str, precision: str, chain: str) -> None:
    torch.manual_seed(0)
    module, operands = probe(chain).module()
    module = module.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = module(*operands)
    before = [os.environ.get(name) for name in ("CI", "NNCF_CI")]
    with threads(1):
        found = RUNNERS[software].prepare(module, operands, precision, 1)()
    assert [os.environ.get(name) for name in ("CI", "NNCF_CI")] == before
    if not isinstance(found, torch.Tensor):
        found = torch.from_numpy(next(iter(found if isinstance(found, list) else found.values())))
    assert found.shape == expected.shape
    off = (found.float() - expected).std() / expected.std()
    assert off < OFF[precision]
    if precision != "fp32":
        assert off > 1e-5  # it was not FP32 after all


@pytest.mark.parametrize("software", ["inductor", "inductor_frozen"])
def test_weights_are_packed_once_where_they_are_frozen(software: str) -> None:
    module, operands = probe("2 of bottleneck 1x16x8x8 to 8").module()
    run = RUNNERS[software].prepare(module.eval().requires_grad_(False), operands, "fp32", 1)
    with torch.profiler.profile() as profiled:
        run()
    packed = any(e.key.startswith("mkldnn::_convolution") for e in profiled.key_averages())
    assert packed == (software == "inductor_frozen")


@pytest.mark.parametrize(("software", "precision"), RUNS)
def test_layers_of_it_take_time(software: str, precision: str) -> None:
    steps = [Step("4 of linear 64x256x256", precision, 1, software)]
    with threads(1):
        (point,) = list(layers.rounds(steps, 0.05))[-1]
    assert 1e-6 < point.seconds < 1


def test_a_calibration_ends_in_a_machine_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "perfmodel.calibration.host.plan._LAYERS",
        ("3 of encoder 64x256 by 4", "4 of conv 1x64x28x28 to 64 by 3", "4 of linear 64x512x512"),
    )
    output = tmp_path / "host.toml"
    arguments = ["calibrate", "--host", "--software", "openvino", "-o", str(output)]
    result = CliRunner().invoke(app, [*arguments, "--budget", "1", "--force"])
    assert result.exit_code == 0, result.output
    machine = load_machine(output)
    assert machine.calibration is not None
    assert machine.calibration.software["openvino"]
    assert "openvino" in machine.software
