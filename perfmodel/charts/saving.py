"""A chart as a PNG or SVG file, drawn without a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import NotInstalled, PerfmodelError

#: Ends of files that a chart can be saved as.
SUFFIXES: Final = (".png", ".svg")


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise PerfmodelError for a file that is neither a PNG nor an SVG."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise PerfmodelError(f"{path}: a chart is saved as .png or .svg")


def save(chart: Any, path: str | os.PathLike[str]) -> None:
    """Save a chart, in the format that the end of ``path`` says.

    Raises:
        PerfmodelError: another format, or a file that cannot be written.
        NotInstalled: without vl-convert.
    """
    check_suffix(path)
    try:
        import vl_convert
    except ImportError:
        raise NotInstalled("vl-convert-python", "report") from None
    spec = chart.to_dict()
    try:
        if Path(path).suffix.lower() == ".svg":
            Path(path).write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
        else:
            Path(path).write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
    except OSError as error:
        raise PerfmodelError(f"{path}: cannot be written: {error.strerror}") from None
