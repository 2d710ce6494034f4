"""What one can do here, one session each. ``nox`` runs all three; ``nox -l`` lists them.

Options after ``--`` go to the tool of the session: ``nox -s tests -- -k precision -x``. The
environments are kept between runs and their packages brought up to date, at the versions of
constraints.txt.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests", "benchmarks"]

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, group: str, package: str) -> None:
    """Install a dependency group and perfmodel itself, editable, at the constrained versions."""
    session.install(
        "--constraint",
        "constraints.txt",
        *nox.project.dependency_groups(PROJECT, group),
        "--editable",
        package,
    )


def pytest(session: nox.Session, folder: str) -> None:
    """Run pytest on ``folder``, or on the paths among the options where there are any."""
    named = any(Path(option.partition("::")[0]).exists() for option in session.posargs)
    session.run("pytest", *([] if named else [folder]), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and types: ruff and mypy --strict. Options go to ruff check."""
    install(session, "lint", ".")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "--strict")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit and property tests. Options go to pytest."""
    install(session, "test", ".[torch]")
    pytest(session, "tests")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Expected rankings, latency snapshots and speed. Options go to pytest.

    ``nox -s benchmarks -- --snapshot-update`` accepts every shift of a snapshot.
    """
    install(session, "benchmark", ".[torch]")
    pytest(session, "benchmarks")
