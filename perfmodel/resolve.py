"""What a user may name as a model, and how its workload is obtained.

One place decides what a text means, for the command line and for :func:`perfmodel.compare` alike.
Resolving checks the name and reads files; it traces nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from perfmodel.errors import PerfmodelError, UnknownName

if TYPE_CHECKING:
    from perfmodel.workload.workload import Workload

#: A name of the zoo, the path of a saved workload, or a workload.
Model: TypeAlias = "str | os.PathLike[str] | Workload"


@dataclass(frozen=True)
class ModelSource:
    """A model that has been found but not necessarily traced.

    Attributes:
        name: what tables call it.
        origin: where it comes from, for messages.
        fixed_batch: the batch it was traced with, or None if it is traced on demand at any.
        published: torchvision name and input shape (without batch) under which the published
            method can trace it too, or None if it cannot.
    """

    name: str
    origin: str
    fixed_batch: int | None
    published: tuple[str, tuple[int, ...]] | None
    _load: Callable[[int], Workload] = field(repr=False, compare=False)

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
                f"{self.origin} was traced at batch {self.fixed_batch}, not {asked}: "
                "trace the model again at that batch"
            )
        return asked

    def workload(self, batch: int | None = None) -> Workload:
        """The traced model at ``batch`` samples (see :meth:`batch`); tracing takes seconds."""
        return self._load(self.batch(batch))


def resolve_model(model: Model) -> ModelSource:
    """The model that ``model`` stands for.

    Args:
        model: a name of the zoo (``perfmodel models``), the path of a workload saved as JSON, or a
            :class:`~perfmodel.workload.workload.Workload`.

    Raises:
        UnknownName: neither a name (the nearest is suggested) nor a path.
        WorkloadFormatError: the file is not a workload.
    """
    from perfmodel.workload import zoo

    if not isinstance(model, (str, os.PathLike)):
        return _traced(model, f"workload {model.name}")
    text = os.fspath(model)
    if text in zoo.names():
        spec = zoo.spec(text)
        by_torchvision = spec.library == "torchvision" and len(spec.inputs) == 1
        return ModelSource(
            name=text,
            origin=text,
            fixed_batch=None,
            published=(text, spec.inputs[0].shape) if by_torchvision else None,
            _load=partial(zoo.workload, text),
        )
    path = Path(text)
    named_as_file = path.suffix == ".json" or len(path.parts) > 1 or path.is_file()
    if isinstance(model, str) and not named_as_file:
        raise UnknownName("model", text, zoo.names())
    from perfmodel.workload.storage import load

    return _traced(load(path), text)


def _traced(workload: Workload, origin: str) -> ModelSource:
    return ModelSource(
        name=workload.name,
        origin=origin,
        fixed_batch=workload.batch,
        published=None,
        _load=lambda _batch: workload,
    )
