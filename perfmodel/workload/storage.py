"""The JSON document of a workload: written atomically, read without torch, never taken on trust.

docs/workload-format.md describes it. Every number in it is an integer, so the round trip is exact.
:class:`~perfmodel.workload.workload.Workload` saves and loads itself by these functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel._files import write_atomically
from perfmodel.errors import PerfmodelError, WorkloadFormatError
from perfmodel.vocabulary.families import CODE, FAMILIES
from perfmodel.workload.documents import check_kind, fail, show
from perfmodel.workload.tables import (
    KINDS,
    ROLES,
    Accesses,
    BoolArray,
    InputSpec,
    IntArray,
    Kernels,
    Tensors,
    beyond_int64,
)

if TYPE_CHECKING:
    from perfmodel.workload.schemas import WorkloadDocument
    from perfmodel.workload.workload import Workload

FORMAT: Final = "perfmodel.workload"
#: Version of the document this release writes, and the only one it reads.
VERSION: Final = 1

#: What a file compressed by gzip begins with.
_GZIP: Final = b"\x1f\x8b"

_GEMM: Final = ("gemm_batch", "gemm_m", "gemm_n", "gemm_k")


def to_dict(workload: Workload) -> dict[str, Any]:
    """The document of ``workload``, as plain Python objects that :mod:`json` can write."""
    t, k, a = workload.tensors, workload.kernels, workload.accesses
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": workload.name,
        "batch": workload.batch,
        "parameters": workload.parameters,
        "flops_per_mac": 2,
        "inputs": [
            {"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in workload.inputs
        ],
        "provenance": dict(workload.provenance),
        "unmodelled": list(workload.unmodelled),
        "phase": workload.phase,
        "tokens": workload.tokens,
        "context": workload.context,
        "tensors": {
            "name": list(t.name),
            "kind": _texts(t.kind, KINDS),
            "elements": t.elements.tolist(),
            "itemsize": t.itemsize.tolist(),
            "floating": t.floating.tolist(),
        },
        "kernels": {
            "name": list(k.name),
            "operator": list(k.operator),
            "family": _texts(k.family, FAMILIES),
            "flops": k.flops.tolist(),
            "vector_ops": k.vector_ops.tolist(),
            **{column: k.gemm[:, i].tolist() for i, column in enumerate(_GEMM)},
        },
        "accesses": {
            "kernel": a.kernel.tolist(),
            "tensor": a.tensor.tolist(),
            "role": _texts(a.role, ROLES),
            "elements": a.elements.tolist(),
        },
    }


def fields(
    document: Mapping[str, Any], source: str, size: Callable[[str], object] | None = None
) -> dict[str, Any]:
    """The arguments of the Workload of a document that :func:`to_dict` made.

    ``size`` makes a size of a text, and raises a PerfmodelError if it is none; without it, every
    size is a number. Columns that hold such sizes are arrays of objects.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and what was
    expected there.
    """
    from perfmodel.workload.schemas import WorkloadDocument, checked

    check_kind(document, source, FORMAT, VERSION)
    return _fields(checked(WorkloadDocument, document, source, size), source)


def own_fields(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same of a document that perfmodel wrote and nobody changed since, as a digest says.

    Its columns are not looked at one by one, which takes longer than reading them.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`.
    """
    check_kind(document, source, FORMAT, VERSION)
    try:
        whole = SimpleNamespace(**document)
        for table in ("tensors", "kernels", "accesses"):
            setattr(whole, table, SimpleNamespace(**document[table]))
        whole.inputs = [SimpleNamespace(**given) for given in document["inputs"]]
        return _fields(whole, source)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise WorkloadFormatError(f"{source}: {error!r}") from None


