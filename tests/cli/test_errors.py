"""Bad input, and readers and disks that go away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["compare", "resnet5"], "did you mean 'resnet50'?"),
        (["compare", "resnet50", "--cpu", "epyc-9654"], "did you mean 'epyc_9654'?"),
        (["compare", "resnet50", "--precision", "int4"], "did you mean 'w4'?"),
        (["compare", "resnet50", "--method", "rooflin"], "did you mean 'roofline'?"),
        (["compare", "resnet50", "--state", "warm"], "'steady', 'cold'"),
        (["compare", "resnet50", "--software", "jit"], "unknown software 'jit'"),
        (["compare", "epyc_9654.toml"], "goes with --cpu or --software"),
        (["compare", "m.onnx"], "is an ONNX graph"),
        (["compare", "nets.py"], "after a colon"),
        (["compare", "weights.safetensors"], "holds weights"),
        (["compare", "resnet50", "--format", "xml"], "'markdown'"),
        (["compare", "resnet50", "--batch", "0"], "whole numbers of at least 1"),
        (["compare", "resnet50", "--batch", "many"], "whole numbers of at least 1"),
        (["compare", "resnet50", "--cpus", "x"], "--cpu"),
        (["compare", "absent.json"], "absent.json"),
        (["compare", "resnet50", "--cpu", "absent.toml"], "absent.toml"),
        (["compare", "resnet50", "-p", "bf16", "-m", "published"], "int8 at batch 1 only"),
        (["compare", "resnet50", "--cpu", "epyc_turin"], "published method only"),
        (["explain", "resnet50"], "--cpu"),
        (["explain", "resnet50", "--cpu", "xeon8490h"], "did you mean 'xeon_8490h'?"),
        (["explain", "vit_b16", "--cpu", "epyc_9654"], "did you mean 'vit_b_16'?"),
        (["explain", "resnet50", "--cpu", "epyc_9654", "--top", "0"], "--top"),
        (["trace", "resnet50"], "--output"),
        (["compair"], "'compare'"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run, arguments: list[str], expected: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("perfmodel: error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"format": "perfmodel.workload", "version": 99}',
        "[1, 2]",
    ],
)
def test_a_bad_workload_file_is_named(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    result = run("compare", path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr


def test_a_bad_machine_file_is_named_with_the_field(run: Run, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "epyc_9654"\n[memory]\nsustained = -1\n')
    result = run("compare", saved, "--cpu", path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr
    assert "memory.sustained" in result.stderr


def test_a_file_that_cannot_be_written_is_named(run: Run, saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "absent" / "x.json"
    result = run("trace", saved, "-o", target)
    assert result.exit_code == 2
    assert str(target) in result.stderr


def test_a_bug_is_not_dressed_up_as_bad_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("perfmodel.comparison.compare", broken)
    with pytest.raises(ZeroDivisionError):
        run("compare", "resnet50")


def test_an_interrupt_ends_quietly_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perfmodel.comparison.compare", interrupted)
    result = run("compare", "resnet50")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_a_reader_that_goes_away_sees_no_traceback(saved: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from perfmodel.cli import main; main()"
    with os.fdopen(writer, "w") as closed:
        result = subprocess.run(
            [sys.executable, "-c", code, "compare", str(saved), "-f", "json"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_output_that_cannot_be_written_is_one_line(saved: Path) -> None:
    code = "from perfmodel.cli import main; main()"
    with saved.open() as read_only:
        result = subprocess.run(
            [sys.executable, "-c", code, "compare", str(saved), "-m", "roofline"],
            stdout=read_only,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == "perfmodel: error: cannot write the output: Bad file descriptor\n"


def test_a_cache_that_cannot_be_written_is_one_line_on_stderr(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = (
        "import os, sys; os.environ['PERFMODEL_CACHE_DIR'] = sys.argv.pop(); "
        "from perfmodel import cache; from perfmodel.cli import application; "
        "import perfmodel.comparison as c; "
        "c.compare = lambda *a, **k: cache.store({'kind': 'x'}, {}) or []; "
        "application()(['compare', '-f', 'json'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(blocked / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, json.loads(result.stdout)) == (0, [])
    assert result.stderr.startswith("perfmodel: warning: cannot write the cache folder")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("absent.pt2", "absent.pt2: cannot be read"),
        ("absent.py:net", "there is no file absent.py"),
        ("absent_package:net", "there is no module absent_package"),
        ("nets.py:raises", "nets.py:2 `raise ValueError(1)`"),
        ("nets.py:rais", "did you mean 'raises'?"),
        ("nets.py:spectrum", "--allow-unmodelled"),
        ("nets.py:selects", "--allow-masks"),
        ("nets.py:elsewhere", "compiled with CUDA"),
        ("unknown/config.json", "knows no model type 'nobodys'"),
        ("other/config.json", "has no class NobodysForCausalLM"),
    ],
)
def test_an_own_model_that_is_wrong_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, expected: str
) -> None:
    (tmp_path / "nets.py").write_text(OWN)
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text('{"model_type": "nobodys"}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(
        '{"model_type": "llama", "architectures": ["NobodysForCausalLM"]}'
    )
    monkeypatch.chdir(tmp_path)
    for arguments in (["compare", model, "-m", "roofline"], ["trace", model, "-o", "x.json"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("perfmodel: error: ")
        assert result.stderr.count("\n") == 1
        assert expected in result.stderr


OWN = """def raises():
    raise ValueError(1)
def spectrum(batch=1):
    import torch
    class Spectrum(torch.nn.Module):
        def forward(self, x):
            return torch.special.chebyshev_polynomial_t(x, 3)
    return Spectrum(), torch.ones(batch, 8)
def selects(batch=1):
    import torch
    class Selects(torch.nn.Module):
        def forward(self, x):
            return x[x > 0] * 2
    return Selects(), torch.ones(batch, 100)
def elsewhere():
    import torch
    return torch.nn.Linear(8, 8).to("cuda"), torch.ones(1, 8)
"""


def test_an_own_model_can_be_allowed_traced_and_compared(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    allowed = ["nets.py:spectrum", "--allow-unmodelled", "--batch", "4"]
    assert run("trace", *allowed, "-o", "spectrum.json").exit_code == 0
    cpu = ["--cpu", "epyc_9654", "--format", "json"]
    (direct,) = json.loads(run("compare", *allowed, *cpu).stdout)
    (saved,) = json.loads(run("compare", "spectrum.json", *cpu).stdout)
    assert direct == saved
    assert direct["batch"] == 4
    assert "charged for bytes only: aten.special_chebyshev_polynomial_t" in direct["notes"]
    document = json.loads(run("explain", *allowed, *cpu).stdout)
    assert document["latency_ms"] == direct["latency_ms"]


def test_masks_can_be_allowed_and_every_estimate_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    allowed = ["nets.py:selects", "--allow-masks"]
    assert run("trace", *allowed, "-o", "selects.json").exit_code == 0
    cpu = ["--cpu", "epyc_9654", "--format", "json"]
    (direct,) = json.loads(run("compare", *allowed, *cpu).stdout)
    (saved,) = json.loads(run("compare", "selects.json", *cpu).stdout)
    assert direct == saved
    assert any("takes all elements, an upper bound (nets.py:" in note for note in direct["notes"])
