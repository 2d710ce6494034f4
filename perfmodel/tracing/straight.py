"""Which loops of a forward run the same operators in every pass, as far as their source says.

A loop qualifies if nothing in its body can decide what runs: it is a ``for`` over a ``range``, its
body is a sequence of assignments, writes to parts of tensors and appends to lists, what it calls is
PyTorch's, and its number is only ever an index of tensors. What the source leaves open (shapes, and
which tensors are read) is compared where the loop runs (:mod:`perfmodel.tracing.repeating`).
"""

from __future__ import annotations

import ast
import builtins
import functools
import linecache
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType
from typing import Any, Final, TypeGuard

import torch

#: Methods of tensors that hand values to Python.
_READS: Final = frozenset(
    {"item", "tolist", "numpy", "data_ptr", "register_hook", "apply_", "map_"}
)
_PLAIN: Final = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Tuple,
    ast.List, ast.Slice, ast.Call, ast.keyword, ast.Compare, ast.operator, ast.unaryop, ast.cmpop,
    ast.expr_context,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop whose body is straight.

    Attributes:
        lists: names of the lists to which each pass appends one entry, one for each append.
        assigned: names that the body assigns.
        calls: what it calls, with whether that is an append.
        written: what it writes parts of.
    """

    lists: tuple[str, ...]
    assigned: tuple[str, ...]
    calls: tuple[ast.expr, ...]
    written: tuple[ast.expr, ...]


def loop_at(frame: FrameType) -> Loop | None:
    """The straight loop whose range ``frame`` is about to make, or None."""
    return _loops(frame.f_code).get(frame.f_lineno)


def is_torchs(loop: Loop, frame: FrameType) -> bool:
    """Whether all that ``loop`` calls is PyTorch's, and all that it writes to are tensors."""
    values = [_resolved(expression, frame) for expression in loop.written]
    return all(isinstance(value, torch.Tensor) for value in values) and all(
        _callable(call, frame) for call in loop.calls
    )


@functools.cache
def _loops(code: CodeType) -> dict[int, Loop]:
    """The straight loops in the file of ``code``, by the line of their range."""
    linecache.checkcache(code.co_filename)
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return {}
    ranges = Counter(node.lineno for node in ast.walk(tree) if _is_range(node))
    found: dict[int, Loop] = {}
    for node in ast.walk(tree):
        # Of several ranges in one line it would not be known which one is made.
        if isinstance(node, ast.For) and _is_range(node.iter) and ranges[node.iter.lineno] == 1:
            loop = _straight(node)
            if loop is not None:
                found[node.iter.lineno] = loop
    return found


def _is_range(node: ast.AST) -> TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    )


def _straight(node: ast.For) -> Loop | None:
    if node.orelse or not isinstance(node.target, ast.Name):
        return None
    lists: list[str] = []
    assigned: list[str] = []
    written: list[ast.expr] = []
    appends: set[ast.AST] = set()
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AugAssign):
            many = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in _flat(many):
                if isinstance(target, ast.Name):
                    assigned.append(target.id)
                elif isinstance(target, ast.Subscript):
                    written.append(target.value)
                else:
                    return None
        elif isinstance(statement, ast.Expr):
            name = _appended(statement.value)
            if name is not None:
                lists.append(name)
                appends.add(statement.value)
        else:
            return None
    inner = [part for statement in node.body for part in ast.walk(statement)]
    if node.target.id in assigned or not all(
        isinstance(part, (ast.stmt, *_PLAIN)) for part in inner
    ):
        return None
    if len(set(lists)) < len(lists) or not _only_an_index(node):
        return None
    calls = [p.func for p in inner if isinstance(p, ast.Call) and p not in appends]
    return Loop(tuple(lists), tuple(assigned), tuple(calls), tuple(written))


def _flat(targets: Sequence[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        else:
            yield target


def _appended(value: ast.expr) -> str | None:
    """The list to which an expression appends, or None."""
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and isinstance(value.func.value, ast.Name)
        and value.func.attr == "append"
        and len(value.args) == 1
        and not value.keywords
    ):
        return value.func.value.id
    return None


def _only_an_index(node: ast.For) -> bool:
    """Whether the number of a pass is used as an index and nowhere else."""
    assert isinstance(node.target, ast.Name)
    number = node.target.id
    places = [part for statement in node.body for part in ast.walk(statement)]
    indices = [part.slice for part in places if isinstance(part, ast.Subscript)]
    inside = {id(part) for index in indices for part in ast.walk(index)}
    if any(isinstance(part, ast.Call) for index in indices for part in ast.walk(index)):
        return False
    return all(
        id(part) in inside for part in places if isinstance(part, ast.Name) and part.id == number
    )


_UNKNOWN: Final = object()


def _resolved(node: ast.expr, frame: FrameType) -> Any:
    """What a name, or an attribute of one, stands for."""
    if isinstance(node, ast.Name):
        for table in (frame.f_locals, frame.f_globals, vars(builtins)):
            if node.id in table:
                return table[node.id]
    if isinstance(node, ast.Attribute):
        base = _resolved(node.value, frame)
        if base is not _UNKNOWN:
            return getattr(base, node.attr, _UNKNOWN)
    return _UNKNOWN


def _callable(node: ast.expr, frame: FrameType) -> bool:
    """Whether ``node`` is a function, module or method of PyTorch that decides nothing."""
    if isinstance(node, ast.Attribute):
        base = _resolved(node.value, frame)
        if isinstance(base, torch.Tensor) or (
            base is _UNKNOWN and not isinstance(node.value, ast.Name | ast.Attribute)
        ):
            # A method of a tensor, or of what an expression on tensors returns.
            return hasattr(torch.Tensor, node.attr) and node.attr not in _READS
    found: Any = _resolved(node, frame)
    if isinstance(found, torch.nn.Module):
        return all(
            type(part).__module__.startswith("torch.nn")
            and not (part._forward_hooks or part._forward_pre_hooks)
            for part in found.modules()
        )
    place = str(getattr(found, "__module__", None) or "")
    if isinstance(found, BuiltinFunctionType):
        return place.startswith("torch") or found.__self__ is torch._C._VariableFunctions
    return isinstance(found, FunctionType) and place in ("torch.nn.functional", "torch.functional")
