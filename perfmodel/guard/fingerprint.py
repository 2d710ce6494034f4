"""A digest of a module that is the same exactly as long as its trace is: its code and its shapes.

What goes in:

* the tree of modules with all their attributes: shapes and types of tensors (and values of those
  that are no parameters, where they are few or all equal, since a trace may know them), numbers,
  texts, containers, functions with what they close over, configuration objects, hooks;
* the source of every class and function met there, and of every file of the user that those files
  import, directly or not, wherever the import stands; of installed libraries, their version;
* plain values among the globals of those files, since a forward may use one as a size;
* shapes and types of the inputs.

What has no such description (a generator, an open file, an object of an extension) makes the module
:class:`Opaque`: it is traced every time rather than trusted. The one thing not seen is what a
forward reads from outside the process: environment variables and files.
"""

from __future__ import annotations

import ast
import collections
import datetime
import enum
import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import re
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

#: Tensors that are no parameters, up to so many elements, count with their values.
_VALUES: Final = 64
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
#: What its repr describes whole.
_BY_REPR: Final = (
    torch.dtype, torch.device, torch.layout, torch.memory_format, range, slice, pathlib.PurePath,
    re.Pattern, datetime.date, datetime.timedelta, torch._ops.OpOverload,
    torch._ops.OpOverloadPacket,
)  # fmt: skip
_LIBRARY: Final = tuple(
    os.path.realpath(path) + os.sep
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib")
)
_HERE: Final = os.path.realpath(Path(__file__).parents[1]) + os.sep


class Opaque(Exception):
    """A module that holds something whose changes could not be seen; the message says what."""


def fingerprint(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None
) -> str:
    """Return the digest of ``module`` with these inputs; raises :class:`Opaque`."""
    walk = _Walk()
    walk.value(module, type(module).__name__)
    walk.value(list(args), "inputs")
    walk.value(dict(kwargs or {}), "inputs")
    walk.sources()
    return walk.digest.hexdigest()[:32]


