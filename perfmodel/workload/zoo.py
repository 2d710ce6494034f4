"""Named models and the inputs they are traced with.

Naming a model imports nothing: a spec is plain data plus a builder that imports its library when it
is called. Builders construct on torch's meta device, so no weight is allocated and nothing is
downloaded.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfmodel import cache
from perfmodel.errors import PerfmodelError, UnknownName, WorkloadFormatError
from perfmodel.workload.version import TRACER_VERSION

if TYPE_CHECKING:
    import torch

    from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class ModelInput:
    """One tensor argument: its shape without the leading batch dimension, and its torch dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class ModelSpec:
    """A named model.

    Attributes:
        name: how the user asks for it.
        title: how people write it.
        task: what it is for, in two or three words.
        inputs: its positional arguments, for one sample.
        library: the distribution that defines the module; its version is part of a trace's key.
        build: makes the module with random or no weights. It chooses how: most builders run under
            ``torch.device("meta")``; one whose initialisation reads values may run elsewhere, and
            :func:`build` moves the result to meta.
        notes: anything a reader of its figures should know.
    """

    name: str
    title: str
    task: str
    inputs: tuple[ModelInput, ...]
    library: str
    build: Callable[[], torch.nn.Module] = field(repr=False)
    notes: str = ""

    def input_shapes(self, batch: int = 1) -> tuple[tuple[int, ...], ...]:
        """The shape of each argument at ``batch`` samples."""
        return tuple((batch, *argument.shape) for argument in self.inputs)

    def describe_inputs(self, batch: int = 1) -> str:
        """The arguments in one line, for example ``image 1x3x224x224 float32``."""
        return ", ".join(
            f"{argument.name} {'x'.join(map(str, shape))} {argument.dtype}"
            for argument, shape in zip(self.inputs, self.input_shapes(batch), strict=True)
        )


def torchvision_model(
    name: str,
    title: str,
    *,
    task: str = "image classification",
    size: int = 224,
    notes: str = "",
    **options: Any,
) -> ModelSpec:
    """The spec of ``torchvision.models.get_model(name)`` on square RGB images of ``size`` pixels.

    ``options`` are passed to torchvision beside ``weights=None``.
    """

    def build() -> torch.nn.Module:
        from perfmodel.workload._torchvision import import_torchvision

        torchvision = import_torchvision()
        import torch

        with torch.device("meta"):
            module: torch.nn.Module = torchvision.models.get_model(name, weights=None, **options)
        return module

    return ModelSpec(
        name=name,
        title=title,
        task=task,
        inputs=(ModelInput("image", (3, size, size)),),
        library="torchvision",
        build=build,
        notes=notes,
    )


_SPECS: Final = {
    spec.name: spec
    for spec in (
        torchvision_model("resnet50", "ResNet-50"),
        torchvision_model(
            "deeplabv3_resnet50",
            "DeepLabV3-ResNet50",
            task="semantic segmentation",
            size=512,
            notes="without the auxiliary classifier, which serves training only but is counted in "
            "torchvision's own table (42.0 M parameters there, 39.6 M here)",
            weights_backbone=None,
        ),
        torchvision_model("vit_b_16", "ViT-B/16"),
        torchvision_model("vit_l_16", "ViT-L/16"),
        torchvision_model("convnext_large", "ConvNeXt-Large"),
    )
}


def names() -> tuple[str, ...]:
    """The names of all models, in the order in which tables show them. Imports no torch."""
    return tuple(_SPECS)


def spec(name: str) -> ModelSpec:
    """The model called ``name``; raises :class:`~perfmodel.errors.UnknownName` with the nearest."""
    try:
        return _SPECS[name]
    except KeyError:
        raise UnknownName("model", name, _SPECS) from None


def build(name: str, batch: int = 1) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The module in eval mode and its example inputs, both on the meta device.

    Raises :class:`~perfmodel.errors.UnknownName` for an unknown model, and
    :class:`~perfmodel.errors.PerfmodelError` for a batch below 1 or a library not installed.
    """
    chosen = spec(name)
    _check_batch(batch)
    module = chosen.build().to("meta").eval()
    import torch

    inputs = tuple(
        torch.empty(shape, dtype=getattr(torch, argument.dtype), device="meta")
        for argument, shape in zip(chosen.inputs, chosen.input_shapes(batch), strict=True)
    )
    return module, inputs


def workload(name: str, batch: int = 1, *, refresh: bool = False) -> Workload:
    """The traced model at ``batch`` samples, from the disk cache where it holds a current trace.

    A hit imports no torch. An entry that is corrupt, or of other library versions or another
    tracer, is traced anew; ``refresh`` does so in any case. Raises what :func:`build` and
    :func:`perfmodel.workload.tracing.trace` raise.
    """
    from perfmodel.workload import storage

    chosen = spec(name)
    _check_batch(batch)
    key = cache_key(chosen, batch)
    if not refresh and (stored := cache.load(key)) is not None:
        try:
            return storage.from_dict(stored)
        except WorkloadFormatError:
            pass  # It is our own cache: trace again rather than trouble the user.

    from perfmodel.workload.tracing import trace

    module, inputs = build(name, batch)
    traced = trace(module, inputs, name=name, batch=batch)
    cache.store(key, storage.to_dict(traced))
    return traced


def cache_key(chosen: ModelSpec, batch: int = 1) -> dict[str, object]:
    """Everything a trace of ``chosen`` depends on; imports neither torch nor its library."""
    from perfmodel.workload import storage

    return {
        "kind": "workload",
        "name": chosen.name,
        "inputs": [
            [list(shape), argument.dtype]
            for argument, shape in zip(chosen.inputs, chosen.input_shapes(batch), strict=True)
        ],
        "versions": {library: _version(library) for library in ("torch", chosen.library)},
        "tracer": TRACER_VERSION,
        "tracer_source": _source_digest(),
        "format": storage.VERSION,
    }


def _check_batch(batch: int) -> None:
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise PerfmodelError(f"batch must be a whole number of at least 1, not {batch!r}")


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise PerfmodelError(
            f"this needs {library}, which is not installed: pip install 'perfmodel[torch]'"
        ) from None


@functools.cache
def _source_digest() -> str:
    """Digest of the sources beside this file.

    While the tracer is being changed its version stands still; a trace made by the code of an hour
    ago must not hide the change.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]
