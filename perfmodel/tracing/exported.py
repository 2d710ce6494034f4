"""Workloads of programs that ``torch.export`` made already, in memory or saved as ``.pt2``.

A saved program does not say which tensors are views of one another. So its graph is run once more
on tensors without contents, node by node, and from there on it is recorded like any other trace.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import fx
from torch._export.serde.schema import SCHEMA_VERSION
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export.graph_signature import ExportGraphSignature, InputKind
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError
from perfmodel.tracing import operators
from perfmodel.tracing.arguments import batch_of
from perfmodel.tracing.control_flow import INLINED
from perfmodel.tracing.overloads import operator_name
from perfmodel.tracing.recording import record
from perfmodel.tracing.stand_in import StandIns
from perfmodel.tracing.trace_errors import explain_node, reason
from perfmodel.tracing.tracing import assumptions, input_specs, provenance
from perfmodel.workload.workload import Workload

_NOISY_LOGGERS: Final = ("torch.export", "torch._export", "torch._export.serde.serialize")


def load(path: str | os.PathLike[str]) -> torch.export.ExportedProgram:
    """The program that ``torch.export.save`` wrote to ``path``.

    A program is code: loading one can run what its author put into it.

    Raises :class:`~perfmodel.errors.TraceError` where there is no such file, or it is corrupt, of
    another schema, or holds no exported program.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_schema(path, archive)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise TraceError(
            f"{path}: not a program that torch.export.save wrote, or damaged ({reason(error)})"
        ) from error
    try:
        with _quiet():
            program = torch.export.load(path)
    # What a damaged archive leads to is not documented: zlib, pickle and torch all have their own.
    except Exception as error:
        raise TraceError(
            f"{path}: torch {torch.__version__} cannot load this program ({reason(error)}). If it "
            "calls operators of your own, import them in a factory and trace the module there; "
            "else export the model again"
        ) from error
    _part(program.state_dict)
    _part(program.constants)
    return program


def _part(tensors: dict[str, Any]) -> None:
    """Give each meta tensor its own storage: in a file, all of them have become one.

    Which parameters share a storage is lost with that, but the graph uses shared ones by one name.
    """
    for name, tensor in tensors.items():
        if isinstance(tensor, torch.Tensor) and tensor.is_meta:
            parted: torch.Tensor = torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
            )
            if isinstance(tensor, torch.nn.Parameter):
                parted = torch.nn.Parameter(parted, requires_grad=False)
            tensors[name] = parted