class _Walk:
    """Feeds a digest with values; each object once, so that shared and circular ones are seen."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.met: dict[int, int] = {}
        #: Keeps temporary objects alive, or another could be met under the same id.
        self.kept: list[object] = []
        self.modules: dict[str, None] = {}

    def say(self, *texts: object) -> None:
        for text in texts:
            self.digest.update(str(text).encode("utf-8", "surrogatepass") + b"\0")

    def value(self, value: Any, place: str) -> None:
        """Add ``value``; ``place`` is where it is, for the message of :class:`Opaque`."""
        if isinstance(value, enum.Enum):
            self.kind(type(value))
            self.say("enum", value.name)
            return
        if type(value) in _PLAIN:
            self.say(type(value).__name__, repr(value))
            return
        if id(value) in self.met:
            self.say("again", self.met[id(value)])
            return
        self.met[id(value)] = len(self.met)
        self.kept.append(value)
        if isinstance(value, torch.Tensor):
            self.tensor(value)
        elif isinstance(value, torch.Size):
            self.say("size", tuple(value))
        elif isinstance(value, _BY_REPR):
            self.say(type(value).__name__, repr(value))
        elif isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.hasobject:
                raise Opaque(f"{place} is an array of objects")
            self.say("array", value.dtype, value.shape, hashlib.sha256(value.tobytes()).hexdigest())
        elif isinstance(value, type):
            self.kind(value)
        elif isinstance(value, types.ModuleType):
            self.say("module", value.__name__)
            self.modules.setdefault(value.__name__)
        elif not self.container(value, place) and not self.function(value, place):
            self.thing(value, place)

    def tensor(self, value: torch.Tensor) -> None:
        self.kind(type(value))
        self.say(tuple(value.shape), value.dtype, value.layout, value.requires_grad)
        if value.is_meta or value.layout != torch.strided or isinstance(value, torch.nn.Parameter):
            return
        if value.numel() <= _VALUES:
            self.say(value.detach().cpu().tolist())
        elif not value.is_floating_point() and bool((value == value.flatten()[0]).all()):
            # A mask of ones, say; a trace may know it.
            self.say("all", value.flatten()[0].item())

    def container(self, value: Any, place: str) -> bool:
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
            self.say(type(value).__name__, len(value))
            for key, item in value.items():
                self.value(key, place)
                self.value(item, f"{place}.{key}" if isinstance(key, str) else place)
        elif isinstance(value, list | tuple | collections.deque):
            self.say(type(value).__name__, len(value))
            if type(value) not in (list, tuple, collections.deque):
                self.kind(type(value))
            for index, item in enumerate(value):
                self.value(item, f"{place}.{index}")
        elif isinstance(value, set | frozenset):
            if not all(type(item) in _PLAIN for item in value):
                raise Opaque(f"{place} is a set of objects, which has no order")
            self.say("set", sorted(map(repr, value)))
        else:
            return False
        return True

    def function(self, value: Any, place: str) -> bool:
        if isinstance(value, types.FunctionType):
            self.say("function", value.__module__, value.__qualname__)
            self.modules.setdefault(value.__module__)
            self.say(value.__code__.co_code.hex(), _constants(value.__code__))
            self.value(value.__defaults__, place)
            self.value(value.__kwdefaults__, place)
            for cell in value.__closure__ or ():
                try:
                    self.value(cell.cell_contents, f"what {place} closes over")
                except ValueError:
                    self.say("an empty cell")
        elif isinstance(value, types.MethodType):
            self.value(value.__func__, place)
            self.value(value.__self__, place)
        elif isinstance(value, functools.partial):
            self.value([value.func, value.args, value.keywords], place)
        elif isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType):
            self.say("builtin", getattr(value, "__module__", ""), value.__qualname__)
        elif isinstance(value, weakref.ReferenceType):
            self.value(value(), place)
        elif isinstance(value, staticmethod | classmethod):
            self.value(value.__func__, place)
        elif isinstance(value, property):
            self.value([value.fget, value.fset], place)
        else:
            return False
        return True

    def thing(self, value: Any, place: str) -> None:
        """An object is its class and what it holds."""
        held = dict(getattr(value, "__dict__", {}))
        for base in type(value).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                    held[slot] = getattr(value, slot)
        # Of a class of Python it may be empty; into one of an extension we cannot look.
        if not held and not all(base.__flags__ & _HEAP for base in type(value).__mro__[:-1]):
            raise Opaque(f"{place} is a {type(value).__module__}.{type(value).__qualname__}")
        self.kind(type(value))
        self.value(held, place)
        if isinstance(value, Mapping):
            self.value(dict(value), place)

    def kind(self, kind: type) -> None:
        """A class is its name here; its source follows with the files."""
        self.say("class", kind.__module__, kind.__qualname__)
        for base in kind.__mro__:
            self.modules.setdefault(base.__module__)

    def sources(self) -> None:
        """Add the sources of all modules that were met, and of what they import."""
        self.say("torch", torch.__version__, "python", sys.version_info[:2])
        waiting, seen = sorted(self.modules), set()
        found: dict[str, str] = {}
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            path = _file(name)
            if path is None:
                continue
            if (release := _release(name, path)) is not None:
                found[name.partition(".")[0]] = release
                continue
            source = _read(path)
            found[name] = hashlib.sha256(source).hexdigest() + _globals(name)
            waiting += _imports(name, path, source)
        for name in sorted(found):
            self.say(name, found[name])


#: CPython's Py_TPFLAGS_HEAPTYPE: a class made by a class statement (or a heap type of C).
_HEAP: Final = 1 << 9


def _constants(code: types.CodeType) -> str:
    return repr(
        [_constants(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
        + [code.co_names]
    )


def _file(name: str) -> str | None:
    """The source of the module called ``name``; None for what is built in or cannot be found."""
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None)
    if path is None and module is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        path = spec.origin if spec is not None and spec.has_location else None
    return os.path.realpath(path) if path else None


@functools.cache
def _top_release(top: str) -> str | None:
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    from importlib import metadata

    try:
        return metadata.version(top)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _release(name: str, path: str) -> str | None:
    """The version of the installed library that ``path`` is of; None for a source of the user."""
    installed = f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path
    if path.startswith(_LIBRARY) and not installed:
        return "python"
    if path.startswith(_HERE):
        return "perfmodel"  # The tracer's own sources are in the key of the cache already.
    return _top_release(name.partition(".")[0]) if installed else None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        raise Opaque(f"the source {path} cannot be read") from None


def _globals(name: str) -> str:
    """Plain values among a module's globals."""
    held = vars(sys.modules[name]).items() if name in sys.modules else ()
    plain = {}
    for key, value in held:
        if not key.startswith("__") and _is_plain(value):
            plain[key] = repr(value)
    return json.dumps(plain, sort_keys=True)


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return type(value) in _PLAIN


def _imports(name: str, path: str, source: bytes) -> Iterator[str]:
    """Names of modules that a source imports, anywhere in it."""
    if not path.endswith(".py"):
        return
    try:
        tree = _parsed(source)
    except (SyntaxError, ValueError):
        raise Opaque(f"the source {path} cannot be parsed") from None
    package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(filter(None, [*above, base]))
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{a.name}" for a in node.names if _is_module(base, a.name))


@functools.lru_cache(maxsize=256)
def _parsed(source: bytes) -> ast.Module:
    return ast.parse(source)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: length + 1]) for length in range(len(parts)))


def _is_module(package: str, name: str) -> bool:
    if f"{package}.{name}" in sys.modules:
        return True
    held = sys.modules.get(package)
    if held is not None and hasattr(held, name):
        return False
    path = getattr(held, "__path__", None)
    return path is not None and _file(f"{package}.{name}") is not None
