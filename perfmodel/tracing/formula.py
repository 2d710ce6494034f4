"""What an operator costs, and the registry of formulas that say so.

A formula is a pure function from the shapes of one call to its :class:`Cost`. It sees no values,
no hardware and no precision, and uses plain arithmetic only, so that symbolic sizes could pass.
Bytes are not its business: the tracer charges every tensor a call reads or writes with the elements
it touches. A formula says otherwise (``reads``, ``writes``) only where a call touches less.

A multiply-accumulate counts as 2 FLOPs. Every other elementary operation on one element (an
addition, a comparison, an exponential, a division) counts as 1 in ``vector_ops``.

Teach perfmodel an operator of your own, here ``torch.ops.mylib.fused_mlp(x, w1, w2)``::

    @register("mylib.fused_mlp")
    def fused_mlp(call: Call) -> Cost:
        rows = prod(call.shape("x")[:-1])
        weights = call.numel("w1") + call.numel("w2")
        return Cost(families.LINEAR, flops=2 * rows * weights)
"""

from __future__ import annotations

import hashlib
import marshal
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

Shape = tuple[int, ...]
#: Loops (batch, m, n, k) of a matrix product.
Gemm = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call of an operator asks for.

    Attributes:
        family: one of :mod:`perfmodel.vocabulary.families`.
        flops: of multiply-accumulates, each counted as 2; bias terms are not among them.
        vector_ops: all other operations on elements.
        gemm: loops (batch, m, n, k), or None where the call is no matrix product.
        reads: elements read from an argument, by its name in the operator's schema, where that is
            less than the whole of what is passed. 0: the argument serves for its shape only, or is
            overwritten.
        writes: elements written to each result (or mutated argument), where that is less than all.
        note: what was assumed, where the shapes do not say everything; a workload repeats it.
    """

    family: str
    flops: int = 0
    vector_ops: int = 0
    gemm: Gemm | None = None
    reads: Mapping[str, int] = field(default_factory=dict)
    writes: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator: its arguments by schema name, and the shapes of its results.

    Attributes:
        arguments: what was passed; defaults that were not passed are absent. Tensors are anything
            with a ``shape``.
        results: shape of each tensor it returns.
        in_place: it writes to one of its arguments.
        weights: names of the arguments that are, or hold, weights of the module.
    """

    arguments: Mapping[str, Any]
    results: tuple[Shape, ...]
    in_place: bool = False
    weights: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether ``name`` was passed and is not None."""
        return self.arguments.get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The argument called ``name``, or ``default`` where it was not passed."""
        value = self.arguments.get(name)
        return default if value is None else value

    def shape(self, name: str) -> Shape:
        """Shape of the tensor argument called ``name``; raises KeyError if it was not passed."""
        return tuple(self.arguments[name].shape)

    def numel(self, name: str) -> int:
        """Elements of the tensor argument called ``name``; 0 if it was not passed."""
        return prod(self.shape(name)) if self.has(name) else 0

    def tensors(self) -> tuple[str, ...]:
        """Names of the arguments that are single tensors, in schema order."""
        return tuple(name for name, value in self.arguments.items() if hasattr(value, "shape"))

    @property
    def complex(self) -> bool:
        """Whether a tensor argument (or the first in a list of them) holds complex numbers."""
        flat = (v[0] if isinstance(v, list) and v else v for v in self.arguments.values())
        return any(str(getattr(v, "dtype", "")).startswith("torch.complex") for v in flat)

    @property
    def result_numel(self) -> int:
        """Elements of the first result; of the first argument where nothing is returned."""
        if self.results:
            return prod(self.results[0])
        return self.numel(self.tensors()[0])


Formula = Callable[[Call], Cost]
#: What a formula may close over for its text to say what it does.
_PLAIN: Final = (bool, int, float, str, bytes, type(None))
_PROCESS: Final = uuid.uuid4().hex

_FORMULAS: Final[dict[str, Formula]] = {}
#: perfmodel's own, as :func:`seal` found them.
_SEALED: Final[dict[str, Formula]] = {}


def register(*names: str, replace: bool = False) -> Callable[[Formula], Formula]:
    """Decorator: the function is the formula of the operators called ``names``.

    A name is namespace and operator without overload, as in ``"aten.conv2d"`` for
    ``torch.ops.aten.conv2d.padding``. It stands for the in-place form (``aten.conv2d_``) too. A
    call that returns views of its arguments never reaches a formula: it costs nothing.

    A formula of a user's replaces one of perfmodel's own: a file that had to bring one must not
    break when perfmodel gets its own. Traces with it are cached apart (:func:`overrides`).

    Raises ValueError for a malformed name, or one that the user has registered already unless
    ``replace``.
    """
    for name in names:
        namespace, dot, operator = name.partition(".")
        if not (namespace and dot and operator) or "::" in name:
            raise ValueError(f"expected a name like 'aten.conv2d', not {name!r}")
        theirs = name in _FORMULAS and _FORMULAS[name] is not _SEALED.get(name)
        if theirs and not replace:
            raise ValueError(f"{name} has a formula already; pass replace=True to replace it")

    def add(formula: Formula) -> Formula:
        for name in names:
            _FORMULAS[name] = formula
        return formula

    return add


def unregister(*names: str) -> None:
    """Forget the formulas of ``names``; raises KeyError for one that has none."""
    for name in names:
        del _FORMULAS[name]


def canonical(name: str) -> str:
    """``name`` without the underscore of an in-place form, unless that form has its own formula."""
    if name in _FORMULAS or not name.endswith("_") or name.endswith("__"):
        return name
    return name[:-1]


def find(name: str) -> Formula | None:
    """The formula of the operator called ``name``, in-place form or not; None if it has none."""
    return _FORMULAS.get(canonical(name))


def seal() -> None:
    """Say that the formulas registered so far are perfmodel's own; :func:`overrides` are later."""
    _SEALED.update(_FORMULAS)


def overrides() -> dict[str, str]:
    """The formulas that are not perfmodel's own (or are gone), with a fingerprint of each.

    Two formulas of one fingerprint are the same text in the same file. One whose text cannot be
    seen has a fingerprint that no other process repeats.
    """
    names = sorted(_FORMULAS.keys() | _SEALED.keys())
    return {
        name: _fingerprint(_FORMULAS[name]) if name in _FORMULAS else "none"
        for name in names
        if _FORMULAS.get(name) is not _SEALED.get(name)
    }


def _fingerprint(formula: Formula) -> str:
    """Digest of a function's code, of the file it stands in, and of what it closes over."""
    code = getattr(formula, "__code__", None)
    cells = [cell.cell_contents for cell in getattr(formula, "__closure__", None) or ()]
    bound = [*cells, *(getattr(formula, "__defaults__", None) or ())]
    try:
        text = Path(code.co_filename).read_bytes() if code is not None else b""
    except OSError:
        text = b""
    if code is None or not text or not all(isinstance(value, _PLAIN) for value in bound):
        return f"{_PROCESS}-{id(formula)}"
    parts = (marshal.dumps(code), text, repr(bound).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def registered() -> tuple[str, ...]:
    """The names of all operators that have a formula."""
    return tuple(sorted(_FORMULAS))


def broadcast(left: Shape, right: Shape) -> Shape:
    """The shape two shapes broadcast to, aligned at their last dimension."""
    width = max(len(left), len(right))
    padded = ((1,) * (width - len(shape)) + tuple(shape) for shape in (left, right))
    return tuple(b if a == 1 else a for a, b in zip(*padded, strict=True))
