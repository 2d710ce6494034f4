"""OpenVINO's CPU plugin: a graph compiled ahead of time, quantised by NNCF for INT8."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from perfmodel.calibration.host.runners.quiet import quietly
from perfmodel.calibration.host.runners.samples import SAMPLES, samples

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

#: What is not quantised runs in the plugin's own choice, as int8 means it: BF16 where the CPU has
#: it, else FP32.
_HINT: Final = {"fp32": "f32", "bf16": "bf16"}
#: What OpenVINO's and NNCF's tools know an automatic build by.
_BUILDS: Final = {"CI": "true", "NNCF_CI": "1"}
#: Operators by which a transformer is told: their products keep more precision in it.
_ATTENTION: Final = {"ScaledDotProductAttention", "Softmax"}


def compiled(
    module: torch.nn.Module, operands: tuple[Any, ...], precision: str, threads: int
) -> Callable[[], Any]:
    """Return what runs the module as one request on one stream of ``threads`` threads."""
    with quietly(), _unreported():
        import openvino as ov
        import torch

        shapes = [(tuple(x.shape), _type(x)) for x in operands]
        with torch.no_grad():
            model = ov.convert_model(module, example_input=operands, input=shapes)
        if precision == "int8":
            model = _quantised(model, operands)
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if precision in _HINT:
            options["INFERENCE_PRECISION_HINT"] = _HINT[precision]
        request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
        for index, operand in enumerate(operands):
            request.set_input_tensor(index, ov.Tensor(operand.numpy().copy()))
    return lambda: request.infer(share_outputs=True)


def _quantised(model: Any, operands: tuple[Any, ...]) -> Any:
    """The graph in INT8 by post-training quantisation on random operands."""
    import nncf

    data = nncf.Dataset(samples(operands), lambda x: tuple(part.numpy() for part in x))
    attends = any(node.get_type_name() in _ATTENTION for node in model.get_ops())
    return nncf.quantize(
        model,
        data,
        subset_size=SAMPLES,
        model_type=nncf.ModelType.TRANSFORMER if attends else None,
        # It changes values and no kernel.
        advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
    )


def _type(tensor: torch.Tensor) -> Any:
    import openvino as ov

    return ov.Type.f32 if tensor.is_floating_point() else ov.Type.i64


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """The conversion tools send no statistics, as in the automatic builds they know by this."""
    before = {name: os.environ.get(name) for name in _BUILDS}
    os.environ.update(_BUILDS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
