"""What software does with a model's kernels: fusion, launch, copies, and its kernels' efficiency.

A description holds no CPU and no model::

    software = load_software("eager")            # or the path of a TOML file
    software.fusion, software.threads
    software.figures()["software.eager.launch.conv"]

docs/model.md says how the formula uses it.
"""

from __future__ import annotations

from perfmodel.software.catalog import catalogue, load_software
from perfmodel.software.schema import Software

__all__ = ["Software", "catalogue", "load_software"]
