"""The options of ``perfmodel compare`` that divide sockets and model power."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_command_line_shows_division_and_energy(run: Run, saved: Path) -> None:
    arguments = ("compare", saved, "-c", "epyc_9654", "--instances", "12", "--energy")
    table = run(*arguments, "--power", "modelled")
    assert "12 x 8" in table.stdout
    assert "over modelled power. J: of the package, modelled." in table.stdout
    (row,) = json.loads(run(*arguments, "-f", "json").stdout)
    assert (row["instances"], row["cores_per_instance"], row["power_basis"]) == (12, 8, "tdp")
    assert row["energy_j"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--instances", "97"], "need 97; epyc_9654 has 96"),
        (["--instances", "twelve"], "--instances: expected a whole number or auto"),
        (["--cores-per-instance", "0"], "expected at least 1"),
        (["--power", "measured"], "'tdp', 'modelled'"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    run: Run,
    saved: Path,
    arguments: list[str],
    expected: str,
) -> None:
    result = run("compare", saved, "-c", "epyc_9654", *arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
