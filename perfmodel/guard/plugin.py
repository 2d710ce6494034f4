"""The pytest plugin: hold the estimated latency of models against snapshots and budgets.

::

    def test_latency(perfmodel_guard):
        perfmodel_guard(encoder, cpus=["graviton4", "epyc_9654"], precision="bf16")
        perfmodel_guard(encoder, cpus=["graviton4"], max_latency="12 ms", max_increase="5 %")

``pytest`` compares, ``pytest --perfmodel-update`` accepts. Importing this module imports nothing of
perfmodel's that takes time: it is loaded in every environment that has both.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from perfmodel.guard.fixture import Guard
    from perfmodel.guard.report import Report
    from perfmodel.guard.session import Recorded
    from perfmodel.guard.snapshots import Folder

MARKER: Final = "perfmodel"
FIXTURE: Final = "perfmodel_guard"
#: Attribute of a test's report: all that is wrong is in the report at the end.
_REPORTED: Final = "perfmodel_reported"
#: The name under which a worker of pytest-xdist sends what it recorded.
_OUTPUT: Final = "perfmodel_guard"

RECORDED: Final = pytest.StashKey["Recorded"]()
FOLDER: Final = pytest.StashKey["Folder"]()
_REPORT: Final = pytest.StashKey["Report"]()
_PARTIAL: Final = pytest.StashKey[bool]()
_FAILED: Final = pytest.StashKey[set[str]]()

_OPTIONS: Final = (
    ("snapshots", "DIR", "perfmodel_snapshots", "Folder of the snapshots, from the rootdir."),
    ("rtol", "SHARE", "1e-6", "Relative difference that is no shift: 5 %, 0.05."),
    ("results", "FILE", "", "Write all estimates of the session to this file (JSON)."),
    ("report", "FILE", "", "Write the report to this file: .md, .html, or else text."),
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare --perfmodel-* and the same as ini options."""
    group = parser.getgroup("perfmodel", "latency estimates (perfmodel)")
    group.addoption(
        "--perfmodel-update",
        action="store_true",
        default=False,
        help="Accept all latencies as they are now, and store what is not recorded yet.",
    )
    for name, metavar, default, text in _OPTIONS:
        usual = f" [default: {default}]" if default else ""
        group.addoption(f"--perfmodel-{name}", metavar=metavar, default=None, help=text + usual)
        parser.addini(f"perfmodel_{name}", f"{text}{usual}", default=default)
    parser.addini(
        "perfmodel_accept", "The command that accepts, as messages name it.",
        default="pytest --perfmodel-update",
    )  # fmt: skip
    parser.addini("perfmodel_cpus", "CPUs of a guard that names none.", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and meet the workers where there are any."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(rtol, max_latency, max_increase): what perfmodel_guard allows in this test",
    )
    config.stash[_FAILED] = set()
    config.pluginmanager.register(_Outcomes(config.stash[_FAILED]), "perfmodel-outcomes")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Workers(), "perfmodel-workers")


def pytest_report_header(config: pytest.Config) -> str:
    """Name the version and the figures that estimates are made of."""
    from perfmodel._version import __version__
    from perfmodel.guard.catalogue import catalogue_digest

    return f"perfmodel: {__version__}, catalogue {catalogue_digest()}"


@pytest.fixture
def perfmodel_guard(request: pytest.FixtureRequest) -> Guard:
    """Return a function that holds the estimated latency of a model: see docs/guard.md."""
    try:
        import syrupy  # noqa: F401
    except ImportError:
        pytest.fail(
            "perfmodel_guard needs syrupy, which is not installed: pip install 'perfmodel[pytest]'",
            pytrace=False,
        )
    from perfmodel.guard.fixture import Guard

    config = request.config
    limits: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(MARKER))):
        unknown = sorted(marker.kwargs.keys() - {"rtol", "max_latency", "max_increase"})
        if marker.args or unknown:
            what = repr(unknown[0]) if unknown else f"{len(marker.args)} positional values"
            pytest.fail(
                f"the marker {MARKER} takes rtol=, max_latency= and max_increase=, not {what}",
                pytrace=False,
            )
        limits |= marker.kwargs
    return Guard(
        recorded=recorded(config),
        folder=folder(config),
        test=request.node.nodeid,
        updating=updating(config),
        accept=config.getini("perfmodel_accept"),
        rtol=option(config, "rtol"),
        cpus=config.getini("perfmodel_cpus"),
        limits=limits,
    )


# -- options ---------------------------------------------------------------------------------------


def option(config: pytest.Config, name: str) -> str:
    """Return an option: of the command line, else of the ini file, else its default."""
    given = config.getoption(f"perfmodel_{name}")
    return str(given if given is not None else config.getini(f"perfmodel_{name}"))


def updating(config: pytest.Config) -> bool:
    """Return whether this session accepts: by our own option, or by syrupy's."""
    return bool(
        config.getoption("perfmodel_update") or config.getoption("update_snapshots", default=False)
    )


def recorded(config: pytest.Config) -> Recorded:
    """Return what this session recorded so far."""
    from perfmodel.guard.session import Recorded

    return config.stash.setdefault(RECORDED, Recorded())