def _check_schema(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise unless ``archive`` holds a program in the schema that this torch reads."""
    members = [name for name in archive.namelist() if "/models/" in name and name.endswith(".json")]
    if not members:
        raise ValueError("there is no exported program in it")
    version = json.loads(archive.read(members[0]))["schema_version"]
    major, _ = SCHEMA_VERSION
    if version["major"] != major:
        way_out = "upgrade torch" if version["major"] > major else "export it again"
        raise TraceError(
            f"{path}: the program has schema version {version['major']}.{version['minor']}, and "
            f"torch {torch.__version__} reads {major}: {way_out}, or trace the module"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Not a word from torch: what fails is told in one line."""
    levels = {logger: logger.level for logger in map(logging.getLogger, _NOISY_LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def from_exported(
    program: torch.export.ExportedProgram,
    *,
    name: str = "program",
    batch: int | None = None,
    allow_unmodelled: bool = False,
) -> Workload:
    """What one run of ``program`` asks for, at the shapes it was exported with.

    Sizes that were left open (dynamic shapes) are those of the example inputs it was exported with.
    The program is left as it was.

    Args:
        program: from ``torch.export.export``, or ``torch.export.load``.
        name: of the workload.
        batch: samples in the inputs; by default the first dimension of the first tensor.
        allow_unmodelled: as in :func:`perfmodel.tracing.tracing.trace`.

    Raises:
        TraceError: the program cannot be run on shapes alone, or depends on values.
        UnmodelledOperator: operators without a formula, all of them named.
    """
    inputs = _user_inputs(program, name)
    batch = batch_of(name, batch, list(inputs.values()))
    # Values that are read become symbols; where a size depends on one, the recorder says so.
    stand_ins = StandIns(FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True))
    module = copy.deepcopy(program.graph_module)
    values = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            value = inputs[spec.arg.name]
        elif spec.target in program.state_dict:
            value = program.state_dict[spec.target]
        else:
            value = program.constants.get(spec.target)
        values.append(stand_ins.of(value) if isinstance(value, torch.Tensor) else value)
    with stand_ins.mode, torch.no_grad():
        _Replay(module, name).run(*values)
    replayed = _Replayed(module, program.graph_signature)
    recording = record(replayed, name, allow_unmodelled=allow_unmodelled)
    return Workload(
        name=name,
        batch=batch,
        parameters=_parameters(program),
        inputs=input_specs(replayed),
        tensors=recording.tensors,
        kernels=recording.kernels,
        accesses=recording.accesses,
        provenance={**provenance(), **assumptions(recording)},
        unmodelled=recording.unmodelled,
    )


def batch_size(program: torch.export.ExportedProgram, name: str) -> int:
    """Samples in the inputs of ``program``; raises what :func:`from_exported` raises for those."""
    return batch_of(name, None, list(_user_inputs(program, name).values()))


@dataclass(frozen=True)
class _Replayed:
    """What the recorder reads of a program: the graph with new values, and its signature."""

    graph_module: fx.GraphModule
    graph_signature: ExportGraphSignature

    @property
    def graph(self) -> fx.Graph:
        return self.graph_module.graph


def _user_inputs(program: torch.export.ExportedProgram, name: str) -> dict[str, Any]:
    """What stands for each argument that the user passes, by the name of its placeholder."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    names = [
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    ]
    inputs = {argument: values[argument] for argument in names}
    if not any(map(_is_open, inputs.values())):
        return inputs
    examples = pytree.tree_leaves(program.example_inputs or ())
    if len(examples) != len(names):
        raise TraceError(
            f"{name}: the program leaves sizes open (dynamic shapes) and holds no example inputs "
            "to take them from; export it with fixed shapes"
        )
    return dict(zip(names, examples, strict=True))


def _is_open(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return any(isinstance(size, torch.SymInt) for size in value.shape)
    return isinstance(value, torch.SymInt)


class _Replay(fx.Interpreter):  # type: ignore[misc]  # torch is Any to mypy
    """Runs a graph and leaves in each node the value it had; subgraphs that run once likewise.

    Whatever device the program was exported for, it is a CPU here.
    """

    def __init__(self, module: fx.GraphModule, model: str) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self._model = model

    def run_node(self, n: fx.Node) -> Any:
        """The value of ``n``, kept in its ``meta``."""
        try:
            value = self._value(n)
        except TraceError:
            raise
        # Anything can come out of an operator, or out of a graph that was edited.
        except Exception as error:
            what = explain_node(error, str(n.target), n.meta.get("stack_trace"))
            raise TraceError(f"{self._model}: {what}") from error
        n.meta["val"] = value
        return value

    def _value(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        if not hasattr(n.target, "_schema"):
            position = INLINED.get(getattr(n.target, "__name__", ""))
            if position is None:
                return super().run_node(n)
            args, _ = self.fetch_args_kwargs_from_env(n)
            function, first = position
            return _Replay(args[function], self._model).run(*args[first:])
        name = operator_name(n.target)
        if name in operators.FREE and "_assert" in name:
            return None  # It asks for the device of the export, or for values.
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        args, kwargs = pytree.tree_map_only(
            torch.device, lambda device: torch.device("cpu"), (args, kwargs)
        )
        return n.target(*args, **kwargs)


def _parameters(program: torch.export.ExportedProgram) -> int:
    """Trainable parameters, those that share a storage once."""
    distinct = {
        (p.untyped_storage()._cdata, p.storage_offset(), p.shape, p.stride()): p.numel()
        for p in program.parameters()
    }
    return sum(distinct.values())
