"""What runs a module on this computer, by software: PyTorch, OpenVINO, ONNX Runtime.

Each is one function that prepares a module in a precision and returns what runs it once. Preparing
(conversion, quantisation, compilation) is not part of a run. Importing this imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from perfmodel.calibration.host.runners import with_onnxruntime, with_openvino, with_torch
from perfmodel.errors import MeasurementError, PerfmodelError, UnknownName

if TYPE_CHECKING:
    import torch

Call = Callable[[], Any]
Operands = tuple[Any, ...]


@dataclass(frozen=True)
class Runner:
    """One software that can run here.

    Attributes:
        software: its id, as the catalogue of software has it.
        precisions: those it can be prepared in.
        prepare: takes a module with real weights, its operands, a precision and the number of
            threads; returns what runs it once.
        modules: what it imports, by precision; ``any`` for all of them.
        libraries: distributions whose versions a measurement states.
        extra: of perfmodel, that installs them.
    """

    software: str
    precisions: tuple[str, ...]
    prepare: Callable[[torch.nn.Module, Operands, str, int], Call]
    modules: dict[str, tuple[str, ...]]
    libraries: tuple[str, ...]
    extra: str

    def check(self, precision: str) -> None:
        """Raise what keeps it from running in a precision, before anything is prepared.

        Raises:
            PerfmodelError: it has no kernels for the precision, or cannot be prepared in it here.
            MeasurementError: a package is not installed.
        """
        if precision not in self.precisions:
            able = " or ".join(self.precisions)
            raise PerfmodelError(f"--host runs {self.software} in {able}, not {precision}")
        self.need(precision)

    def need(self, precision: str = "fp32") -> None:
        """Raise :class:`MeasurementError` where a package is missing that ``precision`` takes."""
        # PyTorch's profiler tells of every start.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        needed = (*self.modules["any"], *self.modules.get(precision, ()))
        for module in needed:
            if not _installed(module):
                raise MeasurementError(
                    f"--host with --software {self.software} in {precision} needs {module}, which "
                    f"is not installed: pip install 'perfmodel[{self.extra}]'"
                )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # a module that is set to None, or was made by hand
        return False


_PYTORCH: Final[dict[str, tuple[str, ...]]] = {"any": ("torch",)}
_RUNNERS: Final = (
    Runner("eager", ("fp32", "bf16"), with_torch.eager, _PYTORCH, ("torch",), "torch"),
    *(
        Runner(
            name,
            ("fp32", "bf16"),
            partial(with_torch.compiled, freezing=name == "inductor_frozen"),
            _PYTORCH,
            ("torch",),
            "torch",
        )
        for name in ("inductor", "inductor_frozen")
    ),
    Runner(
        "openvino",
        ("fp32", "bf16", "int8"),
        with_openvino.compiled,
        {"any": ("torch", "openvino"), "int8": ("nncf",)},
        ("torch", "openvino", "nncf"),
        "openvino",
    ),
    Runner(
        "onnxruntime",
        ("fp32", "int8"),
        with_onnxruntime.session,
        {"any": ("torch", "onnx", "onnxscript", "onnxruntime")},
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        "onnxruntime",
    ),
)

#: What can run here, by id.
RUNNERS: Final = {runner.software: runner for runner in _RUNNERS}


def runner_for(software: str) -> Runner:
    """Return what runs ``software`` here.

    Raises:
        UnknownName: nothing does.
    """
    try:
        return RUNNERS[software]
    except KeyError:
        raise UnknownName("software that --host can run", software, RUNNERS) from None
