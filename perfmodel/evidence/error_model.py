"""Fits the error model of perfmodel.certainty to predictions that were left out of every fit.

Random effects of the microarchitecture, of the machine in it and of the model, and a residual, by
restricted maximum likelihood (Patterson and Thompson, Biometrika 58, 1971). A software with few
machines says little of their spread, so the logarithm of each standard deviation is drawn towards
that of all software of its kind, with a prior of :data:`SPREAD`; an interval then takes Student's t
with the degrees of freedom of each effect and those that the prior is worth (as moderated t does:
Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004), put together as Satterthwaite has it (Biometrics
Bulletin 2, 1946).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from perfmodel.certainty.error_model import Errors
from perfmodel.certainty.families import Identity, identity
from perfmodel.evidence.left_out import LeftOut
from perfmodel.mapping.roofline import FloatArray
from perfmodel.vocabulary.kinds import KINDS, Kind

#: Standard deviation of the logarithm of a standard deviation around that of its kind: half of what
#: is known before any point, up or down.
SPREAD: Final = 0.5
#: Degrees of freedom of that prior, as the logarithm of a standard deviation
#: from n squares varies by 1 / (2 n).
PRIOR_WORTH: Final = 1 / (2 * SPREAD**2)
#: Standard deviation that every effect is drawn towards in the pool of a kind, with SPREAD.
_TYPICAL: Final = 0.15
_UPPER: Final = 0.9
_DECIMALS: Final = 4
_EFFECTS: Final = ("core", "machine", "model", "residual")
_POOLED: Final = ("software", *_EFFECTS)


@functools.cache
def known_machine(machine: str) -> Identity:
    """Return what a machine of the catalogue is."""
    from perfmodel.machine import load_machine

    return identity(load_machine(machine))


def components(
    error: FloatArray, groups: Sequence[Sequence[str]], prior: Sequence[float]
) -> tuple[tuple[float, ...], float, float]:
    """Return standard deviations of crossed random effects and a residual, the mean and its error.

    Args:
        error: shape (N,).
        groups: of each effect, the N groups that points are in.
        prior: of each effect and the residual, what its standard deviation is drawn towards.
    """
    from scipy import linalg, optimize

    count = len(error)
    alike = [np.equal.outer(np.array(g), np.array(g)).astype(np.float64) for g in groups]
    alike.append(np.eye(count))
    sides = np.column_stack([np.ones(count), error])
    centre = np.log(np.asarray(prior))

    def solved(logs: FloatArray) -> tuple[float, float, float]:
        """Negative log posterior, mean, and the mean's standard error."""
        scales = np.exp(2 * np.clip(logs, -6, 2))
        covariance = np.tensordot(scales, np.stack(alike), 1)
        factor = linalg.cholesky(covariance, lower=True)
        ones, own = linalg.solve_triangular(factor, sides, lower=True).T
        weight = float(ones @ ones)
        mean = float(ones @ own) / weight
        rest = own - mean * ones
        loss = np.log(np.diag(factor)).sum() + 0.5 * np.log(weight) + 0.5 * float(rest @ rest)
        return float(loss + 0.5 * np.sum(((logs - centre) / SPREAD) ** 2)), mean, weight**-0.5

    found = optimize.minimize(
        lambda logs: solved(logs)[0], centre, method="L-BFGS-B", options={"ftol": 1e-7}
    )
    _, mean, spread = solved(found.x)
    return tuple(np.exp(np.clip(found.x, -6, 2)).tolist()), mean, spread


def fitted(points: Sequence[LeftOut], prior: Errors | None = None) -> Errors:
    """Return the errors of these points: of one software, drawn to ``prior``, or of several.

    Of each effect it is the larger of two: as machines were left out, and as models were.
    """
    from scipy import stats

    who = [known_machine(point.machine) for point in points]
    prefix = [point.software for point in points]
    groups = [
        [f"{s} {w.core}" for s, w in zip(prefix, who, strict=True)],
        [f"{s} {w.machine}" for s, w in zip(prefix, who, strict=True)],
        [f"{s} {p.model}" for s, p in zip(prefix, points, strict=True)],
    ]
    names: tuple[str, ...] = _EFFECTS
    if prior is None:
        groups, names = [prefix, *groups], _POOLED
        centre = [_TYPICAL] * len(names)
    else:
        centre = [getattr(prior, name) for name in names]
    machine_out = np.array([point.new_machine for point in points])
    model_out = np.array([point.new_model for point in points])
    first, bias, bias_error = components(machine_out, groups, centre)
    second, _, _ = components(model_out, groups, centre)
    larger = np.maximum(first, second) if prior is None else np.array(first)
    effects = dict(zip(names, larger.tolist(), strict=True))
    effects["model"] = max(effects["model"], dict(zip(names, second, strict=True))["model"])
    machines = sorted({w.machine for w in who})
    levels = {name: len(set(group)) for name, group in zip(names, groups, strict=False)}
    levels["machine"] -= levels["core"] - 1  # Machines of one core are told apart within it.
    levels["residual"] = max(2, len(points) - sum(levels.values()))
    worth = PRIOR_WORTH if prior else 0.0
    freedom = {name: max(1.0, count - 1 + worth) for name, count in levels.items()}
    return Errors(
        points=len(points),
        models=len({point.model for point in points}),
        machines=tuple(machines),
        cores=tuple(sorted({w.core for w in who})),
        vendors=tuple(sorted({w.vendor for w in who})),
        precisions=tuple(sorted({point.precision for point in points})),
        bias=round(bias, _DECIMALS),
        bias_error=round(bias_error, _DECIMALS),
        quantile=round(float(stats.t.ppf(_UPPER, _together(effects, freedom))), _DECIMALS),
        **{name: round(value, _DECIMALS) for name, value in effects.items()},
    )


def _together(effects: Mapping[str, float], freedom: Mapping[str, float]) -> float:
    """Degrees of freedom of a sum of variances, each with its own."""
    total = sum(value**2 for value in effects.values())
    return total**2 / sum(value**4 / freedom[name] for name, value in effects.items())


def pools(points: Iterable[LeftOut]) -> dict[Kind, Errors]:
    """Return the errors of all software together, by kind."""
    every = list(points)
    return {kind: fitted([p for p in every if p.kind == kind]) for kind in KINDS}


def by_software(
    points: Iterable[LeftOut], pooled: Mapping[Kind, Errors]
) -> dict[str, dict[Kind, Errors]]:
    """Return the errors of each software, by its id and kind."""
    every = list(points)
    found: dict[str, dict[Kind, Errors]] = {}
    for software in sorted({p.software for p in every}):
        for kind in KINDS:
            own = [p for p in every if p.software == software and p.kind == kind]
            if own:
                found.setdefault(software, {})[kind] = fitted(own, pooled[kind])
    return found
