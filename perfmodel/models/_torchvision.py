"""The one place that imports torchvision, and builds its models without weights.

A torchvision wheel whose binary part does not fit the installed torch (a CUDA build beside a CPU
build of torch, say) cannot load its C++ operators, and then its import stops at the first operator
it expects to exist. Its models need none of them. So where, and only where, the import fails for
that reason, the missing operators are declared (schemas, no kernels) and the import is repeated.
With matching builds nothing is declared.
"""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import AbstractContextManager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    import torch

#: Operators torchvision attaches a shape function to while it is imported.
_SCHEMAS: Final = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING_OPERATOR: Final = re.compile(r"operator torchvision::\w+ does not exist")

# A torch.library.Library withdraws its schemas when it is collected, so it is kept here.
_fragment: Any = None


def import_torchvision() -> ModuleType:
    """The ``torchvision`` package, imported on first use; plain ``import torchvision`` works after.

    Raises :class:`~perfmodel.errors.PerfmodelError` where torch or torchvision is not installed, or
    where they do not fit each other in a way that declaring the operators cannot mend.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchvision"):
            raise
        raise PerfmodelError(
            f"this needs {error.name}, which is not installed: pip install 'perfmodel[torch]'"
        ) from error
    except RuntimeError as error:
        if not _MISSING_OPERATOR.search(str(error)):
            raise _misfit(error) from error
    _declare_operators()
    # A failed import drops the package itself but leaves the submodules it got to.
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise _misfit(error) from error


def make_importable() -> None:
    """See that ``import torchvision`` works from here on, whoever says it; import nothing yet."""
    known = "torchvision" in sys.modules
    if not known and not any(isinstance(finder, _OnDemand) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnDemand())


class _OnDemand(MetaPathFinder):
    """Asked for torchvision, imports it by :func:`import_torchvision`, once."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        try:
            return ModuleSpec(fullname, _Imported(import_torchvision()))
        except PerfmodelError:  # Python's own error says it to whoever imports it.
            return None


class _Imported(Loader):
    """A module that is there already, with what it is found by."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def build_model(name: str, **options: Any) -> torch.nn.Module:
    """``torchvision.models.get_model(name, weights=None, **options)``, its parameters on meta."""
    models = import_torchvision().models
    import torch

    try:
        with torch.device("meta"):
            return models.get_model(name, weights=None, **options)
    except (NotImplementedError, RuntimeError):
        # It computes with values while it is built, as RegNet does the widths of its stages.
        with parameters_on_meta():
            return models.get_model(name, weights=None, **options)


def parameters_on_meta() -> AbstractContextManager[object]:
    """While building: ``torch.empty``, the source of every large parameter, allocates nothing.

    The usual ``torch.device("meta")`` would also catch the few values some constructors compute
    with (the stage widths of RegNet) and fail there.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):  # type: ignore[misc]  # torch is Any to mypy
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if func is torch.empty and kwargs.get("device") is None:
                kwargs = {**kwargs, "device": "meta"}
            return func(*args, **kwargs)

    return Mode()


def _declare_operators() -> None:
    """Declare the operators of ``_SCHEMAS`` that nobody has declared yet."""
    global _fragment
    import torch

    if _fragment is None:
        _fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            _fragment.define(schema)


def _misfit(error: Exception) -> PerfmodelError:
    return PerfmodelError(
        f"the installed torchvision cannot be imported with the installed torch ({error}): install "
        "a pair of versions that belong together, for example pip install 'perfmodel[torch]'"
    )
