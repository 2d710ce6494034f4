"""The sizes to trace a module at, and the arguments of its forward at these sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final, NoReturn, TypeAlias

import torch
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError, UnknownName
from perfmodel.tracing.arguments import check_names, owners
from perfmodel.workload.expressions import Expression, ExpressionError

#: What the axes of a tensor are: the name of a dimension, an expression in names, or (a number or
#: None) fixed. Axes at the end that are not mentioned are fixed.
Axes: TypeAlias = Sequence[str | int | None]
#: A number, or an expression in names.
Number: TypeAlias = str | int

#: Sizes that stand for a dimension of 1 in a symbolic trace: different ones, rare in models.
_STAND_FOR_ONE: Final = (2, 3, 5, 7, 11, 13)


class SizePlan:
    """Which axis of which argument is what, and how large everything is in the examples.

    Attributes:
        model: what the trace is called; every error starts with it.
        module: the one to trace.
        axes: by leaf of the arguments and axis, what the size of that axis is. Fixed ones are left
            out.
        defaults: the size of each dimension in the examples.

    Raises :class:`~perfmodel.errors.TraceError` where ``sizes`` does not fit the arguments.
    """

    def __init__(
        self,
        model: str,
        module: torch.nn.Module,
        args: tuple[Any, ...],
        named: dict[str, Any],
        sizes: Axes | Mapping[str, Axes | Sequence[Axes]],
    ) -> None:
        self.model = model
        self.module = module
        self._leaves, self._tree = pytree.tree_flatten((args, named))
        passed = owners(module, args, named)
        if isinstance(sizes, Mapping):
            check_names(f"{model}: sizes:", sizes, passed)
        self.axes: dict[int, dict[int, Expression]] = {}
        seen: Counter[str] = Counter()
        for leaf, (owner, tensor) in enumerate(zip(passed, self._leaves, strict=True)):
            if isinstance(tensor, torch.Tensor):
                given: Any = sizes.get(owner, ()) if isinstance(sizes, Mapping) else sizes
                if given and isinstance(given[0], list | tuple):
                    given = given[seen[owner]] if seen[owner] < len(given) else ()
                seen[owner] += 1
                self._name_axes(leaf, owner, tensor, given, must_fit=isinstance(sizes, Mapping))
        if not self.axes:
            self._fail("no tensor argument has a named dimension")
        self.defaults = self._defaults(passed)

    def _fail(self, message: str) -> NoReturn:
        raise TraceError(f"{self.model}: {message}")

    def _name_axes(
        self, leaf: int, owner: str, tensor: torch.Tensor, given: Axes, *, must_fit: bool
    ) -> None:
        if isinstance(given, str):
            self._fail(f"sizes: expected a list of axes, such as ({given!r},)")
        if must_fit and len(given) > tensor.ndim:
            self._fail(f"sizes: {owner} has {tensor.ndim} axes, {len(given)} are named")
        for axis, size in enumerate(given[: tensor.ndim]):
            if isinstance(size, str):
                expression = self._expression(f"sizes: axis {axis} of {owner}", size)
                if expression.names:
                    self.axes.setdefault(leaf, {})[axis] = expression
            elif isinstance(size, int) and size != tensor.shape[axis]:
                self._fail(f"sizes: axis {axis} of {owner} is {tensor.shape[axis]}, not {size}")

    def _expression(
        self, place: str, text: str, allowed: Collection[str] | None = None
    ) -> Expression:
        try:
            return Expression(text, allowed)
        except ExpressionError as error:
            self._fail(f"{place}: {error}")

    def _defaults(self, owners: list[str]) -> dict[str, int]:
        named = [
            (leaf, axis, expression, int(self._leaves[leaf].shape[axis]))
            for leaf, axes in self.axes.items()
            for axis, expression in axes.items()
        ]
        found: dict[str, int] = {}
        for *_, expression, actual in named:
            if expression.names == {expression.text.strip()}:
                found.setdefault(expression.text.strip(), actual)
        for leaf, axis, expression, actual in named:
            missing = sorted(expression.names - found.keys())
            if missing:
                self._fail(f"sizes: no axis is called {missing[0]!r} alone, so its size is unknown")
            if expression.exactly(found) != actual:
                self._fail(
                    f"sizes: axis {axis} of {owners[leaf]} is {actual}, but {expression.text} is "
                    f"{expression.exactly(found)}"
                )
        if min(found.values()) < 1:
            self._fail("a named dimension is 0 in the example inputs")
        return found

    def number(self, field: str, given: Number) -> Expression:
        """A field of the workload as an expression in the named dimensions.

        Raises :class:`~perfmodel.errors.TraceError` if it is none, or has other names in it.
        """
        return self._expression(field, str(given), self.defaults)

    def batch(self) -> Number:
        """Samples in one run, where it is not said."""
        if "batch" in self.defaults:
            return "batch"
        for leaf, tensor in enumerate(self._leaves):
            if isinstance(tensor, torch.Tensor):
                first = self.axes.get(leaf, {}).get(0)
                return first.text if first else int(tensor.shape[0]) if tensor.ndim else 1
        return 1

    def example_sizes(self, ones: frozenset[str]) -> dict[str, int]:
        """Sizes to trace at: ``ones`` at 1, the others above it and different from each other.

        Equal ones would make a comparison of two dimensions look decided.
        """
        chosen = dict.fromkeys(ones, 1)
        for name, default in self.defaults.items():
            if name not in ones:
                spare = (size for size in _STAND_FOR_ONE if size not in chosen.values())
                fits = default > 1 and default not in chosen.values()
                chosen[name] = default if fits else next(spare)
        return chosen

    def points(self, cover: Mapping[str, Iterable[int]]) -> Iterator[dict[str, int]]:
        """Every combination of the sizes to cover, the other dimensions as in the examples.

        Raises :class:`~perfmodel.errors.UnknownName` for a dimension that there is not.
        """
        for name in cover:
            if name not in self.defaults:
                raise UnknownName(f"dimension of {self.model}", name, self.defaults)
        choices = [
            list(cover.get(name, ())) or [default] for name, default in self.defaults.items()
        ]
        for chosen in product(*choices):
            yield dict(zip(self.defaults, chosen, strict=True))

    def inputs(self, sizes: Mapping[str, int]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments at ``sizes``, by position and by name, without contents."""
        leaves = list(self._leaves)
        for leaf, axes in self.axes.items():
            shape = list(leaves[leaf].shape)
            for axis, expression in axes.items():
                shape[axis] = expression(sizes)
            leaves[leaf] = _resized(leaves[leaf], shape)
        args, named = pytree.tree_unflatten(leaves, self._tree)
        return args, named

    def symbolic_axes(self, ones: frozenset[str]) -> dict[int, list[int]]:
        """The axes whose size is not fixed where ``ones`` are 1, by leaf."""
        open_axes = {
            leaf: [axis for axis, expression in axes.items() if expression.names - ones]
            for leaf, axes in self.axes.items()
        }
        return {leaf: axes for leaf, axes in open_axes.items() if axes}


def _resized(tensor: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """An empty tensor of another shape whose axes lie in memory in the same order."""
    order = sorted(range(tensor.ndim), key=lambda axis: (-tensor.stride(axis), axis))
    made = torch.empty([shape[axis] for axis in order], dtype=tensor.dtype, device="meta")
    return made.permute([order.index(axis) for axis in range(tensor.ndim)])
