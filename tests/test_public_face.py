from __future__ import annotations

import subprocess
import sys

import pytest

import perfmodel
import perfmodel.workload

HEAVY = ("torch", "torchvision", "transformers")


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("package", [perfmodel, perfmodel.workload])
def test_every_public_name_exists(package: object) -> None:
    assert package.__all__ == sorted(package.__all__)  # type: ignore[attr-defined]
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'estimat'"):
        package.estimat  # type: ignore[attr-defined]  # noqa: B018


def test_importing_needs_no_torch() -> None:
    """One module after the other in one process: the first that imports torch is named."""
    modules = (
        "perfmodel.errors",
        "perfmodel.mapping",
        "perfmodel.machine",
        "perfmodel.published",
        "perfmodel.workload",
        "perfmodel.workload.storage",
        "perfmodel.models.zoo",
    )
    code = (
        "import sys, importlib\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        f"    print(name, *({set(HEAVY)} & set(sys.modules)))\n"
    )
    assert python(code).splitlines() == list(modules)


def test_using_everything_but_the_tracer_needs_no_torch() -> None:
    names = sorted(set(perfmodel.__all__) - {"trace", "trace_generation", "trace_parametric"})
    code = f"import sys, perfmodel\nfor n in {names}: getattr(perfmodel, n)\n"
    assert python(code + f"print(*({set(HEAVY)} & set(sys.modules)))").split() == []


def test_importing_perfmodel_imports_little() -> None:
    code = (
        "import sys; before = set(sys.modules); import perfmodel; print(*set(sys.modules) - before)"
    )
    loaded = python(code).split()
    assert "perfmodel" in loaded
    assert not {"numpy", "pydantic", "pint", "typer", "rich", "platformdirs"} & set(loaded)
    assert [name for name in loaded if name.startswith("perfmodel.")] == ["perfmodel._lazy"]


def test_names_from_before_the_rooms_still_work() -> None:
    code = (
        "from perfmodel.workload import families, from_exported, operators, zoo\n"
        "from perfmodel.workload.operators import Cost, register\n"
        "import perfmodel.models.zoo, perfmodel.tracing.operators, perfmodel.vocabulary.families\n"
        "assert zoo is perfmodel.models.zoo\n"
        "assert register is perfmodel.tracing.operators.register\n"
        "assert families is perfmodel.vocabulary.families\n"
    )
    assert python(code) == ""
