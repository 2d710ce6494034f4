"""A script that measures one point of a search on the computer it is run on."""

from __future__ import annotations

import json
from typing import Any, Final

from perfmodel.errors import PerfmodelError
from perfmodel.mapping.result import Result

#: Software that the script can run a model with.
RUNS: Final = ("eager", "inductor", "inductor_frozen", "openvino")
#: Precisions that it can run a model in.
PRECISIONS: Final = ("fp32", "bf16")

#: That the instances are measured for.
_SECONDS: Final = 10

_TEXT: Final = '''#!/usr/bin/env python3
"""Measure {title}.

Written by `perfmodel serve --script`. It needs perfmodel with PyTorch{needs} where it runs. It
starts every instance as a process on cores of its own, all at once, and writes what it measured:

    python {file} [measured.toml]
    perfmodel validate --measurements measured.toml
    perfmodel calibrate --from measured.toml --cpu {machine} -o fitted.toml
"""

import sys

from perfmodel.calibration.host.instances import measure

POINT = {point}

if __name__ == "__main__":
    measure(POINT, sys.argv[1] if len(sys.argv) > 1 else "measured.toml")
'''


def script(result: Result, model: str, machine: str, sockets: int, file: str) -> str:
    """Return a Python program that measures the point ``result`` and writes a measurement file.

    Args:
        model: as it was named.
        machine: what the measurement file is to say of the machine: an id, or a path.
        sockets: of them.
        file: what the program is called.

    Raises:
        PerfmodelError: a software, precision, model or phase that cannot be run so.
    """
    from perfmodel.models import zoo

    if result.software not in RUNS:
        raise PerfmodelError(
            f"--script measures with {', '.join(RUNS)}, not {result.software}: choose one by "
            "--software"
        )
    if result.precision not in PRECISIONS:
        raise PerfmodelError(
            f"--script measures in {' or '.join(PRECISIONS)}, not {result.precision}: choose one "
            "by --precision"
        )
    if not zoo.knows(model) or result.phase is not None:
        raise PerfmodelError(
            f"--script measures named models that take their input at once (perfmodel models), "
            f"not {model}" + (f" in {result.phase}" if result.phase else "")
        )
    partition = result.partition
    if partition.instances % sockets:
        raise PerfmodelError(
            f"--script measures as many instances on each socket, not {partition}: fix them by "
            "--instances or --cores-per-instance"
        )
    point: dict[str, Any] = {
        "model": model,
        "batch": result.batch,
        "precision": result.precision,
        "software": result.software,
        "machine": machine,
        "sockets": sockets,
        "instances": partition.instances,
        "cores": partition.cores,
        "seconds": _SECONDS,
        "predicted_ms": result.latency_ms,
        "predicted_per_s": result.throughput_fps,
    }
    title = f"{model} on {machine}: {partition}, batch {result.batch}, {result.precision}"
    shown = json.dumps(point, indent=4)
    needs = " and OpenVINO" if result.software == "openvino" else ""
    return _TEXT.format(title=title, needs=needs, point=shown, file=file, machine=machine)
