"""The user's own models: a function in a module or file that makes one, or a saved program.

A *factory* is named ``package.module:function`` or ``path/to/file.py:function``. It returns
``(module, example_inputs)`` or ``(module, args, kwargs)``. If it has a parameter ``batch`` it is
called with the number of samples asked for, and returns inputs for as many; else the first
dimension of its first tensor says how many there are.

Naming a factory or a program runs code of its author. Nothing but what the user names is loaded.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from perfmodel.errors import PerfmodelError, UnknownName

if TYPE_CHECKING:
    import torch

    from perfmodel.workload.workload import Workload

_FACTORY: Final = re.compile(
    r"(?P<place>[^:]*\.py|[A-Za-z_][\w.]*|[A-Za-z]:.*\.py):(?P<name>[A-Za-z_][\w.]*)"
)
#: A model of the hub, as people name it.
_HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
#: Files that hold a model, but none that can be traced, and what to do.
_OTHER_FILES: Final = {
    ".onnx": "is an ONNX graph, and perfmodel traces PyTorch: name a factory that builds it",
    ".pt": "is a file of torch.save: it holds weights, or a pickled module, which is not loaded; "
    "name a factory that builds the module, or save it with torch.export.save (.pt2)",
    ".pth": "is a file of torch.save: it holds weights, or a pickled module, which is not loaded; "
    "name a factory that builds the module, or save it with torch.export.save (.pt2)",
    ".ckpt": "is a checkpoint: it holds weights; name a factory that builds the module",
    ".bin": "holds weights; name the config.json beside it, or a factory that builds the module",
    ".safetensors": "holds weights, which a trace does not need: name the config.json beside it, "
    "or a factory that builds the module",
    ".gguf": "is a file of llama.cpp: get the config.json of the model that it was made from, and "
    "choose --precision",
    ".tflite": "is a TensorFlow graph, and perfmodel traces PyTorch: name a factory",
    ".toml": "describes a CPU or a software, not a model: it goes with --cpu or --software",
    ".py": "is Python: name the function in it that makes the model, after a colon",
    ".h5": "is a Keras model, and perfmodel traces PyTorch: name a factory",
}
_RETURNS: Final = "it must return (module, example_inputs) or (module, args, kwargs)"


@dataclass(frozen=True)
class Wanted:
    """How a model of the user's is to be run, where its inputs do not say it.

    Attributes:
        phase, tokens, context: of a model of transformers that comes without inputs.
        allow_unmodelled, allow_masks: as for :func:`perfmodel.trace`.
    """

    phase: str | None = None
    tokens: int | None = None
    context: int | None = None
    allow_unmodelled: bool = False
    allow_masks: bool = False

    def generated(self, module: torch.nn.Module, name: str, batch: int) -> Workload:
        """Return the workload of a model of transformers, run so."""
        from perfmodel.models import generation

        asked = {k: v for k, v in asdict(self).items() if k != "allow_masks"}
        return generation.workload(module, name, batch, **asked)

    def traced(self, text: str, name: str, made: Any, batch: int) -> Workload:
        """Return the workload of what the factory ``text`` made, run so."""
        if not isinstance(made, tuple):
            return self.generated(made, name, batch)
        from perfmodel.tracing.tracing import trace

        self.refuse_phase(text)
        module, args, kwargs = made
        return trace(
            module,
            args,
            kwargs=kwargs,
            name=name,
            batch=batch,
            allow_unmodelled=self.allow_unmodelled,
            allow_masks=self.allow_masks,
        )

    def refuse_phase(self, text: str) -> None:
        """Raise :class:`~perfmodel.errors.PerfmodelError` if a phase or a length is asked for."""
        if any(choice is not None for choice in (self.phase, self.tokens, self.context)):
            raise PerfmodelError(
                f"{text}: phase, tokens and context choose a run of a named model; here the inputs "
                "do, so leave these options out"
            )


@dataclass(frozen=True)
class OwnModel:
    """A model of the user's that has been found, but not traced.

    Attributes:
        name: what tables call it.
        fixed_batch: samples in its inputs, or None if it can be made for any.
        trace: its workload for so many samples, traced on the first call.
    """

    name: str
    fixed_batch: int | None
    trace: Callable[[int], Workload]


def is_program(text: str) -> bool:
    """Whether ``text`` names a saved ``torch.export`` program."""
    return text.endswith(".pt2")


def is_factory(text: str) -> bool:
    """Whether ``text`` names a factory."""
    return _FACTORY.fullmatch(text) is not None


def program(path: str, wanted: Wanted) -> OwnModel:
    """The model in the saved program at ``path``.

    Raises:
        PerfmodelError: a phase or a length is wanted.
        TraceError: it cannot be loaded.
    """
    wanted.refuse_phase(path)
    _require_torch()
    from perfmodel.tracing import exported

    loaded = exported.load(path)
    name = Path(path).stem
    batch = exported.batch_size(loaded, name)

    @functools.cache
    def trace(batch: int) -> Workload:
        return exported.from_exported(loaded, name=name, allow_unmodelled=wanted.allow_unmodelled)

    return OwnModel(name, batch, trace)


def is_config(text: str) -> bool:
    """Whether ``text`` names a configuration of transformers, or a folder that holds one."""
    path = Path(text)
    return path.name == "config.json" or (path.is_dir() and (path / "config.json").is_file())


def config(text: str, wanted: Wanted) -> OwnModel:
    """The model, without weights, that a configuration of transformers describes, in a phase.

    Raises :class:`~perfmodel.errors.PerfmodelError` where it describes none.
    """
    _require_torch()
    from perfmodel.models import generation

    path = Path(text)
    folder = (path if path.is_dir() else path.parent).resolve()
    module = generation.from_config(path)
    name = folder.name or type(module).__name__
    trace = functools.cache(partial(wanted.generated, module, name))
    return OwnModel(name, None, trace)


def refuse(text: str) -> None:
    """Say what a file of another kind is, or a name of the hub; nothing for other texts.

    Raises :class:`~perfmodel.errors.PerfmodelError`.
    """
    ending = Path(text).suffix.lower()
    if ending in _OTHER_FILES:
        raise PerfmodelError(f"{text}: {_OTHER_FILES[ending]}")
    if _HUB.fullmatch(text) and not Path(text).exists():
        raise PerfmodelError(
            f"{text}: there is no such file; if it is a model of the Hugging Face hub: nothing is "
            f"downloaded here, so get its configuration (hf download {text} config.json "
            f"--local-dir {text.rpartition('/')[2]}) and name the folder"
        )


def factory(text: str, wanted: Wanted) -> OwnModel:
    """The model that the factory ``text`` makes; the factory is called if it takes no ``batch``.

    Raises:
        UnknownName: the module has no such function; the nearest is suggested.
        PerfmodelError: it cannot be imported, called, or returns something else.
    """
    name, function = named_function(text)
    if _takes_batch(function):

        @functools.cache
        def trace(batch: int) -> Workload:
            made = _make(text, partial(function, batch=batch))
            return wanted.traced(text, name, made, batch)

        return OwnModel(name, None, trace)

    from perfmodel.tracing.arguments import batch_of

    made, fixed = _make(text, function), None
    if isinstance(made, tuple):
        wanted.refuse_phase(text)
        fixed = batch_of(name, None, [made[1], made[2]])
    return OwnModel(name, fixed, functools.cache(partial(wanted.traced, text, name, made)))


def named_function(text: str) -> tuple[str, Callable[..., Any]]:
    """Return the function that ``text`` names, not called, and what tables call its model.

    Raises as :func:`factory`.
    """
    _require_torch()
    match = _FACTORY.fullmatch(text)
    if match is None:
        raise PerfmodelError(f"{text}: expected package.module:function or file.py:function")
    place = match["place"]
    function = _attribute(text, _import(text, place), match["name"])
    stem = Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]
    return f"{stem}:{match['name']}", function


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise PerfmodelError(
            "this needs torch, which is not installed: pip install 'perfmodel[torch]'"
        )


def _import(text: str, place: str) -> ModuleType:
    """The module or file that ``place`` names, as if Python ran in its folder."""
    from perfmodel.models._torchvision import make_importable

    make_importable()
    path = Path(place)
    by_file = place.endswith(".py")
    if by_file and not path.is_file():
        raise PerfmodelError(f"{text}: there is no file {place}")
    try:
        with _on_path(path.resolve().parent if by_file else Path.cwd()):
            if by_file:
                return _run_file(path)
            importlib.invalidate_caches()
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        # The user misspelt the place, or the place imports something that is not there.
        if not by_file and place.split(".")[: len(str(error.name).split("."))] == str(
            error.name
        ).split("."):
            raise PerfmodelError(
                f"{text}: there is no module {error.name} in the current folder or on Python's path"
            ) from error
        raise PerfmodelError(f"{text}: cannot be imported{_failure(error)}") from error
    # A user's module may raise anything while it is imported.
    except Exception as error:
        raise PerfmodelError(f"{text}: cannot be imported{_failure(error)}") from error


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles look their module up by name; a module of that name stays where it is.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _attribute(text: str, module: ModuleType, name: str) -> Callable[..., Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            members = getattr(found, "__dict__", {}).items()
            public = [key for key, value in members if callable(value) and key[0] != "_"]
            raise UnknownName(f"factory of {text.rpartition(':')[0]}", part, public)
        found = getattr(found, part)
    if not callable(found):
        raise PerfmodelError(f"{text}: is {_kind(found)}, not a function; {_RETURNS}")
    return found  # type: ignore[no-any-return]


def _takes_batch(function: Callable[..., Any]) -> bool:
    try:
        return "batch" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def _make(text: str, function: Callable[[], Any]) -> tuple[Any, Any, Any] | Any:
    """Module, positional and keyword arguments, as the factory returns them.

    A model of transformers may come alone: its inputs follow from its configuration.
    """
    import torch

    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise PerfmodelError(
            f"{text}: {error}; a factory is called with a batch or nothing: give what else it "
            "takes a default"
        ) from None
    except ValueError:  # a callable without a signature
        pass
    try:
        made = function()
    except Exception as error:
        raise PerfmodelError(f"{text}: the factory failed{_failure(error)}") from error
    if isinstance(made, torch.nn.Module) and hasattr(
        getattr(made, "config", None), "get_text_config"
    ):
        return made
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise PerfmodelError(f"{text}: returned {_kind(made)}; {_RETURNS}")
    module, args, kwargs = made if len(made) == 3 else (*made, None)
    if not isinstance(module, torch.nn.Module):
        raise PerfmodelError(
            f"{text}: returned {_kind(module)} where the module was expected; {_RETURNS}"
        )
    return module, args, kwargs


def _failure(error: Exception) -> str:
    """Where in the user's source, why, and the way out where there is a known one."""
    from perfmodel.tracing.trace_errors import place, reason

    text = f"{place(error)}: {reason(error)}"
    if "meta tensor" in str(error) or "device meta" in str(error):
        text += (
            ". A tensor on the meta device has no values: build what computes with values on the "
            "CPU, or give those values as numbers"
        )
    return text


def _kind(value: object) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
