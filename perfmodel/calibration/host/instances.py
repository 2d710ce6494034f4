"""Several instances of one model on this computer at once, each a process on cores of its own.

The measured point becomes a file that ``perfmodel validate`` and ``calibrate`` read.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from perfmodel._files import write_atomically
from perfmodel.errors import MeasurementError

_SYSFS: Final = Path("/sys/devices/system/cpu")
#: Of the seconds that count, so many more for each instance to become warm before.
_WARM_SHARE: Final = 0.2
#: Runs of an instance at least.
_RUNS: Final = 3


def cores_of_host(sysfs: Path = _SYSFS) -> list[tuple[int, int]]:
    """Return one logical CPU of each physical core that this process may use, with its NUMA node.

    Ordered by node, then by number.
    """
    allowed, taken, found = sorted(os.sched_getaffinity(0)), set(), []
    for cpu in allowed:
        siblings = _text(sysfs / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        if siblings not in taken:
            taken.add(siblings)
            nodes = list((sysfs / f"cpu{cpu}").glob("node[0-9]*"))
            found.append((int(nodes[0].name.removeprefix("node")) if nodes else 0, cpu))
    return sorted(found)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def measure(point: Mapping[str, Any], output: str | Path) -> None:
    """Run the instances of ``point`` at once, and write what was measured to ``output``.

    Args:
        point: as :func:`perfmodel.serving.script.script` writes it.

    Raises:
        MeasurementError: fewer cores here than the instances need, or an instance that fails.
    """
    instances, cores = int(point["instances"]), int(point["cores"])
    here = cores_of_host()
    if instances * cores > len(here):
        raise MeasurementError(
            f"{instances} instances of {cores} cores need {instances * cores}; this computer has "
            f"{len(here)}"
        )
    places = [here[number * cores : (number + 1) * cores] for number in range(instances)]
    workers = [_start(point, place) for place in places]
    try:
        for worker in workers:
            _read(worker, "ready")
        for worker in workers:  # All are warm: now they run together.
            _tell(worker)
        results = [json.loads(_read(worker, "done")) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    times = [seconds for result in results for seconds in result["seconds"]]
    rate = sum(point["batch"] * len(r["seconds"]) / r["elapsed"] for r in results)
    middle = statistics.median(times)
    spread = middle / min(times) - 1
    write_atomically(Path(output), _document(point, rate, middle * 1e3, spread, results[0]))
    print(f"{rate:,.1f} samples/s (predicted {point['predicted_per_s']:,.1f})")
    print(f"{middle * 1e3:.3g} ms at the median (predicted {point['predicted_ms']:.3g})")
    print(f"written: {output}; next: perfmodel validate --measurements {output}")


def _start(point: Mapping[str, Any], place: Sequence[tuple[int, int]]) -> subprocess.Popen[str]:
    """Start one instance on ``place``: logical CPUs with their nodes."""
    nodes = sorted({node for node, _ in place})
    command = [sys.executable, "-m", __name__, json.dumps(dict(point))]
    if shutil.which("numactl"):
        how = "--membind" if len(nodes) == 1 else "--interleave"
        command = ["numactl", f"{how}={','.join(map(str, nodes))}", *command]
    threads = str(point["cores"])
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_PROC_BIND": "close",
    }
    cpus = {cpu for _, cpu in place}
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )


def _read(worker: subprocess.Popen[str], word: str) -> str:
    """The rest of the line that begins with ``word``; what libraries print is skipped."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise MeasurementError(f"an instance ended with code {worker.wait()} before it was {word}")


def _tell(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def _document(
    point: Mapping[str, Any], rate: float, median_ms: float, spread: float, one: Mapping[str, Any]
) -> str:
    """The measurement file: throughput of all instances, and median latency of one."""

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)  # A TOML basic string is a JSON one.

    def row(instances: int) -> str:
        return (
            f"model = {text(point['model'])}, batch = {point['batch']}, "
            f"cores = {point['cores']}, instances = {instances}"
        )

    # A latency is of a socket, a rate of all of them.
    everywhere, here = row(point["instances"]), row(point["instances"] // point["sockets"])
    name = f"{point['model']}_{point['instances']}x{point['cores']}"
    common = [
        f"machine = {text(point['machine'])}",
        'family = "host"',
        f"precision = {text(point['precision'])}",
        f"software = {text(point['software'])}",
        f"software_version = {text(one['version'])}",
        'source = "host"',
    ]
    source = f"Measured on {one['cpu']} on {date.today().isoformat()}, all instances at once"
    return "\n".join(
        [
            "# Written by a script of `perfmodel serve --script`.",
            "",
            "[sources]",
            f"host = {text(source)}",
            "",
            "[[set]]",
            f"name = {text(name + '_throughput')}",
            *common,
            f"sockets = {point['sockets']}",
            'quantity = "throughput"',
            'unit = "samples/s"',
            # A fit is to times; the rate judges it.
            f'rows = [{{ {everywhere}, value = {rate:.6g}, split = "validation" }}]',
            "",
            "[[set]]",
            f"name = {text(name + '_latency')}",
            *common,
            'quantity = "latency"',
            'unit = "ms"',
            f'rows = [{{ {here}, percentile = "p50", value = {median_ms:.6g}, '
            f"spread = {spread:.3g} }}]",
            "",
        ]
    )


def _work(point: Mapping[str, Any]) -> None:
    """Be one instance: say when it is warm, run when told to, say how long each run took."""
    from perfmodel.calibration.host.detection import brand

    run = _openvino if point["software"] == "openvino" else _pytorch
    with run(point) as (call, version):
        begin = time.perf_counter()
        wanted = float(point["seconds"])
        while time.perf_counter() - begin < _WARM_SHARE * wanted:
            call()
        call()
        print("ready", flush=True)
        sys.stdin.readline()
        seconds: list[float] = []
        start = now = time.perf_counter()
        while now - start < wanted or len(seconds) < _RUNS:
            call()
            last, now = now, time.perf_counter()
            seconds.append(now - last)
    found = {"seconds": seconds, "elapsed": now - start, "version": version, "cpu": brand()}
    print("done", json.dumps(found), flush=True)


@contextmanager
def _pytorch(point: Mapping[str, Any]) -> Iterator[tuple[Callable[[], Any], str]]:
    """What runs the model once under PyTorch, and its version."""
    import torch

    from perfmodel.calibration.host.models import running

    how = point["precision"], int(point["cores"]), point["software"]
    with running(point["model"], int(point["batch"]), *how) as call:
        yield call, f"PyTorch {torch.__version__}"


@contextmanager
def _openvino(point: Mapping[str, Any]) -> Iterator[tuple[Callable[[], Any], str]]:
    """What runs the model once under OpenVINO as one stream, and its version."""
    import torch

    from perfmodel.calibration.host.models import materialised

    openvino = import_module("openvino")
    module, inputs = materialised(point["model"], int(point["batch"]))
    with torch.inference_mode():
        model = openvino.convert_model(module, example_input=inputs)
    # The process is bound to its cores already.
    options = {
        "INFERENCE_NUM_THREADS": int(point["cores"]),
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[point["precision"]],
        "ENABLE_CPU_PINNING": False,
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    arrays = [tensor.numpy() for tensor in inputs]
    yield lambda: request.infer(arrays), f"OpenVINO {openvino.__version__}"


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
