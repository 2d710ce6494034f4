"""What a user may name as a model, and how its workload is obtained.

One place decides what a text means, for the command line and for :func:`perfmodel.compare` alike.
Resolving checks the name and reads files; it traces nothing. For a factory it runs the user's code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Unpack

from perfmodel.errors import PerfmodelError, TraceError, UnknownName
from perfmodel.scenario import Options, ScenarioLike, scenario_of

if TYPE_CHECKING:
    from perfmodel.workload.parametric import ParametricWorkload
    from perfmodel.workload.workload import Workload

#: A name of the zoo, the path of a saved workload or program, a factory, or a workload.
Model: TypeAlias = "str | os.PathLike[str] | Workload"


def models_in(given: Model | Iterable[Model]) -> tuple[Model, ...]:
    """Return what is given as one model or several."""
    if isinstance(given, (str, os.PathLike)) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)


@dataclass(frozen=True)
class ModelSource:
    """A model that has been found but not necessarily traced.

    Attributes:
        name: what tables call it.
        origin: where it comes from, for messages.
        fixed_batch: the batch it was traced with, or None if it is traced on demand at any.
        fixed_by, remedy: how it came by that batch, and what to do for another, for messages.
        published: torchvision name and input shape (without batch) under which the published
            method can trace it too, or None if it cannot.
    """

    name: str
    origin: str
    fixed_batch: int | None
    published: tuple[str, tuple[int, ...]] | None
    _load: Callable[[int], Workload] = field(repr=False, compare=False)
    _trace_all: Callable[[], object] | None = field(default=None, repr=False, compare=False)
    _by_dimension: Callable[[Sequence[str]], ParametricWorkload] | None = field(
        default=None, repr=False, compare=False
    )
    fixed_by: str = "was traced at"
    remedy: str = "trace the model again at that batch"

    def batches(self, asked: int | Sequence[int] | None) -> list[int]:
        """The different batches it will be run at, as asked; see :meth:`batch`."""
        if asked is None or isinstance(asked, int):
            return [self.batch(asked)]
        if not asked:
            raise PerfmodelError("no batch is asked for: give one or several")
        return list(dict.fromkeys(map(self.batch, asked)))

    def prepare(self, batches: Sequence[int]) -> str | None:
        """Trace it for several batches at once rather than for each.

        Returns the reason, for a note, where the model does not allow that: then :meth:`workload`
        traces it at each batch.
        """
        if len(batches) < 2 or self._trace_all is None:
            return None
        try:
            self._trace_all()
        except TraceError as error:
            return f"traced at each batch, for it does not export with a symbolic one: {error}"
        return None

    def batch(self, asked: int | None) -> int:
        """The batch it will be run at: as ``asked``, or its own, or 1.

        Raises :class:`~perfmodel.errors.PerfmodelError` for one that it was not traced with, and
        for one below 1.
        """
        if asked is None:
            return self.fixed_batch or 1
        if asked < 1:
            raise PerfmodelError(f"batch must be at least 1, not {asked}")
        if self.fixed_batch not in (None, asked):
            raise PerfmodelError(
                f"{self.origin} {self.fixed_by} batch {self.fixed_batch}, not {asked}: "
                f"{self.remedy}"
            )
        return asked

    def parametric(self, dimensions: Sequence[str]) -> ParametricWorkload:
        """The model traced for all sizes of ``dimensions``.

        Raises:
            UnknownName: a dimension that the model does not have.
            TraceError: a model that does not export with a symbolic size.
            PerfmodelError: a model that was traced at fixed sizes.
        """
        if self._by_dimension is None:
            raise PerfmodelError(
                f"{self.origin} was traced at fixed sizes and has no dimension {dimensions[0]!r}: "
                "trace it with perfmodel.trace_parametric"
            )
        found = self._by_dimension(dimensions)
        for dimension in dimensions:
            found.dimension(dimension)
        return found

    def workload(self, batch: int | None = None) -> Workload:
        """The traced model at ``batch`` samples (see :meth:`batch`); tracing takes seconds."""
        return self._load(self.batch(batch))


def resolve_model(
    model: Model,
    scenario: ScenarioLike = None,
    *,
    allow_unmodelled: bool = False,
    allow_masks: bool = False,
    **options: Unpack[Options],
) -> ModelSource:
    """The model that ``model`` stands for.

    A factory or a program is code, which naming it runs (docs/tracing.md).

    Args:
        model: a name of the zoo (``perfmodel models``) or any other of torchvision, the path of a
            workload saved as JSON (compressed by gzip or not), the path of a saved
            ``torch.export`` program (``.pt2``), a factory (``package.module:function`` or
            ``file.py:function``), or a
            :class:`~perfmodel.workload.workload.Workload`.
        scenario, options: a :class:`~perfmodel.scenario.Scenario`, of which phase, tokens and
            context choose a run of a named model; a saved workload has its own.
        allow_unmodelled: of a factory or program, see :func:`perfmodel.tracing.tracing.trace`.
        allow_masks: of a factory, see there.

    Raises:
        UnknownName: neither a name (the nearest is suggested) nor a path.
        TraceError: the program cannot be loaded.
        WorkloadFormatError: the file is not a workload.
        PerfmodelError: a phase or length that the model does not have, a factory that fails, or
            something that is no model, such as a module that was not traced.
    """
    from perfmodel.models import zoo
    from perfmodel.models.torchvision_models import IN_PUBLISHED
    from perfmodel.workload.workload import Workload

    run = scenario_of(scenario, options)
    phase, tokens, context = run.phase, run.tokens, run.context
    if not isinstance(model, (str, os.PathLike)):
        if not isinstance(model, Workload):
            raise PerfmodelError(
                f"no model: {type(model).__name__}; expected a name, a path or a workload, such as "
                "perfmodel.trace(module, example_inputs) returns"
            )
        return _traced(model, f"workload {model.name}", phase, tokens, context)
    text = os.fspath(model)
    if zoo.knows(text):
        spec = zoo.spec(text)
        spec.run(1, phase, tokens, context)
        by_torchvision = text in IN_PUBLISHED
        return ModelSource(
            name=text,
            origin=text,
            fixed_batch=None,
            published=(text, spec.inputs[0].shape) if by_torchvision else None,
            _load=partial(zoo.workload, text, phase=phase, tokens=tokens, context=context),
            _trace_all=partial(zoo.parametric, text, phase=phase, tokens=tokens, context=context),
            _by_dimension=lambda dimensions: zoo.parametric(
                text, dimensions, phase=phase, tokens=tokens, context=context
            ),
        )
    from perfmodel.models import own

    if own.is_program(text) or own.is_factory(text) or own.is_config(text):
        kinds = (own.is_program, own.program), (own.is_config, own.config)
        find = next((find for is_one, find in kinds if is_one(text)), own.factory)
        found = find(text, own.Wanted(phase, tokens, context, allow_unmodelled, allow_masks))
        source = ModelSource(
            name=found.name,
            origin=text,
            fixed_batch=found.fixed_batch,
            published=None,
            _load=found.trace,
        )
        if not own.is_factory(text):
            return source
        function = text.rpartition(":")[2]
        remedy = f"give it a parameter, as in def {function}(batch=1), and return inputs of so many"
        return replace(source, fixed_by="returns inputs of", remedy=remedy)
    own.refuse(text)
    path = Path(text)
    named_as_file = text.endswith((".json", ".json.gz")) or len(path.parts) > 1 or path.is_file()
    if isinstance(model, str) and not named_as_file:
        raise UnknownName("model", text, zoo.known())
    from perfmodel.workload import storage
    from perfmodel.workload.parametric import ParametricWorkload, is_parametric

    document = storage.read(path)
    if is_parametric(document):
        saved = ParametricWorkload.from_dict(document, source=text)
        return _parametric(saved, text, phase, tokens, context)
    return _traced(Workload.from_dict(document, source=text), text, phase, tokens, context)


def _traced(
    workload: Workload, origin: str, phase: str | None, tokens: int | None, context: int | None
) -> ModelSource:
    for what, asked, traced in (
        ("phase", phase, workload.phase),
        ("tokens", tokens, workload.tokens),
        ("context", context, workload.context),
    ):
        if asked is not None and asked != traced:
            raise PerfmodelError(
                f"{origin} was traced with {what} {traced or 'none'}, not {asked}: trace the model "
                "again with that"
            )
    return ModelSource(
        name=workload.name,
        origin=origin,
        fixed_batch=workload.batch,
        published=None,
        _load=lambda _batch: workload,
    )


def _parametric(
    saved: ParametricWorkload,
    origin: str,
    phase: str | None,
    tokens: int | None,
    context: int | None,
) -> ModelSource:
    names = {dimension.name for dimension in saved.dimensions}
    asked = {"tokens": tokens, "context": context}
    sizes = {name: size for name, size in asked.items() if size is not None and name in names}
    fixed = saved.at(**sizes)
    checked = _traced(
        fixed,
        origin,
        phase,
        None if "tokens" in sizes else tokens,
        None if "context" in sizes else context,
    )
    checked = replace(checked, _by_dimension=lambda _dimensions: saved)
    if "batch" not in names:
        return checked
    return replace(
        checked, fixed_batch=None, _load=lambda batch: saved.at(**{**sizes, "batch": batch})
    )