def write(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path``, which holds the old file or the new one at any moment.

    Raises :class:`~perfmodel.errors.PerfmodelError` if the file cannot be written.
    """
    try:
        write_atomically(Path(path), text)
    except OSError as error:
        raise PerfmodelError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: str | Path) -> Any:
    """The JSON document in a file, compressed by gzip or not.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`.
    """
    source = str(path)
    try:
        content = Path(path).read_bytes()
        if content.startswith(_GZIP):
            content = _unpacked(content, source)
    except OSError as error:
        raise WorkloadFormatError(f"cannot read {source}: {error.strerror or error}") from error
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WorkloadFormatError(
            f"{source}: not valid JSON, or cut short ({error}); write it again with Workload.save"
        ) from error


def _unpacked(content: bytes, source: str) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WorkloadFormatError(
            f"{source}: not valid gzip, or cut short ({error}); write it again"
        ) from error


def _fields(document: WorkloadDocument | SimpleNamespace, source: str) -> dict[str, Any]:
    """Check what ties the columns together, and turn them into arrays."""
    t, k, a = document.tensors, document.kernels, document.accesses
    for table, columns in (("tensors", t), ("kernels", k), ("accesses", a)):
        _check_lengths(columns, table, source)
    for row, family in enumerate(k.family):
        if family not in CODE:
            expected = f"expected one of {', '.join(FAMILIES)}, found {show(family)}"
            fail(source, f"kernels.family[{row}]", expected)

    kernel, tensor = _integers(a.kernel), _integers(a.tensor)
    _check_indices(kernel, len(k.name), "kernel", source)
    _check_indices(tensor, len(t.name), "tensor", source)
    # An expression is not 0, either.
    if (document.phase is not None) != (document.tokens != 0):
        fail(source, "tokens", "expected at least 1 in a phase and 0 without one")
    if (document.phase == "decode") != (document.context != 0):
        fail(source, "context", "expected at least 1 in decode and 0 elsewhere")
    unordered = np.flatnonzero(np.diff(kernel) < 0)
    if len(unordered):
        fail(source, f"accesses.kernel[{unordered[0] + 1}]", "expected rows ordered by kernel")

    tensors = Tensors(
        name=tuple(t.name),
        kind=_codes(t.kind, KINDS),
        elements=_integers(t.elements),
        itemsize=_integers(t.itemsize),
        floating=_frozen_bools(t.floating),
    )
    kernels = Kernels(
        name=tuple(k.name),
        operator=tuple(k.operator),
        family=_codes(k.family, FAMILIES),
        flops=_integers(k.flops),
        vector_ops=_integers(k.vector_ops),
        gemm=_integers(list(zip(*(getattr(k, c) for c in _GEMM), strict=True)), width=4),
    )
    accesses = Accesses(
        kernel=kernel,
        tensor=tensor,
        role=_codes(a.role, ROLES),
        elements=_integers(a.elements),
    )
    too_large = beyond_int64(tensors, kernels, accesses)
    if too_large is not None:
        fail(source, too_large, "the total is beyond what a 64-bit integer holds")
    return {
        "name": document.name,
        "batch": document.batch,
        "parameters": document.parameters,
        "inputs": tuple(InputSpec(i.name, tuple(i.shape), i.dtype) for i in document.inputs),
        "tensors": tensors,
        "kernels": kernels,
        "accesses": accesses,
        "provenance": document.provenance,
        "unmodelled": tuple(document.unmodelled),
        "phase": document.phase,
        "tokens": document.tokens,
        "context": document.context,
    }


def _check_lengths(columns: object, table: str, source: str) -> None:
    lengths = {column: len(values) for column, values in vars(columns).items()}
    rows = lengths["elements"] if "elements" in lengths else lengths["name"]
    for column, length in lengths.items():
        if length != rows:
            first = "elements" if "elements" in lengths else "name"
            fail(
                source,
                f"{table}.{column}",
                f"expected {rows} entries, as in {table}.{first}, found {length}",
            )


def _check_indices(indices: IntArray, rows: int, column: str, source: str) -> None:
    beyond = np.flatnonzero(indices >= rows)
    if len(beyond):
        row = beyond[0]
        fail(
            source,
            f"accesses.{column}[{row}]",
            f"expected the index of one of {rows} {column}s, found {indices[row]}",
        )


def _texts(codes: IntArray, vocabulary: Sequence[str]) -> list[str]:
    return [vocabulary[code] for code in codes.tolist()]


def _codes(texts: Iterable[str], vocabulary: Sequence[str]) -> IntArray:
    code = {text: i for i, text in enumerate(vocabulary)}
    return _integers([code[text] for text in texts])


def _integers(values: Sequence[Any], width: int | None = None) -> IntArray:
    try:
        array = np.array(values, dtype=np.int64)
    except TypeError:  # Expressions are among them.
        array = np.array(values, dtype=np.object_)
    if width is not None:
        array = array.reshape(-1, width)
    array.setflags(write=False)
    return array


def _frozen_bools(values: Sequence[bool]) -> BoolArray:
    array = np.array(values, dtype=np.bool_)
    array.setflags(write=False)
    return array


def layout(value: object, indent: str = "") -> str:
    """JSON with one line per field, so that a column is a line: compact, and it can be diffed."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = indent + " "
    items = (f"{inner}{json.dumps(key)}: {layout(item, inner)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"
