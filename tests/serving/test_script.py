"""What to set, and the script that measures one point and writes what validate reads."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from perfmodel.calibration.host.instances import _document, cores_of_host, measure
from perfmodel.errors import MeasurementError, PerfmodelError
from perfmodel.evidence.cases import load_cases
from perfmodel.machine import load_machine
from perfmodel.mapping.result import Result
from perfmodel.serving import Partition, serve
from perfmodel.serving.script import RUNS, script
from perfmodel.serving.settings import settings
from perfmodel.software import catalogue
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.examples import anywhere

MODEL = "mobilenet_v2"


def network(batch: int = 1) -> Workload:
    b = Builder(MODEL, batch=batch)
    b.linear(b.input(512 * batch), batch, 512, 512)
    return b.workload()


def served(software: str = "eager", precision: str = "fp32", **options: str) -> Result:
    machine = load_machine("epyc_9654", sockets=2)
    run = {"precision": precision, "software": anywhere(software)} | options
    return serve(network(), machine, Partition(24, 8), **run)


def test_what_to_set_names_cores_nodes_and_threads() -> None:
    found = settings(served())
    assert found["first_instance"] == "numactl --physcpubind=0-7 --membind=0"
    assert found["last_instance"] == "numactl --physcpubind=184-191 --membind=1"
    assert found["environment"].startswith("OMP_NUM_THREADS=8 ")
    assert found["software"] == "torch.set_num_threads(8); torch.set_num_interop_threads(1)"
    machine = load_machine("epyc_9654")
    one = settings(serve(network(), machine, Partition(96, 1), precision="fp32"))
    assert one["last_instance"] == "numactl --physcpubind=95 --membind=0"
    # The published method divides nothing, and a CPU that only it knows is none.
    for lacking in ({"software": None}, {"machine": None}):
        with pytest.raises(PerfmodelError, match="roofline method does not divide sockets"):
            settings(replace(served(), **lacking))


@pytest.mark.parametrize(("instances", "last"), [(1, ""), (2, "48-95"), (3, "64-95")])
def test_the_last_of_several_instances_is_named(instances: int, last: str) -> None:
    cores = 96 // instances
    found = settings(serve(network(), "epyc_9654", Partition(instances, cores), precision="fp32"))
    assert found["first_instance"].startswith(f"numactl --physcpubind=0-{cores - 1} ")
    names = ["first_instance", *(["last_instance"] if last else []), "software"]
    assert list(found) == names
    assert found.get("last_instance", "").startswith(
        f"numactl --physcpubind={last} " if last else ""
    )


def test_streams_of_one_process_have_all_cores() -> None:
    found = settings(served("openvino", weights="shared"))
    assert list(found) == ["one_process", "software"]
    assert found["one_process"] == "numactl --physcpubind=0-191 --interleave=0,1"
    shared = settings(served("eager", weights="shared"))
    assert list(shared) == ["one_process", "environment", "software"]
    assert shared["environment"].startswith("OMP_NUM_THREADS=192 ")
    compiled, benchmark = found["software"].split("; ")
    assert "NUM_STREAMS 24" in compiled
    assert "INFERENCE_NUM_THREADS 192" in compiled
    assert benchmark == "benchmark_app: -nthreads 192 -nstreams 24 -nireq 24"
    separate = settings(served("openvino"))
    assert "NUM_STREAMS 1" in separate["software"]
    # Of one instance there is nothing to share.
    alone = serve(network(), "epyc_9654", Partition(1, 96), weights="shared")
    assert "first_instance" in settings(alone)


@pytest.mark.parametrize("software", catalogue())
def test_every_software_can_be_asked(software: str) -> None:
    for held in ("separate", "shared"):
        assert "{" not in str(list(settings(served(software, weights=held)).values()))


def test_each_software_is_set_by_its_own_means() -> None:
    """OpenMP's variables say nothing to software whose threads are not OpenMP's."""
    assert "environment" not in settings(served("openvino"))
    assert "INFERENCE_NUM_THREADS 8" in settings(served("openvino"))["software"]
    machine = load_machine("epyc_9654", sockets=2)
    text = {"precision": "w8", "software": anywhere("llama_cpp")}
    for held, expected in (
        ("separate", "llama-server -t 8 -tb 8 -np 16 --numa numactl"),
        ("shared", "llama-server -t 192 -tb 192 -np 384: one process answers"),
    ):
        found = serve(network(16), machine, Partition(24, 8), **text, weights=held)
        assert settings(found)["software"].startswith(expected)


def test_the_script_is_a_program_with_the_point_in_it() -> None:
    text = script(served(), MODEL, "epyc_9654", 2, "point.py")
    names = {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    point = names["POINT"]
    assert (point["instances"], point["cores"], point["sockets"]) == (24, 8, 2)
    assert (point["model"], point["machine"]) == (MODEL, "epyc_9654")
    assert point["predicted_ms"] == served().latency_ms
    assert "perfmodel with PyTorch where it runs" in text
    own = script(served("openvino"), MODEL, "epyc_9654", 2, "point.py")
    assert "perfmodel with PyTorch and OpenVINO where it runs" in own


@pytest.mark.parametrize(
    ("result", "model", "expected"),
    [
        (served("onednn"), MODEL, r"--script measures with eager, inductor, .*, not onednn"),
        (served(precision="int8"), MODEL, r"--script measures in fp32 or bf16, not int8"),
        (served(), "net.json", r"--script measures named models .*, not net.json"),
        (
            replace(served(), instances=1, cores_per_instance=192),
            MODEL,
            r"as many instances on each",
        ),
        (replace(served(), phase="decode at context 9"), MODEL, r"in decode at context 9"),
    ],
)
def test_what_cannot_be_measured_so(result: Result, model: str, expected: str) -> None:
    with pytest.raises(PerfmodelError, match=expected):
        script(result, model, "epyc_9654", 2, "point.py")


def point(**options: object) -> dict[str, object]:
    return {
        "model": MODEL,
        "batch": 1,
        "precision": "fp32",
        "software": "eager",
        "machine": "epyc_9654",
        "sockets": 1,
        "instances": 1,
        "cores": 1,
        "seconds": 0.2,
        "predicted_ms": 10.0,
        "predicted_per_s": 100.0,
    } | options


def test_the_file_it_writes_is_read_as_these_two_points(tmp_path: Path) -> None:
    one = {"version": "PyTorch 2.13", "cpu": 'A "CPU"'}
    file = tmp_path / "measured.toml"
    file.write_text(_document(point(instances=24, cores=8, sockets=2), 123.4, 56.7, 0.01, one))
    rate, time = load_cases([file])
    assert (rate.measured, rate.is_rate, rate.split) == (123.4, True, "validation")
    assert (time.measured, time.is_rate, time.split) == (pytest.approx(0.0567), False, "fit")
    assert (rate.row.instances, rate.row.cores, rate.group.sockets) == (24, 8, 2)
    assert (time.row.instances, time.row.cores, time.group.sockets) == (12, 8, 1)
    assert rate.group.software in RUNS


def test_instances_really_run_and_what_they_took_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "measured.toml"
    measure(point(), file)
    rate, time = load_cases([file])
    # One instance, run after run: the mean of its times is the reciprocal of the rate.
    assert 0.2 < rate.measured * time.measured < 5


def test_more_cores_than_there_are_here(tmp_path: Path) -> None:
    count = len(cores_of_host()) + 1
    with pytest.raises(MeasurementError, match=rf"{count} instances of 1 cores need {count};"):
        measure(point(instances=count), tmp_path / "none.toml")
    assert not (tmp_path / "none.toml").exists()
