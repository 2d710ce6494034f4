"""Errors on points that a fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from perfmodel.calibration.fitting import Fit, fit, predicted
from perfmodel.calibration.parameters import Parameter
from perfmodel.evidence.cases import Case

#: Where there are more subjects than this, they are left out in as many groups.
FOLDS: Final = 8


def left_out(
    points: Sequence[Case],
    parameters: Sequence[Parameter],
    near: Fit | None = None,
    subjects: Sequence[str] | None = None,
) -> dict[int, float]:
    """Predicted over measured of each point, by a fit that saw none of its subject's points.

    All batches of a model, on all machines, are left out together.

    Args:
        near: a fit to all points, to start from.
        subjects: those to leave out, by default all.

    Returns:
        By position in ``points``; empty where there is only one subject.
    """
    wanted = list(dict.fromkeys(case.row.subject for case in points))
    if len(wanted) < 2:
        return {}
    wanted = [subject for subject in wanted if subjects is None or subject in subjects]
    folds = min(FOLDS, len(wanted))
    ratio: dict[int, float] = {}
    for fold in range(folds):
        unseen = set(wanted[fold::folds])
        seen = [case for case in points if case.row.subject not in unseen]
        if not seen:
            return {}
        found = fit(seen, parameters, near)
        for index, case in enumerate(points):
            if case.row.subject in unseen:
                value = predicted(case, found.parameters, found.value[None])[0]
                ratio[index] = float(value / case.measured)
    return ratio


def expected_error(points: Sequence[Case], found: Fit) -> float:
    """Mean absolute relative error to expect of a model's latency on such a machine.

    Cross-validated over the models among the points, or over all points where there are no two
    models; of the fit itself where there is nothing to leave out.
    """
    models = [case.row.subject for case in points if case.row.model is not None]
    subjects = list(dict.fromkeys(models)) if len(set(models)) > 1 else None
    ratio = left_out(points, found.parameters, found, subjects)
    errors = [abs(r - 1) for r in ratio.values()] or np.abs(found.ratio - 1).tolist()
    return float(np.mean(errors))
