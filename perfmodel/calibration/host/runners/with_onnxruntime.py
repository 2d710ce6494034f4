"""ONNX Runtime's CPU provider: a graph exported to ONNX, quantised statically for INT8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfmodel.calibration.host.runners.quiet import quietly
from perfmodel.calibration.host.runners.samples import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


def session(
    module: torch.nn.Module, operands: tuple[Any, ...], precision: str, threads: int
) -> Callable[[], Any]:
    """Return what runs the module in a session of ``threads`` threads."""
    with quietly(), tempfile.TemporaryDirectory() as folder:
        import onnxruntime as ort
        import torch

        path = Path(folder) / "model.onnx"
        names = [f"input_{index}" for index in range(len(operands))]
        with torch.no_grad():
            torch.onnx.export(
                module, operands, str(path), dynamo=True, external_data=True, input_names=names
            )
        if precision == "int8":
            path = _quantised(path, names, operands)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        run = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # What is constant in the graph is an input no longer.
    known = [given.name for given in run.get_inputs()]
    feed = {
        name: operand.numpy()
        for name, operand in zip(names, operands, strict=True)
        if name in known
    }
    return lambda: run.run(None, feed)


def _quantised(path: Path, names: list[str], operands: tuple[Any, ...]) -> Path:
    """The graph in INT8: quantise and dequantise around operators, weights by channel.

    Prepared as ONNX Runtime's documentation of static quantisation asks for.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = iter(
                {n: x.numpy() for n, x in zip(names, sample, strict=True)}
                for sample in samples(operands)
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    ready, quantised = path.with_name("ready.onnx"), path.with_name("int8.onnx")
    quant_pre_process(
        str(path),
        str(ready),
        skip_symbolic_shape=True,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        external_data_location="ready.data",
    )
    quantize_static(
        str(ready),
        str(quantised),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    return quantised
