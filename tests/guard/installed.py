"""A project that has perfmodel installed, without the minutes that pip takes.

What pip would write is written: the metadata with the entry points of pyproject.toml, in a folder
on Python's path, beside the sources. What is not tried so is the building of the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """The environment of a process that has perfmodel installed in ``folder``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"perfmodel-{project['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: perfmodel\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    if not (folder / "perfmodel").exists():
        (folder / "perfmodel").symlink_to(ROOT / "perfmodel", target_is_directory=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GITHUB_"))}
    return {
        **kept,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PERFMODEL_CACHE_DIR": str(folder / "cache"),
    }


def pytest_in(
    project: Path, env: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    """A run of pytest in a project, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
