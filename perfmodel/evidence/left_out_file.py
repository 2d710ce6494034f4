"""``python -m perfmodel.evidence.left_out_file`` writes left_out.json: every measured network or
language model, predicted by fits that saw nothing of its machine, or of its model.

Each is a fit of its own, from the figures as the files have them to its minimum
(:meth:`perfmodel.evidence.fit.Fit.left_out`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel.evidence.cases import Case
from perfmodel.evidence.fit import fit
from perfmodel.evidence.groups import machine_group, model_group
from perfmodel.evidence.left_out import FILE, LeftOut
from perfmodel.evidence.parameters import software_factors
from perfmodel.evidence.prediction import kind_of, setting
from perfmodel.evidence.validation import networks

_ABOUT: Final = (
    "Predicted over measured time of public points (perfmodel/evidence/measurements), by fits that "
    "saw no point of the same machine (machine_out) or of the same model (model_out) on any "
    "machine. Networks of one architecture are one model, and variants of one CPU one machine. "
    "seconds: measured, of one run, or per sample or token of a socket for a rate. batch and cores "
    "are 0 where the source does not state them. Terms of the formula were chosen by such ratios, "
    "so expect some percent more on new data."
)
_COLUMNS: Final = [column.name for column in fields(LeftOut)]


def rows() -> list[list[Any]]:
    """Return every row of the table, sorted."""
    points = networks()
    settings = []
    for case in points:
        settings.append(setting(case))
        print(f"\r{len(settings)} of {len(points)} points prepared", end="", file=sys.stderr)
    found = fit(settings, software_factors(), steps=0)
    machine_out, model_out = map(
        np.exp,
        found.left_out(
            [machine_group(case) for case in points], [model_group(case) for case in points]
        ),
    )
    table = [
        _row(case, float(machine), float(model))
        for case, machine, model in zip(points, machine_out, model_out, strict=True)
    ]
    return sorted(table, key=lambda row: [*row[:6], *(f"{value:020.9f}" for value in row[6:])])


def _row(case: Case, machine_out: float, model_out: float) -> list[Any]:
    group, row = case.group, case.row
    seconds = group.sockets / case.measured if case.is_rate else case.measured
    lengths = [f"{row.tokens} tokens"] if row.tokens else []
    lengths += [f"context {row.context}"] if row.context else []
    return [
        group.software,
        kind_of(group, row),
        machine_group(case),
        ", ".join([row.subject, *lengths]),
        model_group(case),
        group.precision,
        row.batch or 0,
        row.all_cores or 0,
        row.instances or 1,
        float(f"{seconds:.6g}"),
        round(machine_out, 4),
        round(model_out, 4),
    ]


def text(table: list[list[Any]]) -> str:
    """Return the table as JSON, one row per line."""
    body = ",\n".join(f"  {json.dumps(row)}" for row in table)
    head = f' "about": {json.dumps(_ABOUT)},\n "columns": {json.dumps(_COLUMNS)},\n'
    return f'{{\n{head} "rows": [\n{body}\n ]\n}}\n'


if __name__ == "__main__":
    Path(__file__).with_name(FILE).write_text(text(rows()), encoding="utf-8")
