"""Rebuild the saved workloads of measured models.

    python -m evidence.build [NAME ...]

traces each network anew and writes it to perfmodel/evidence/workloads/. It needs the packages of
evidence/requirements.txt beside perfmodel's own; no weight is downloaded.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Final

from evidence.recipe import Recipe

FOLDER: Final = Path(__file__).parent.parent / "perfmodel" / "evidence" / "workloads"
SOURCES: Final = ("timm_models", "torchbench", "openvino_models", "mlperf", "graviton", "encoders")


def recipes() -> dict[str, Recipe]:
    """Return every recipe by the name of its workload."""
    found: dict[str, Recipe] = {}
    for source in SOURCES:
        module = importlib.import_module(f"evidence.models.{source}")
        assert not found.keys() & module.RECIPES.keys(), source
        found.update(module.RECIPES)
    return found


def build(name: str, recipe: Recipe, folder: Path = FOLDER) -> Path:
    """Trace ``recipe`` and save it as ``name``.json.gz in ``folder``."""
    import perfmodel

    module, inputs = recipe.make()
    options = {"name": name, "allow_unmodelled": recipe.allow_unmodelled}
    if recipe.sizes is None:
        document = perfmodel.trace(module, inputs, batch=1, **options).to_dict()
    else:
        traced = perfmodel.trace_parametric(module, inputs, sizes=recipe.sizes, **options)
        document = traced.to_dict()
    path = folder / f"{name}.json.gz"
    text = json.dumps(document, separators=(",", ":")) + "\n"
    # No date and no name of a file in the header: the same workload gives the same bytes.
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def main(names: list[str]) -> None:
    """Build the workloads called ``names``, or all."""
    found = recipes()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or found:
        path = build(name, found[name])
        print(f"{path.name} {path.stat().st_size}")


if __name__ == "__main__":
    main(sys.argv[1:])
