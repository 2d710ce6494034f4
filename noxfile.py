"""What one can do here, one session each. ``nox`` runs all that judge; ``nox -l`` lists them.

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
nox.options.sessions = ["lint", "tests", "benchmarks", "conformance"]

PROJECT = nox.project.load_toml("pyproject.toml")
#: perfmodel with whatever a command may need.
ALL = ".[torch,transformers,plot,host,pandas,report,dask]"


def install(session: nox.Session, group: str, package: str) -> None:
    """Install a dependency group and perfmodel itself, editable, at the constrained versions."""
    session.install(
        "--constraint",
        "constraints.txt",
        *nox.project.dependency_groups(PROJECT, group),
        "--editable",
        package,
    )


def pytest(session: nox.Session, folders: str, *options: str) -> None:
    """Run pytest on ``folders``, or on the paths among the options where there are any."""
    named = any(Path(option.partition("::")[0]).exists() for option in session.posargs)
    session.run("pytest", *options, *([] if named else folders.split()), *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting and types: ruff and mypy --strict. Options go to ruff check."""
    install(session, "lint", ".")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "--strict")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit and property tests, on all cores. Options go to pytest; ``-n 0`` is one process."""
    install(session, "test", ALL)
    # By file, so that what a module's tests share is traced once.
    pytest(session, "tests", "-n", "auto", "--dist", "loadfile")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Expected rankings, latency snapshots and speed. Options go to pytest.

    ``nox -s benchmarks -- --snapshot-update`` accepts every shift, and writes what documents and
    the README say of it.
    """
    install(session, "benchmark", ".[torch,transformers,report]")
    if {"--snapshot-update", "--perfmodel-update"} & {*session.posargs}:
        session.run("python", "-m", "docs.generators")
    pytest(session, "benchmarks")


@nox.session
def conformance(session: nox.Session) -> None:
    """Every model of torchvision and the zoo against independent counts. Options go to pytest."""
    install(session, "conformance", ".[torch,transformers]")
    # Each model is built and traced in one thread; two of them at a time.
    session.env["OMP_NUM_THREADS"] = "1"
    pytest(session, "conformance", "--numprocesses=2")


@nox.session
def zoo(session: nox.Session) -> None:
    """Public models by the hundred: counted right, and left as they were. Options go to pytest.

    ``nox -s zoo -- --sample 0.1`` draws a tenth of timm's, transformers' and diffusers', and
    installs no other library; ``-- --library monai`` runs those of one.
    """
    sampled = any(option.startswith("--sample") for option in session.posargs)
    install(session, "zoo-sample" if sampled else "zoo", ".[torch,transformers]")
    session.env["OMP_NUM_THREADS"] = "1"
    session.env["YOLO_OFFLINE"] = "true"
    pytest(session, "zoo", "--numprocesses=2", "--dist=worksteal")


@nox.session
def host_software(session: nox.Session) -> None:
    """OpenVINO, ONNX Runtime and Inductor on this computer, against PyTorch. Options go to pytest.

    The tests have them made up; here they are installed (some 200 MB) and run, minutes.
    """
    install(session, "hosted", ".[torch,host,openvino,onnxruntime]")
    session.env["OMP_NUM_THREADS"] = "1"
    pytest(session, "hosted")


@nox.session
def mutants(session: nox.Session) -> None:
    """Break a sample of places and see that nine in ten are noticed. Options go to tools.mutants.

    ``nox -s mutants -- serving cost --sample 60`` breaks more of two rooms, ``--
    perfmodel/cost/tco.py:129`` what is on a line, ``-- --all`` every place (hours).
    """
    install(session, "mutants", ALL)
    session.run("python", "-m", "tools.mutants", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """The report in Chromium, which has to be installed: charts, filters, accessibility."""
    install(session, "browser", ".[torch,report]")
    pytest(session, "browser")


@nox.session
@nox.parametrize(
    ("python", "release"),
    [("3.11", "oldest"), ("3.11", "newest"), ("3.12", "newest"), ("3.13", "newest")],
    ids=["oldest", "newest", "3.12", "3.13"],
)
def compat(session: nox.Session, release: str) -> None:
    """Tracing and counting with the oldest and the newest PyTorch. Options go to pytest.

    ``nox -s "compat(newest)"`` is one of them; docs/compatibility.md has what they printed. PyPI's
    builds take gigabytes.
    """
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {*extras["torch"], *extras["transformers"]}
    if release == "oldest":
        wanted = {requirement.replace(">=", "==") + ".*" for requirement in wanted}
    groups = nox.project.dependency_groups(PROJECT, "test", "conformance")
    session.install("--upgrade", *groups, *sorted(wanted), "--editable", ".[pandas]")
    session.run("python", "-m", "pip", "list", "--format=freeze")
    session.env["OMP_NUM_THREADS"] = "1"
    pytest(session, "tests/tracing tests/models tests/workload conformance/test_torchvision.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated documents of docs/; the benchmarks hold them to be current."""
    install(session, "benchmark", ".[torch,transformers,report]")
    session.run("python", "-m", "docs.generators", *session.posargs)
