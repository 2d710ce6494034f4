"""Old against new in one job: the suite of a pull request, and that of its base, side by side.

``python -m perfmodel.guard.pull_request --base SHA --output FOLDER [--fail-above 5%] [-- PYTEST]``
runs pytest in the current checkout and, with the same perfmodel, in a work tree of the base. So two
things are told apart that a committed snapshot mixes:

* **the pull request**: a test fails that did not fail at the base, a model that worked is no longer
  traced, or the increase over the base is more than is allowed. This blocks.
* **drift**: tests that fail at the base too, since perfmodel or a library changed below both. This
  is reported, for a change of its own.

FOLDER gets ``report.md`` (empty where nothing moved), ``report.html`` and the results of both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from perfmodel.errors import PerfmodelError
from perfmodel.guard import rendering, results
from perfmodel.guard.difference import BROKEN, compare_results, moved_beyond
from perfmodel.guard.documents import Document
from perfmodel.guard.gitrange import commit_of, environment, prefix, tree_of
from perfmodel.guard.report import Report
from perfmodel.guard.tolerance import share
from perfmodel.guard.words import listed

#: pytest's exit codes that say something about the tests: passed, failed.
_JUDGED = (0, 1)
PASSED, BLOCKED, UNKNOWN = 0, 1, 2
_DRIFT = (
    "The snapshots do not hold at the base either: perfmodel or a library changed below both. "
    "Accept that in a change of its own: `pytest --perfmodel-update`."
)


def judge(
    base_code: int,
    head_code: int,
    report: Report | None,
    limit: float | None,
    newly: Sequence[str] = (),
) -> tuple[int, str]:
    """Return the exit code for a pull request, and why, in a line.

    Args:
        base_code, head_code: of pytest on both sides.
        report: base against head; None where one of them has no results.
        limit: the increase of latency that is allowed; None allows what the tests allow.
        newly: tests that fail, and did not at the base.
    """
    if head_code not in _JUDGED:
        return UNKNOWN, f"pytest could not run the suite (exit code {head_code})."
    if report is not None and any(text.startswith(BROKEN) for text in report.problems):
        return BLOCKED, "A model that was traced at the base is no longer."
    if report is not None and limit is not None and moved_beyond(report, limit):
        return BLOCKED, f"Slower than its base by more than {limit * 100:g} %."
    if head_code == 1 and (base_code == 0 or newly):
        which = f" ({rendering.escaped(listed(newly))})" if newly else ""
        return BLOCKED, (
            f"Passed at the base, and fails now{which}. To accept: `pytest --perfmodel-update`."
        )
    if head_code == 1 and report is None:
        return BLOCKED, "Fails, and there is nothing at the base to compare with."
    return PASSED, _DRIFT if head_code == 1 else ""


def main(arguments: Sequence[str]) -> int:
    """Run both sides, write the report, and return the exit code of :func:`judge`."""
    parser = argparse.ArgumentParser(prog="perfmodel.guard.pull_request", description=__doc__)
    parser.add_argument("--base", required=True, help="the commit to compare with")
    parser.add_argument("--output", type=Path, default=Path("perfmodel-report"))
    parser.add_argument("--fail-above", default=None, help="the increase that is allowed: 5%%")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest")
    asked = parser.parse_args(arguments)
    try:
        limit = share(asked.fail_above, "--fail-above") if asked.fail_above else None
        return _run(asked.base, asked.output.resolve(), limit, asked.pytest)
    except PerfmodelError as error:
        print(f"perfmodel: error: {error}", file=sys.stderr)
        return UNKNOWN


def _run(base: str, output: Path, limit: float | None, options: Sequence[str]) -> int:
    output.mkdir(parents=True, exist_ok=True)
    inside, commit = prefix(), commit_of(base)
    head_code = _pytest(Path.cwd(), (), output / "head.json", options)
    with tree_of(commit) as (tree, _):
        place = tree / inside
        base_code = UNKNOWN
        if place.is_dir():
            base_code = _pytest(place, (place, tree), output / "base.json", options)
    old, new = _read(output / "base.json"), _read(output / "head.json")
    report, newly = None, []
    if old is not None and new is not None and old["results"]:
        newly = sorted({*new.get("failed", ())} - {*old.get("failed", ())})
        try:
            report = compare_results(old, new, limit)
        except PerfmodelError as error:
            print(f"perfmodel: base and head: {error}", file=sys.stderr)
    code, said = judge(base_code, head_code, report, limit, newly)
    shown = ""
    if report is not None and (report or said):
        shown = rendering.markdown(report) + (f"\n{said}\n" if said else "")
        (output / "report.html").write_text(rendering.page(report), encoding="utf-8")
    elif said:
        shown = f"### Latency estimates\n\n{said}\n"
    (output / "report.md").write_text(shown, encoding="utf-8")
    print(shown or "No estimate moved.")
    return code


def _pytest(folder: Path, places: tuple[Path, ...], target: Path, options: Sequence[str]) -> int:
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--perfmodel-results={target}", *options]
    env = environment(*places)
    # The job's summary gets base against head, and not what each has against its snapshots.
    env.pop("GITHUB_STEP_SUMMARY", None)
    return subprocess.run(command, cwd=folder, env=env, check=False).returncode


def _read(path: Path) -> Document | None:
    return results.load(path) if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
