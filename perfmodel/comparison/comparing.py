"""Models on CPUs, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Unpack

from perfmodel.comparison.chosen import (
    PUBLISHED,
    ROOFLINE,
    Cpu,
    cpus_of,
    models_of,
    usual_cpus,
)
from perfmodel.comparison.division import check_division
from perfmodel.comparison.methods import (
    Listener,
    PublishedMethod,
    check_software,
    roofline_results,
    with_power,
)
from perfmodel.comparison.orders import by_pace
from perfmodel.mapping.result import Results
from perfmodel.resolve import Model
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.vocabulary import words


def compare(
    models: Model | Iterable[Model] | None = None,
    cpus: Cpu | Iterable[Cpu] | None = None,
    scenario: ScenarioLike = None,
    *,
    batch: int | Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    power: str = "tdp",
    energy: bool = False,
    allow_unmodelled: bool = False,
    allow_masks: bool = False,
    progress: Listener | None = None,
    left_out: Listener | None = None,
    **options: Unpack[RunOptions],
) -> Results:
    """Return every model on every CPU, ordered by model and batch as given, method and latency.

    Args:
        models: one or several, see :func:`~perfmodel.resolve.resolve_model`; by default those of
            the published table (:data:`perfmodel.models.zoo.DEFAULT_MODELS`).
        cpus: catalogue ids, paths of machine files, or machines, one or several; by default
            :data:`DEFAULT_CPUS`. The published method alone also takes its own ids.
        scenario, options: a :class:`~perfmodel.scenario.Scenario`, or a precision alone, and its
            fields. The published method knows INT8 on one instance only.
        batch: samples per run, or several such numbers; by default 1, and for a saved workload
            what it was traced with. For several a model is traced once, if it allows that.
        methods: out of :data:`~perfmodel.vocabulary.words.METHODS`. By default the roofline method,
            and where no model is named, for the published table's own, the published one wherever
            that exists; one asked for by name and not applicable is an error.
        power: what FPS/W are over, "tdp" (the vendor's rating) or "modelled"
            (:mod:`perfmodel.cost.power`). The published method knows the rating only.
        energy: whether rows state joules per sample.
        allow_unmodelled: of factories and saved programs, charge operators without a formula for
            their bytes only.
        allow_masks: of factories, take all elements where a mask of unknown values selects some, an
            upper bound.
        progress: told which model is being loaded, which takes seconds if it must be traced.
        left_out: told, in one line each, where the default methods left the published one out,
            which default CPUs the software does not run on, and which model had to be traced at
            each batch.

    Raises:
        UnknownName: a model, CPU, precision, method, state or software that does not exist.
        MachineError, WorkloadFormatError: a file that is wrong.
        TraceError, UnmodelledOperator: a model that cannot be traced.
        UnsupportedSoftware, UnsupportedPrecision: software that does not run on a CPU that is
            named, has no kernels for a model, or runs none in the precision.
        PerfmodelError: two models or two CPUs of the same name, a batch a workload was not traced
            at, a phase or length a model does not have, or the published method where it does not
            exist.
    """
    for method in methods or ():
        words.check("method", method, words.METHODS)
    usual = words.METHODS if models is None else (ROOFLINE,)
    wanted = tuple(m for m in words.METHODS if m in (usual if methods is None else methods))
    words.check("power basis", power, words.POWER_BASES)
    run = scenario_of(scenario, options)
    asked = run.batch if batch is None else batch
    chosen_models = models_of(models, run, allow_unmodelled, allow_masks)
    if cpus is None:
        cpus = usual_cpus(run, left_out or (lambda _: None))
    chosen_cpus = cpus_of(cpus, wanted)
    batches = [source.batches(asked) for source in chosen_models]
    check_division(run, chosen_cpus)
    if ROOFLINE in wanted:
        check_software(run, chosen_cpus)

    all_batches = dict.fromkeys(samples for several in batches for samples in several)
    published = PublishedMethod(
        run, tuple(all_batches), explicit=methods is not None, tell=left_out
    )
    results = Results()
    for source, several in zip(chosen_models, batches, strict=True):
        for samples in several if PUBLISHED in wanted else ():
            published.check(source, samples, chosen_cpus)
    for source, several in zip(chosen_models, batches, strict=True):
        if progress is not None:
            progress(source.name)
        reason = source.prepare(several) if ROOFLINE in wanted else None
        if reason is not None and left_out is not None:
            left_out(f"{source.name}: {reason}")
        for samples in several:
            if ROOFLINE in wanted:
                found = roofline_results(source, samples, chosen_cpus, run)
                results += by_pace([with_power(each, power, energy) for each in found])
            if PUBLISHED in wanted:
                results += published.results(source, samples, chosen_cpus)
    return results
