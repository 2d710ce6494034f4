"""Documents generated from the model: ``nox -s docs`` writes them, the benchmarks check them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from docs.generators import claims, cost, fidelity, gallery, serving

FOLDER: Final = Path(__file__).resolve().parents[1]
#: File name in docs/ -> what renders it.
DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "claims.md": claims.render,
    "fidelity.md": fidelity.render,
    "serving.md": serving.render,
    "cost.md": cost.render,
    "gallery.md": gallery.render,
}
