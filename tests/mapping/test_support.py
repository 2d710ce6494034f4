"""Software runs where it runs: what it needs of a CPU, a model and a precision, against facts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from perfmodel.errors import MachineError, UnsupportedPrecision, UnsupportedSoftware
from perfmodel.evidence.cases import load_cases
from perfmodel.evidence.left_out import left_out
from perfmodel.machine import catalogue as cpus
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.support import ANYWHERE, require_software, runs_on
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import Scenario
from perfmodel.serving import search
from perfmodel.software import catalogue, load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS, get_precision
from perfmodel.workload.workload import Workload
from tests.builder import Builder

#: What exists for one architecture alone: Neon kernels, and those of Intel's and AMD's libraries.
ONLY = {
    **dict.fromkeys(("armnn", "llama_cpp_ampere", "llama_cpp_ampere_r1"), "arm"),
    **dict.fromkeys(("onednn_acl", "torchchat"), "arm"),
    **dict.fromkeys(("ipex", "ipex_mlperf", "itex", "itrex"), "x86"),
    **dict.fromkeys(("neural_engine", "sglang", "zendnn"), "x86"),
}
ARCHITECTURE = {"intel": "x86", "amd": "x86", "ampere": "arm"}


def text() -> Workload:
    b = Builder("text")
    b.linear(b.input(64 * 64), 64, 64, 64)
    return b.workload()


def image() -> Workload:
    b = Builder("image")
    b.kernel("conv1", f.CONV, [b.input(64 * 64)], gemm=(1, 64, 64, 64))
    return b.workload()


def first_precision(name: str) -> str:
    return next(iter(load_software(name).precisions or PRECISIONS))


@pytest.mark.parametrize("name", catalogue())
def test_software_of_one_architecture_has_no_number_on_another(name: str) -> None:
    run, able = Scenario(first_precision(name), software=name), set()
    for cpu in cpus():
        machine = load_machine(cpu)
        architecture = ARCHITECTURE[machine.mapper]
        # Within an architecture, only what needs more than its common instructions is refused.
        if ONLY.get(name, architecture) != architecture or not runs_on(run.loaded, machine):
            with pytest.raises(UnsupportedSoftware, match=f"^{name} needs .*, and {cpu} ") as error:
                require_software(run, machine)
            assert "\n" not in str(error.value)
            assert ONLY[name] != architecture or name in ("neural_engine", "sglang")
        else:
            require_software(run, machine)
            able.add(architecture)
    assert able == ({ONLY[name]} if name in ONLY else {"x86", "arm"})


def test_sglang_needs_amx_and_neural_engine_avx_512() -> None:
    for name, able, unable in (
        ("sglang", "xeon_6980p", "xeon_8380"),
        ("neural_engine", "xeon_8380", "epyc_7763"),
    ):
        assert estimate(text(), able, "bf16", software=name).latency_ms > 0
        with pytest.raises(UnsupportedSoftware, match=f"{name} needs .* {unable} .* take a CPU"):
            estimate(text(), unable, "bf16", software=name)


def test_the_cpu_that_is_advised_runs_it_and_so_does_the_software() -> None:
    for name in ONLY:
        wrong = "xeon_8490h" if ONLY[name] == "arm" else "graviton3"
        with pytest.raises(UnsupportedSoftware) as error:
            require_software(Scenario(first_precision(name), software=name), load_machine(wrong))
        words = str(error.value).replace(",", "").split()
        require_software(
            Scenario(first_precision(name), software=name),
            load_machine(words[words.index("--cpu") + 1]),
        )
        assert words[-1] == ANYWHERE
    free = load_software(ANYWHERE)
    assert (free.requires, free.lacks, free.precisions) == ((), (), ())


def test_no_way_to_a_number_goes_past_it() -> None:
    machine = load_machine("xeon_8490h")
    with pytest.raises(UnsupportedSoftware, match="armnn needs neon"):
        search(lambda _: text(), machine, "fp32", software="armnn")
    values = {path: [figure.typical] for path, figure in machine.figures().items()}
    with pytest.raises(UnsupportedSoftware, match="armnn needs neon"):
        latency_variants(text(), machine, values, "fp32", software="armnn")


def test_software_that_was_measured_on_text_alone_runs_no_images() -> None:
    kinds = defaultdict(set)
    for point in left_out():
        kinds[point.software].add(point.kind)
    of_text = {name for name, seen in kinds.items() if seen <= {"prefill", "decode"}}
    assert len(of_text) > 5
    for name in of_text:
        cpu = "graviton3" if ONLY.get(name) == "arm" else "xeon_8490h"
        assert estimate(text(), cpu, first_precision(name), software=name).latency_ms > 0
        with pytest.raises(UnsupportedSoftware) as error:
            estimate(image(), cpu, first_precision(name), software=name)
        assert str(error.value).startswith(f"image: {name} has no conv kernels, and k0 (conv1) ")
        assert f"--software {ANYWHERE}" in str(error.value)


@pytest.mark.parametrize("name", catalogue())
def test_a_precision_runs_or_names_one_that_does(name: str) -> None:
    cpu = load_machine("graviton3" if ONLY.get(name) == "arm" else "xeon_8490h")
    stated = load_software(name).precisions
    for precision in PRECISIONS:
        if not stated or precision in stated:
            require_software(Scenario(precision, software=name), cpu)
            continue
        with pytest.raises(UnsupportedPrecision) as error:
            require_software(Scenario(precision, software=name), cpu)
        words = str(error.value).replace(",", "").split()
        assert words[words.index("--precision") + 1] in stated


def test_llama_cpp_multiplies_int8_under_the_name_of_its_weights() -> None:
    """Q8_0 and Q4_0 are the INT8 path: there is no other, and w8 is the one to ask for."""
    with pytest.raises(UnsupportedPrecision, match=r"llama_cpp .* in int8 .* --precision w8, or"):
        estimate(text(), "epyc_9654", "int8", software="llama_cpp")
    # A policy of one's own is nobody's format.
    own = replace(get_precision("int8"), name="mine")
    assert estimate(text(), "epyc_9654", own, software="llama_cpp").latency_ms > 0


def test_no_measured_point_is_refused() -> None:
    cases = load_cases()
    assert len(cases) > 500
    for case in cases:
        require_software(case.group.scenario, case.machine)
        # Text has no convolutions; that nothing else is asked of such software, the file says.
        assert case.row.phase is not None or not case.group.scenario.loaded.lacks, case.name


def test_a_file_of_one_s_own_states_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('base = "onednn"\nname = "Ours"\nrequires = ["sve2"]\nlacks = ["linear"]\n')
    with pytest.raises(UnsupportedSoftware, match=r"ours needs sve2, and graviton3 .* no sve2"):
        estimate(image(), "graviton3", "fp32", software=path)
    assert estimate(image(), "graviton4", "fp32", software=path).latency_ms > 0
    with pytest.raises(UnsupportedSoftware, match="text: ours has no linear kernels"):
        estimate(text(), "graviton4", "fp32", software=path)
    for line, expected in (
        ('lacks = ["cnv"]', "lacks.cnv: unknown operator family.*did you mean 'conv'"),
        ('precisions = ["int9"]', "precisions: unknown precision 'int9'"),
        ('requires = ["AVX 2"]', "requires"),
    ):
        path.write_text(f'base = "onednn"\n{line}\n')
        with pytest.raises(MachineError, match=expected):
            load_software(path)
