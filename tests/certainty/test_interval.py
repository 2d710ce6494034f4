from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.certainty import Identity, Interval, interval
from perfmodel.certainty.error_model import ENOUGH, ErrorModel, Errors, error_model
from perfmodel.evidence.left_out import left_out
from perfmodel.vocabulary.kinds import KINDS, Kind
from perfmodel.vocabulary.precision import PRECISIONS

NOBODY = Identity("nobody", "No such core", "No such vendor")
KNOWN = [(software, kind) for software, kinds in error_model().software.items() for kind in kinds]


def width(found: Interval) -> float:
    return math.log(found.high / found.low)


def without(software: str, kind: Kind | None = None) -> ErrorModel:
    """The error model as if nobody had measured a software (in one kind)."""
    model = error_model()
    kinds = {k: e for k, e in model.software[software].items() if kind not in (None, k)}
    return replace(model, software={**model.software, software: kinds})


def with_errors(software: str, kind: Kind, errors: Errors) -> ErrorModel:
    model = error_model()
    kinds = {**model.software.get(software, {}), kind: errors}
    return replace(model, software={**model.software, software: kinds})


@pytest.mark.parametrize(("software", "kind"), KNOWN)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_less_evidence_never_gives_a_narrower_interval(
    software: str, kind: Kind, precision: str
) -> None:
    errors = error_model().software[software][kind]
    seen = Identity("seen", errors.cores[0], errors.vendors[0])
    new_core = replace(seen, core="No such core")
    few = errors.model_copy(update={"machines": errors.machines[: ENOUGH - 1]})
    chain = [
        interval(software, kind, seen, precision, measured=0.05),
        interval(software, kind, seen, precision),
        interval(software, kind, new_core, precision),
        interval(software, kind, NOBODY, precision),
        interval(software, kind, NOBODY, precision, errors=with_errors(software, kind, few)),
        interval("nobody's", kind, NOBODY, precision),
    ]
    widths = [width(found) for found in chain]
    for narrow, wide in pairwise(widths):
        assert narrow <= wide + 1e-12


@pytest.mark.parametrize(("software", "kind"), KNOWN)
def test_provenance_says_what_there_is(software: str, kind: Kind) -> None:
    errors = error_model().software[software][kind]
    seen = Identity("seen", errors.cores[0], errors.vendors[0])
    for precision in errors.precisions:
        found = interval(software, kind, seen, precision)
        assert found.provenance == ("fitted" if len(errors.machines) >= ENOUGH else "transferred")
        assert bool(found.reason) == (found.provenance != "fitted")
        assert found.precision_measured
        assert interval(software, kind, NOBODY, precision).provenance == "transferred"
        nothing = interval(software, kind, seen, precision, errors=without(software, kind))
        assert (nothing.provenance, nothing.machines, nothing.points) == ("datasheet", 0, 0)
        own = interval(software, kind, seen, precision, measured=0.1)
        assert own.provenance == "measured"


@pytest.mark.parametrize(("software", "kind"), KNOWN)
def test_what_was_measured_in_other_precisions_is_never_fitted(software: str, kind: Kind) -> None:
    errors, pool = error_model().software[software][kind], error_model().pool[kind]
    seen = Identity("seen", errors.cores[0], errors.vendors[0])
    least = width(interval(software, kind, seen, errors.precisions[0]))
    for precision in PRECISIONS.keys() - set(errors.precisions):
        found = interval(software, kind, seen, precision)
        assert width(found) >= least
        assert not found.precision_measured
        if precision in pool.precisions:
            assert found.provenance == "transferred"
            assert (found.points, found.machines) == (errors.points, len(errors.machines))
            few = len(errors.machines) < ENOUGH
            assert few or f"no {precision.upper()} point of " in found.reason
        else:
            assert (found.provenance, found.points) == ("datasheet", 0)
            assert f"in {precision.upper()}" in found.reason


def test_the_error_model_knows_the_precisions_of_its_points() -> None:
    seen: dict[tuple[str, str], set[str]] = {}
    for point in left_out():
        for software in (point.software, "of all"):
            seen.setdefault((software, point.kind), set()).add(point.precision)
    model = error_model()
    stated = {("of all", kind): errors for kind, errors in model.pool.items()}
    stated |= {(s, k): errors for s, kinds in model.software.items() for k, errors in kinds.items()}
    assert {key: set(errors.precisions) for key, errors in stated.items()} == seen


@settings(max_examples=100)
@given(
    error=st.floats(0.001, 3),
    software=st.sampled_from(["openvino", "eager", "nobody's"]),
    kind=st.sampled_from(KINDS),
    precision=st.sampled_from(["fp32", "int8", "bf16"]),
)
def test_measurements_of_its_own_never_widen_a_machine_s_interval(
    error: float, software: str, kind: Kind, precision: str
) -> None:
    plain = interval(software, kind, NOBODY, precision)
    own = interval(software, kind, NOBODY, precision, measured=error)
    assert 0 < width(own) <= width(plain) + 1e-12


@settings(max_examples=100)
@given(
    effects=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    bias=st.floats(-1, 1),
    machines=st.integers(1, 9),
)
def test_an_estimate_is_in_its_interval_and_no_interval_has_zero_width(
    effects: list[float], bias: float, machines: int
) -> None:
    core, machine, model = effects
    errors = Errors(
        points=machines,
        models=1,
        machines=tuple(f"m{i}" for i in range(machines)),
        cores=("core",),
        vendors=("vendor",),
        precisions=("fp32",),
        bias=bias,
        bias_error=0.0,
        core=core,
        machine=machine,
        model=model,
        residual=1e-9,
        quantile=1.3,
    )
    found = interval(
        "openvino",
        "single",
        Identity("m", "core", "vendor"),
        "fp32",
        errors=with_errors("openvino", "single", errors),
    )
    assert found.low <= 1 <= found.high
    assert found.high / found.low > 1.09
    # Only a bias that measurements make certain is corrected, and then it is said.
    corrected = abs(math.log(found.bias)) > 1e-12
    assert corrected == (machines >= ENOUGH and abs(bias) > 1e-12)


def test_narrow_precisions_that_nobody_measured_are_less_certain() -> None:
    wide, narrow = (
        interval("nobody's", "decode", NOBODY, precision) for precision in ("fp32", "int8")
    )
    assert wide.high >= 1.6
    assert narrow.high >= 2.5
    assert wide.high <= narrow.high


def test_a_bound_is_no_prediction() -> None:
    found = interval("ideal", "single", NOBODY, "fp32")
    assert found.is_bound
    assert found.text() == "a bound, no prediction"
    assert (found.low, found.high) == (1, math.inf)


def test_vendors_that_nobody_measured_are_named() -> None:
    amd = Identity("epyc_9654", "Zen 4", "AMD")
    found = interval("openvino", "single", amd, "int8")
    assert found.provenance == "transferred"
    assert "no AMD CPU measured with single runs" in found.reason
    assert not found.vendor_measured
