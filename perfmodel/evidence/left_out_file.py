"""``python -m perfmodel.evidence.left_out_file`` writes left_out.json: every measured network or
language model, predicted by fits that saw nothing of its machine, or of its model.

The figures of the software are as its files have them; what leaving points out does to them follows
from the derivatives of the fit, priors included (:meth:`perfmodel.evidence.fit.Fit.left_out`).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel.evidence.cases import Case, load_cases
from perfmodel.evidence.fit import fit
from perfmodel.evidence.left_out import FILE
from perfmodel.evidence.parameters import software_factors
from perfmodel.evidence.prediction import kind_of, setting

#: Models that are one network under another name.
_SAME: Final = {
    "hf_bert": "bert_base",
    "hf_bert_large": "bert_large",
    "deit_base_distilled_patch16": "vit_base",
    "beit_base_patch16": "vit_base",
    "vit_base_patch16": "vit_base",
    "vit_b": "vit_base",
    "hf_gpt2": "gpt2",
    "hf_albert": "albert",
    "pytorch_unet": "unet",
    "unet_camvid": "unet",
    "efficientnet_lite1": "efficientnet_lite",
    "efficientnet_lite3": "efficientnet_lite",
    "efficientnet_lite4": "efficientnet_lite",
    "vgg19": "vgg16",
}
#: Machines that are variants of one CPU, for leaving out; its figures are their own.
_VARIANTS: Final = {"ampereone_a192_32x": "ampereone_192"}
#: Software of which single products are measured, not models.
_PRODUCTS: Final = ("onednn", "onednn_acl")
_ABOUT: Final = (
    "Predicted over measured time of public points (perfmodel/evidence/measurements), by fits that "
    "saw no point of the same machine (machine_out) or of the same model (model_out) on any "
    "machine. Networks of one architecture are one model, and variants of one CPU one machine. "
    "seconds: measured, of one run, or per sample or token of a socket for a rate. batch and cores "
    "are 0 where the source does not state them. Terms of the formula were chosen by such ratios, "
    "so expect some percent more on new data."
)
_COLUMNS: Final = (
    "software",
    "kind",
    "machine",
    "run",
    "model",
    "precision",
    "batch",
    "cores",
    "instances",
    "seconds",
    "machine_out",
    "model_out",
)


def model_of(name: str) -> str:
    """Return the network that a model is, whatever its name and size of input."""
    bare = re.sub(r"_\d+(x\d+)?$", "", name)
    return _SAME.get(bare, bare)


def machine_of(case: Case) -> str:
    """Return the machine that is left out together with a point."""
    return _VARIANTS.get(case.machine.id, case.machine.id)


def rows() -> list[list[Any]]:
    """Return every row of the table, sorted."""
    points = [
        case for case in load_cases() if case.row.model and case.group.software not in _PRODUCTS
    ]
    settings = []
    for number, case in enumerate(points):
        settings.append(setting(case))
        if number % 50 == 0:
            print(f"{number} of {len(points)} points prepared", file=sys.stderr)
    found = fit(settings, software_factors(), steps=0)
    machine_out = np.exp(found.left_out([machine_of(case) for case in points]))
    model_out = np.exp(found.left_out([model_of(case.row.subject) for case in points]))
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
        machine_of(case),
        ", ".join([row.subject, *lengths]),
        model_of(row.subject),
        group.precision,
        row.stated_batch or 0,
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
