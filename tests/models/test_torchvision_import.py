"""torchvision imports with and without its C++ operators, and in any company.

Each case runs in a process of its own, as an import happens once: a fork of one that has imported
torch and nothing else, which takes as long as the rest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

IMPORT = "from perfmodel.models._torchvision import import_torchvision as get\n"

#: Stand for torchvision's own outcome of loading its C++ operators: its binary part does not fit;
#: with operators, something else has declared them before.
WITHOUT_OPERATORS = """
import torch
load = torch.ops.load_library
def refuse(path):
    if "torchvision" in str(path):
        raise OSError("built for another torch")
    load(path)
torch.ops.load_library = refuse
"""
WITH_OPERATORS = (
    WITHOUT_OPERATORS
    + """
library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, name):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
)


#: Runs each program that it reads, with its folder, in a fork; answers with the exit code.
FORKING = """
import json, os, sys, torch
def run(code, folder):
    sys.stdin.close()
    with open(os.path.join(folder, "said"), "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.chdir(folder)
    exec(compile(code, "<case>", "exec"), {"__name__": "__main__"})
for line in sys.stdin:
    child = os.fork()
    if not child:
        failed = 1
        try:
            run(*json.loads(line))
            failed = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(failed)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
#: The exit code of a program with torch imported, and what it said.
Case = Callable[[str], tuple[int, str]]


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", FORKING]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process


@pytest.fixture
def case(forking: subprocess.Popen[str], tmp_path: Path) -> Case:
    def run(code: str) -> tuple[int, str]:
        assert forking.stdin is not None
        assert forking.stdout is not None
        print(json.dumps([code, str(tmp_path)]), file=forking.stdin, flush=True)
        code_of_exit = int(forking.stdout.readline())
        return code_of_exit, (tmp_path / "said").read_text()

    return run


@pytest.fixture
def runs(case: Case) -> Callable[[str], str]:
    """What a program that runs without an error says."""

    def run(code: str) -> str:
        failed, said = case(code)
        assert not failed, said
        return said

    return run


def python(code: str) -> None:
    """Run a program that has imported nothing."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_operators_they_are_declared_and_the_plain_import_works_after(
    runs: Callable[[str], str],
) -> None:
    runs(
        WITHOUT_OPERATORS
        + """
try:
    import torchvision
except RuntimeError as error:
    assert "torchvision::nms" in str(error)
else:
    raise AssertionError("the operators are there: the case is not what it says")
"""
        + IMPORT
        + """
torchvision = get()
assert get() is torchvision
from perfmodel.models import _torchvision
assert _torchvision._fragment is not None
import torchvision as plain, torchvision.models, torchvision.ops, sys
from torchvision.transforms.v2 import functional
assert plain is torchvision is sys.modules["torchvision"]
# No module of the failed import is left: each submodule is an attribute of the package there is.
for name, module in sys.modules.items():
    if name.count(".") == 1 and name.startswith("torchvision."):
        assert getattr(torchvision, name.split(".")[1]) is module, name
import gc; gc.collect()
assert hasattr(torch.ops.torchvision, "nms")
"""
    )


def test_with_operators_nothing_is_declared(runs: Callable[[str], str]) -> None:
    runs(
        WITH_OPERATORS
        + IMPORT
        + """
from perfmodel.models import _torchvision
get()
assert _torchvision._fragment is None
"""
    )


@pytest.mark.parametrize("name", ["nets.py:net", "nets:net"])
def test_a_file_of_the_user_s_may_import_it_and_need_not(
    name: str, tmp_path: Path, runs: Callable[[str], str]
) -> None:
    (tmp_path / "nets.py").write_text("import helper\ndef net(): return helper.net()\n")
    (tmp_path / "plain.py").write_text("def net(): pass\n")
    (tmp_path / "helper.py").write_text(
        "import importlib.util, torchvision, torchvision.models\n"
        "from torchvision.ops import nms\n"
        "assert importlib.util.find_spec('torchvision').submodule_search_locations\n"
        "def net(): return torchvision.models.resnet18()\n"
    )
    runs(
        WITHOUT_OPERATORS
        + f"""
import sys
from perfmodel.models.own import named_function
named_function("plain.py:net")
assert "torchvision" not in sys.modules
found, function = named_function({name!r})
assert found == "nets:net" and len(list(function().parameters()))
"""
    )


def test_nothing_is_declared_where_the_plain_import_works(
    case: Case, runs: Callable[[str], str]
) -> None:
    fails, _ = case("import torchvision")
    declared = runs(
        IMPORT
        + """
from perfmodel.models import _torchvision
get()
print(_torchvision._fragment is not None)
"""
    )
    assert declared.strip() == str(bool(fails))


if find_spec("transformers") is not None:  # an optional library that imports torchvision itself

    def test_transformers_works_after_it_even_if_it_failed_before(
        runs: Callable[[str], str],
    ) -> None:
        runs(
            WITHOUT_OPERATORS
            + """
try:
    import transformers.modeling_utils
except Exception:
    pass
"""
            + IMPORT
            + """
torchvision = get()
from transformers import ViTConfig, ViTModel
with torch.device("meta"):
    assert torchvision.models.get_model("resnet18", weights=None)
    vit = ViTModel(ViTConfig(num_hidden_layers=1)).eval()
    assert vit(torch.empty(1, 3, 224, 224)).last_hidden_state.shape == (1, 197, 768)
"""
        )


@pytest.mark.parametrize("missing", ["torch", "torchvision"])
def test_what_is_not_installed_is_named(missing: str) -> None:
    python(
        f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
        + IMPORT
        + f"""
from perfmodel import PerfmodelError
try:
    get()
except PerfmodelError as error:
    assert str(error).startswith("this needs {missing}, ") and "perfmodel[torch]" in str(error)
else:
    raise AssertionError("it was there")
"""
    )


def test_another_failure_is_told_not_hidden() -> None:
    python(
        """
import sys, types
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("undefined symbol: _ZN3c10")
sys.meta_path.insert(0, Broken())
"""
        + IMPORT
        + """
from perfmodel import PerfmodelError
try:
    get()
except PerfmodelError as error:
    assert "undefined symbol" in str(error) and "belong together" in str(error)
else:
    raise AssertionError("it was imported")
"""
    )
