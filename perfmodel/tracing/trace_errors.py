"""Why a trace failed, in one line that names the user's own source line.

torch.export reports a failing forward with dozens of frames of its own; what the reader needs is
the line of the model, the reason, and a way out.
"""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

import torch
from torch._subclasses import fake_tensor
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from perfmodel.errors import TraceError
from perfmodel.tracing import masks


class UnknownSize(Exception):
    """An operator returned a tensor whose size depends on values."""

    def __init__(self, operator: object) -> None:
        """Name the operator."""
        super().__init__(f"{operator} returns a tensor whose size depends on values")
        self.func = operator


VALUES_NEEDED: Final = (
    fake_tensor.DataDependentOutputException,
    fake_tensor.DynamicOutputShapeException,
    GuardOnDataDependentSymNode,
    UnknownSize,
)
_INDEPENDENT: Final = (
    "A trace has shapes only: make the branch, number or size independent of values (torch.where "
    "instead of if, a mask instead of nonzero), or pass it as a plain Python argument"
)
_OBSERVED: Final = (
    "An observer of torch.ao looks at values: switch observers off "
    "(model.apply(torch.ao.quantization.disable_observer)), or trace the float model and choose "
    "--precision"
)
_INSTALLED: Final = "cuda|CUDA|xpu|XPU|mps|MPS|hpu|HPU|npu|NPU|xla|XLA"
#: Causes that have nothing to do with the example inputs, by what PyTorch says of them.
_ADVICE: Final = (
    (
        re.compile(
            rf"(linked|compiled) with ({_INSTALLED})|support for ({_INSTALLED})|NVIDIA driver|"
            rf"({_INSTALLED}) (is not available|driver)|device type ({_INSTALLED})\b|"
            # Where PyTorch is built for it, a tensor without contents may be there.
            rf"two devices.*\b({_INSTALLED})\b|\b({_INSTALLED})(:\d+)? is not available"
        ),
        "The forward asks for a device that is not here, and a trace runs as on a CPU: leave out "
        ".cuda() and .to('cuda'), or take the device from a tensor (x.device)",
    ),
    (
        re.compile(r"\.numpy\(\)|numpy.*(FakeTensor|subclass)|convert.*numpy", re.IGNORECASE),
        "NumPy needs values, and a trace has shapes only: compute this in torch, or cut the model "
        "in front of it",
    ),
    (
        re.compile(r"data pointer|doesn't have storage|data_ptr"),
        "Code outside of PyTorch reads the memory of a tensor, and a trace has shapes only: "
        "make it an operator (torch.library.custom_op) with a fake implementation, and register "
        "a formula for it",
    ),
    (
        re.compile(r"[Uu]ninitialized"),
        "A lazy module does not know its sizes: run it once on real inputs, or give it its sizes",
    ),
)
#: What libraries say that import others only when they need them.
_MISSING: Final = re.compile(r"No module named '(?P<name>\w+)")
#: A frame in the stack that torch.export keeps for each operator.
_FRAME: Final = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+), in .*\n\s*(?P<code>.*)')
#: The longest reason that is still a line.
_LIMIT: Final = 240

_TORCH: Final = str(Path(torch.__file__).parent)
_LIBRARY: Final = sysconfig.get_paths()["stdlib"]
_HERE: Final = str(Path(__file__).parent)
#: Where packages are installed; what follows tells a reader enough.
_SITE: Final = re.compile(r"^.*/(site|dist)-packages/")


def explain(error: BaseException, module: torch.nn.Module) -> str:
    """One line: what is wrong, where in the model's source, and what to do."""
    root = next((e for e in _chain(error) if isinstance(e, VALUES_NEEDED)), error)
    where = _where(error, module)
    if isinstance(root, VALUES_NEEDED):
        operator = getattr(root, "func", None)
        what = f" ({operator})" if operator is not None else ""
        if _observes(error):
            return f"the forward depends on the values of a tensor{where}. {_OBSERVED}"
        way_out = masks.WAY_OUT if operator in masks.READS else ""
        return (
            f"the forward depends on the values of a tensor{where}{what}. {_INDEPENDENT}{way_out}"
        )
    if isinstance(root, TraceError):
        return str(root)
    return f"the forward failed{where}: {reason(root)}. {_advice(root)}"