def folder(config: pytest.Config) -> Folder:
    """Return the session's snapshots."""
    from perfmodel.guard.snapshots import Folder

    found = config.stash.get(FOLDER, None)
    if found is None:
        found = Folder(config.rootpath / option(config, "snapshots"))
        config.stash[FOLDER] = found
    return found


# -- what became of the tests ----------------------------------------------------------------------


class _Outcomes:
    """Notes the tests that failed, here or in a worker."""

    def __init__(self, failed: set[str]) -> None:
        self.failed = failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark what the report says; note a guarded test that may not have made its estimates."""
    made = yield
    if FIXTURE in getattr(item, "fixturenames", ()):
        from perfmodel.guard.outcomes import NotAsRecorded

        reported = call.excinfo is not None and isinstance(call.excinfo.value, NotAsRecorded)
        if reported:
            setattr(made, _REPORTED, True)
        elif made.failed or made.skipped:
            item.config.stash[_PARTIAL] = True
    return made


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note a module that is skipped: its tests, which may guard something, do not run."""
    made = yield
    if made.skipped:
        collector.config.stash[_PARTIAL] = True
    return made


# -- the end of the session ------------------------------------------------------------------------


class _Workers:
    """Hooks of pytest-xdist; registered only where it is installed."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over what a worker recorded."""
        sent = getattr(node, "workeroutput", {}).get(_OUTPUT)
        config = node.config
        if sent is None:
            return
        from perfmodel.guard.session import Recorded

        theirs = Recorded.from_text(sent)
        if RECORDED in config.stash:
            config.stash[RECORDED].merge(theirs)
        else:
            # Merged into an empty one, so that the same checks are made.
            config.stash[RECORDED] = Recorded(whole=True)
            config.stash[RECORDED].merge(theirs)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note that only a part of the suite runs."""
    if items:
        items[0].config.stash[_PARTIAL] = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In a worker, send what was recorded; else compare it, store it, and set the exit status."""
    config = session.config
    if RECORDED not in config.stash:
        return
    found = config.stash[RECORDED]
    output = getattr(config, "workeroutput", None)
    if output is not None or not _distributes(config):
        found.whole = _whole(session, exitstatus)
    if output is not None:
        output[_OUTPUT] = found.to_text()
        return
    snapshots = folder(config)
    old = found.stored(snapshots)
    if updating(config):
        found.problems += found.store(snapshots)
    report = found.report(old)
    config.stash[_REPORT] = report
    if target := option(config, "results"):
        from perfmodel.guard import results

        results.save(Path(target), found.everything(), old=old, failures=found.failures,
                     tests=found.tests, failed=config.stash[_FAILED])  # fmt: skip
    if report.problems and session.exitstatus in (
        pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED,
    ):  # fmt: skip
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _distributes(config: pytest.Config) -> bool:
    return any(config.getoption(name, default=None) for name in ("numprocesses", "tx"))


def _whole(session: pytest.Session, exitstatus: int) -> bool:
    """Whether every test of the suite ran: none named, deselected, or left out by a stop."""
    config = session.config
    named = config.args_source == pytest.Config.ArgsSource.ARGS
    stopped = session.shouldstop or session.shouldfail or exitstatus not in (0, 1)
    return not (named or stopped or config.stash.get(_PARTIAL, False) or _ignored(config))


def _ignored(config: pytest.Config) -> bool:
    return any(
        config.getoption(name, default=None)
        for name in ("ignore", "ignore_glob", "deselect", "keyword", "markexpr", "lf", "stepwise")
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: Any, config: pytest.Config
) -> Generator[None, None, None]:
    """Print the report in the place of the failures that it is about; write it where asked.

    With ``-v`` those failures are shown as well.
    """
    report = config.stash.get(_REPORT, None)
    stats = terminalreporter.stats
    failed = stats.get("failed", [])
    said = [] if config.get_verbosity() > 0 else [r for r in failed if hasattr(r, _REPORTED)]
    if report is None or not said:
        yield
    else:
        stats["failed"] = [r for r in failed if r not in said]
        yield
        stats["failed"] = failed
    if report is not None:
        _show(terminalreporter, config, report, said)


def _show(
    terminalreporter: Any, config: pytest.Config, report: Report, said: Sequence[pytest.TestReport]
) -> None:
    from perfmodel.guard import rendering

    accepted = updating(config) and not report.problems
    accept = config.getini("perfmodel_accept")
    if report:
        terminalreporter.write_sep("=", "perfmodel")
        color = terminalreporter._tw.hasmarkup
        terminalreporter.write(rendering.text(report, accept=accept, updated=accepted, color=color))
        if said:
            files = Counter(r.nodeid.partition("::")[0] for r in said)
            places = ", ".join(f"{count} in {file}" for file, count in sorted(files.items()))
            terminalreporter.write_line(f"Tests that fail for it (-v shows each): {places}")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and report:
        with open(summary, "a", encoding="utf-8") as stream:
            stream.write(rendering.markdown(report, accept=accept, updated=accepted))
    target = option(config, "report")
    if target:
        texts: Mapping[str, Any] = {
            ".md": lambda: rendering.markdown(report, accept=accept, updated=accepted),
            ".html": lambda: rendering.page(report),
        }
        path = Path(target)
        plain = rendering.text(report, accept=accept, updated=accepted)
        written = texts[path.suffix]() if path.suffix in texts else plain
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written, encoding="utf-8")
