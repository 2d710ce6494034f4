"""Packages that only some commands need: not imported by the others, and named where missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perfmodel.calibration.host.detection import detect
from perfmodel.calibration.plot import scatter
from perfmodel.errors import NotInstalled
from perfmodel.mapping import Results
from tests.builder import Builder

OPTIONAL = {
    "matplotlib", "cpuinfo", "pandas", "SALib", "pint", "scipy", "tomlkit", "torch", "transformers",
}  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    b = Builder("layer")
    b.linear(b.input(64 * 64), 64, 64, 64)
    path = tmp_path / "layer.json"
    b.workload().save(path)
    return path


def test_a_comparison_a_ranking_and_a_plan_need_none_of_them(saved: Path) -> None:
    code = (
        "import json, sys, perfmodel\n"
        "cpus = ['epyc_9654', 'xeon_8490h']\n"
        "model = sys.argv[1]\n"
        "perfmodel.compare(model, cpus)\n"
        "perfmodel.rank(model, cpus, samples=16).adjacent\n"
        "perfmodel.tco(model, cpus, rate=1e4, samples=4)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )
    assert not OPTIONAL & set(json.loads(result.stdout))


@pytest.mark.parametrize(
    ("module", "use", "extra"),
    [
        ("matplotlib.figure", lambda: scatter([], Path("x.png")), "plot"),
        ("cpuinfo", detect, "host"),
        ("pandas", lambda: Results().to_pandas(), "pandas"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    module: str, use, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalled, match=rf"pip install 'perfmodel\[{extra}\]'"):
        use()