def _observes(error: BaseException) -> bool:
    """Whether an observer of PyTorch's quantisation was running."""
    frames = [frame for e in _chain(error) for frame, _ in _frames(e.__traceback__)]
    places = (str(frame.f_globals.get("__name__")) for frame in frames)
    return any(place.startswith("torch.ao.quantization.") for place in places)


def _advice(error: BaseException) -> str:
    """What to do about ``error``."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"Install the package {error.name.partition('.')[0]}"
    text = str(error)
    if missing := _MISSING.search(text):
        return f"Install the package {missing['name']}"
    for pattern, advice in _ADVICE:
        if pattern.search(text):
            return advice
    return "Check number, names, shapes and dtypes of the example inputs"


def unknown_size(operator: str, stack_trace: str | None) -> str:
    """One line: ``operator`` returns a tensor whose size depends on values, and where."""
    where = _in_stack(stack_trace)
    return f"a size depends on the values of a tensor{where} ({operator}). {_INDEPENDENT}"


def _in_stack(stack_trace: str | None) -> str:
    """The innermost line of the user's own source in the stack that torch.export keeps."""
    where = ""
    for frame in _FRAME.finditer(stack_trace or ""):
        if _is_the_users(frame["path"]):
            where = f" at {frame['path']}:{frame['line']} `{frame['code'].strip()}`"
    return where


def explain_node(error: BaseException, operator: str, stack_trace: str | None) -> str:
    """One line: why ``operator`` of an exported program cannot be run on shapes, and where."""
    where = _in_stack(stack_trace)
    if any(isinstance(e, VALUES_NEEDED) for e in _chain(error)):
        return f"the program depends on the values of a tensor{where} ({operator}). {_INDEPENDENT}"
    return (
        f"the program cannot be run on shapes alone{where} ({operator}): {reason(error)}. Export "
        "the model again, or trace the module"
    )


def place(error: BaseException) -> str:
    """The innermost line of the user's own source that led to ``error``, or nothing."""
    for path, line, code in reversed(list(_users_lines(error))):
        return f" at {path}:{line}" + (f" `{code}`" if code else "")
    return ""


def here() -> str:
    """The file, without the way to it, and line of the user's or a library's source that runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if _is_the_users(path):
            short = _SITE.sub("", path) if _SITE.match(path) else Path(path).name
            return f"{short}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _users_lines(error: BaseException) -> Iterator[tuple[str, int, str]]:
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename, error.lineno or 1, (error.text or "").strip()
        return
    for frame, number in _frames(error.__traceback__):
        path = frame.f_code.co_filename
        if _is_the_users(path):
            yield path, number, linecache.getline(path, number).strip()


def reason(error: BaseException) -> str:
    """What ``error`` says, in no more than a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0].rstrip(".:") if lines else ""
    if len(text) > _LIMIT:
        text = text[:_LIMIT].rstrip(". ") + " ..."
    if type(error) in (RuntimeError, ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error: BaseException, module: torch.nn.Module) -> str:
    """The module whose forward failed, and the innermost source line that is not a library's."""
    frames = [frame for e in _chain(error) for frame in _frames(e.__traceback__)]
    where = ""
    forwards = [f.f_locals.get("self") for f, _ in frames if f.f_code.co_name == "forward"]
    names = {part: path for path, part in module.named_modules()}
    inner = [part for part in forwards if isinstance(part, torch.nn.Module) and part in names]
    if inner and names[inner[-1]]:
        where = f" in module {names[inner[-1]]!r} ({type(inner[-1]).__name__})"
    for frame, number in reversed(frames):
        path = frame.f_code.co_filename
        if _is_the_users(path):
            code = linecache.getline(path, number).strip()
            return f"{where} at {path}:{number}" + (f" `{code}`" if code else "")
    return where


def _is_the_users(path: str) -> bool:
    if path.startswith((_TORCH, _HERE, "<")):
        return False
    return not path.startswith(_LIBRARY) or "site-packages" in path


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
