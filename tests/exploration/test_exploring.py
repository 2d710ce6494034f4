"""Explorations: rows equal single estimates, a stopped run goes on, and two runs are the same."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.exploration import Results, explore, exploring, open_results
from perfmodel.exploration import results as module
from perfmodel.exploration.exploring import Progress
from perfmodel.exploration.results import non_dominated
from perfmodel.exploration.space import BLOCK, read_space
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.workload.workload import Workload
from tests.builder import Builder


@pytest.fixture
def model(tmp_path: Path) -> str:
    build = Builder("net")
    build.linear(build.input(64 * 512), 64, 2048, 512)
    file = tmp_path / "net.json"
    build.workload().save(file)
    return str(file)


@pytest.fixture
def space(model: str) -> dict[str, Any]:
    return {
        "models": [model],
        "cpus": ["epyc_9654", "xeon_8490h"],
        "precisions": ["fp32", "int8"],
        "figures": {"cores.count": [16, 48], "power.tdp": ["200 W", "400 W"]},
        "sampled": {"memory.sustained": {"low": 0.5, "high": 0.9}},
        "samples": 30,
        "derived": {"silicon": "cores.count * 3 + cache.l3 / 2**20"},
        "constraints": ["silicon < 1e6"],
        "minimise": ["latency_ms"],
        "maximise": ["fps_per_watt"],
    }


def digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.glob("part-*.parquet"))
    }


def test_a_row_is_what_an_estimate_of_that_machine_says(
    space: dict[str, Any], model: str, tmp_path: Path
) -> None:
    results = explore(space, tmp_path / "results")
    frame = results.to_pandas()
    assert len(frame) == results.rows == results.points == 2 * 2 * 4 * 30
    for row in frame.sample(6, random_state=1).to_dict("records"):
        figures = {path: row[path] for path in results.figures}
        machine = load_machine(row["cpu"]).with_values(figures)
        alone = estimate(Workload.load(model), machine, row["precision"])
        assert row["latency_ms"] == pytest.approx(alone.latency_ms)
        assert row["fps_per_watt"] == pytest.approx(alone.fps_per_watt)
        l3 = machine.figures()["cache.l3"].typical
        assert row["silicon"] == pytest.approx(row["cores.count"] * 3 + l3 / 2**20)


def test_constraints_leave_rows_out(space: dict[str, Any], tmp_path: Path) -> None:
    space["constraints"] = ["cores.count <= 16 and memory.sustained > 0.7"]
    results = explore(space, tmp_path / "results")
    frame = results.to_pandas()
    assert results.points // 4 - 8 < len(frame) < results.points // 2
    assert frame["cores.count"].max() == 16
    assert frame["memory.sustained"].min() > 0.7


def test_a_run_that_was_stopped_goes_on_and_is_the_same_bit_by_bit(
    space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploring, "CHUNK", 50)
    whole = explore(space, tmp_path / "whole", workers=1)
    assert len(whole.files) == 4 * 3

    def stop(progress: Progress) -> None:
        if progress.done >= 200:
            raise KeyboardInterrupt

    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        explore(space, stopped, workers=2, tell=stop)
    before = {f.name: f.stat().st_mtime_ns for f in stopped.glob("part-*.parquet")}
    assert 0 < len(before) < 12
    with pytest.raises(PerfmodelError, match="--resume"):
        explore(space, stopped)
    explore(space, stopped, resume=True, workers=2)
    assert digests(stopped) == digests(tmp_path / "whole")
    after = {f.name: f.stat().st_mtime_ns for f in stopped.glob("part-*.parquet")}
    assert before.items() <= after.items()


def test_a_cluster_gives_the_same_rows_though_a_worker_dies(
    space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setattr(exploring, "CHUNK", 20)
    explore(space, tmp_path / "here")
    told: list[Progress] = []
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):

        def tell(progress: Progress) -> None:
            told.append(progress)
            if len(told) == 4:  # Three chunks are there, others are under way.
                cluster.workers[0].process.process._process.kill()

        explore(space, tmp_path / "there", scheduler=client, tell=tell)
    assert digests(tmp_path / "there") == digests(tmp_path / "here")
    # Nothing is repeated: every chunk is told of once.
    assert [p.done for p in told] == sorted({p.done for p in told})
    assert told[-1].done == told[-1].points


def test_a_scheduler_that_is_not_there_is_one_line(
    space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploring, "_PATIENCE_S", 0.5)
    began = time.monotonic()
    with pytest.raises(PerfmodelError, match="no Dask scheduler answers there"):
        explore(space, tmp_path / "results", scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda space, folder: space.update(seed=2), "of another space"),
        (lambda space, folder: (folder / "space.json").unlink(), "not empty"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    space: dict[str, Any],
    tmp_path: Path,
    break_it: Callable[[dict[str, Any], Path], object],
    expected: str,
) -> None:
    folder = tmp_path / "results"
    explore(space, folder)
    kept = digests(folder)
    break_it(space, folder)
    with pytest.raises(PerfmodelError, match=expected):
        explore(space, folder, resume=True)
    assert digests(folder) == kept


def test_what_is_wrong_shows_before_anything_is_written(
    space: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    for change in ({"minimise": ["latncy_ms"]}, {"derived": {"x": "cores.cuont * 2"}}):
        with pytest.raises(UnknownName):
            explore(space | change, folder)
    for change, expected in (
        ({"minimise": ["cpu"]}, "unknown column"),
        (
            {"derived": {"x": "log(latency_ms - 1e9)"}, "constraints": []},
            r"x = .* no finite value at cores\.count 16",
        ),
    ):
        with pytest.raises(PerfmodelError, match=expected):
            explore(space | change, folder)
    with pytest.raises(PerfmodelError, match=r"points take some .* days .*--yes"):
        explore(space | {"samples": 10**12}, folder)
    assert not folder.exists()
    with pytest.raises(PerfmodelError, match="holds no results"):
        open_results(tmp_path)


def test_constraints_that_nothing_meets_leave_an_empty_result(
    space: dict[str, Any], tmp_path: Path
) -> None:
    results = explore(space | {"constraints": ["latency_ms < 0"]}, tmp_path / "results")
    assert results.rows == 0
    assert results.front() == []
    assert results.tornado() == []


def test_a_constraint_keeps_points_out_whose_derived_figures_are_not_finite(
    space: dict[str, Any], tmp_path: Path
) -> None:
    change = {
        "derived": {"spare": "log(cores.count - 16)", "power": "2 ** -1 * cores.count"},
        "constraints": ["cores.count > 16"],
    }
    table = explore(space | change, tmp_path / "results").to_pandas()
    assert np.allclose(table["spare"], np.log(32))
    assert np.allclose(table["power"], 24)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table"])
def test_a_file_that_was_cut_is_named(
    space: dict[str, Any], tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "results"
    results = explore(space, folder)
    results.files[0].write_bytes(content)
    for read in (lambda: results.rows, results.front, results.tornado):
        with pytest.raises(PerfmodelError, match=f"{results.files[0].name}: cannot be read"):
            read()
    results.files[0].unlink()
    assert explore(space, folder, resume=True).rows == 480


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_manifest_that_was_cut_is_named(
    space: dict[str, Any], tmp_path: Path, content: str
) -> None:
    (tmp_path / "space.json").write_text(content)
    with pytest.raises(PerfmodelError, match=r"space\.json: cannot be read"):
        explore(space, tmp_path, resume=True)
    with pytest.raises(PerfmodelError, match="holds no results"):
        open_results(tmp_path)


def test_a_full_disk_loses_nothing(
    space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploring, "CHUNK", 50)
    real, left = exploring.os.fsync, [4]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    folder = tmp_path / "results"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        with pytest.raises(PerfmodelError, match="No space left on device; what is there stays"):
            explore(space, folder, workers=1)
    assert not list(folder.glob("*.tmp"))
    assert 0 < len(digests(folder)) < 12
    assert explore(space, folder, resume=True).rows == 480


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 60), st.integers(1, 3)),
                  elements=st.integers(0, 6).map(float)))  # fmt: skip
def test_the_front_is_what_no_other_row_beats(scores: np.ndarray[Any, Any]) -> None:
    expected = [
        not any((other <= row).all() and (other < row).any() for other in scores) for row in scores
    ]
    assert non_dominated(scores).tolist() == expected


def test_the_front_of_many_rows_is_that_of_all() -> None:
    scores = np.random.default_rng(1).random((5000, 2))
    kept = scores[non_dominated(scores)]
    order = np.argsort(kept[:, 0])
    assert (np.diff(kept[order, 1]) < 0).all()
    assert kept[:, 0].min() == scores[:, 0].min()
    assert kept[:, 1].min() == scores[:, 1].min()


def test_rows_that_are_equal_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that move nothing make a million equal rows; work is quadratic in the front."""
    compared: list[int] = []
    beaten = module._beaten

    def counting(rows: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> Any:
        compared.append(len(rows))
        return beaten(rows, others)

    monkeypatch.setattr(module, "_beaten", counting)
    scores = np.repeat([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]], 4000, axis=0)
    assert non_dominated(scores).tolist() == [True] * 8000 + [False] * 4000
    assert max(compared) <= 3


@pytest.fixture
def results(space: dict[str, Any], tmp_path: Path) -> Results:
    return explore(space, tmp_path / "results")


def test_the_front_of_results_holds_the_best_of_each_objective(results: Results) -> None:
    frame = results.to_pandas()
    front = results.front()
    assert front[0]["latency_ms"] == frame["latency_ms"].min()
    assert max(row["fps_per_watt"] for row in front) == frame["fps_per_watt"].max()
    with pytest.raises(UnknownName):
        results.front(minimise=["latency"])


def test_a_tornado_has_what_moves_most_first(results: Results) -> None:
    rows = results.tornado()
    assert {row[0] for row in rows} == {"cores.count", "power.tdp", "memory.sustained"}
    assert rows[0][0] == "cores.count"
    # The rating moves no time.
    by_name = {name: (low, high) for name, low, high in rows}
    assert by_name["power.tdp"][0] == by_name["power.tdp"][1]


def test_a_tornado_compares_within_cells(results: Results) -> None:
    """The median of cells far apart falls between them, and says nothing of a figure."""
    frame = results.to_pandas()
    for figure, low, high in results.tornado():
        ratios = []
        for _, cell in frame.groupby(["cpu", "precision"], observed=True):
            ends = cell[figure].quantile([0.1, 0.9]).tolist()
            first = cell[cell[figure] <= ends[0]]["latency_ms"].median()
            ratios.append(cell[cell[figure] >= ends[1]]["latency_ms"].median() / first)
        assert high / low == pytest.approx(np.exp(np.mean(np.log(ratios))))
        if figure == "memory.sustained":
            assert high <= low


def test_a_column_below_nought_has_a_tornado(space: dict[str, Any], tmp_path: Path) -> None:
    space["derived"]["slack"] = "0.000001 - latency_ms"
    for _, low, high in explore(space, tmp_path / "results").tornado("slack"):
        assert low < 0
        assert high < 0


def test_a_column_that_is_nought_has_leaders_and_a_tornado(results: Results) -> None:
    """Of a model that generates nothing, tokens per second are."""
    assert {row[1:] for row in results.tornado("tokens_per_s")} == {(0.0, 0.0)}
    rows = results.leaders("cores.count", "power.tdp", "tokens_per_s")
    assert {row["lead"] for row in rows} == {None}
    with pytest.raises(UnknownName, match="fps_per_watt"):
        results.leaders("cores.count", "power.tdp", "fps_per_wat")
    with pytest.raises(PerfmodelError, match="nothing to minimise"):
        results.front([], [])


def test_leaders_are_the_fastest_cpu_at_each_pair(results: Results) -> None:
    frame = results.to_pandas()
    rows = results.leaders("cores.count", "power.tdp")
    assert len(rows) == 4
    for row in rows:
        at = frame[
            (frame["cores.count"] == row["cores.count"]) & (frame["power.tdp"] == row["power.tdp"])
        ]
        medians = at.groupby("cpu", observed=True)["latency_ms"].median()
        assert row["cpu"] == medians.idxmin()
        assert row["lead"] == pytest.approx(medians.max() / medians.min())
    with pytest.raises(UnknownName):
        results.leaders("cores.count", "cache.l3")


def test_a_tornado_of_drawn_rows_is_close_to_that_of_all(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = results.tornado()
    monkeypatch.setattr("perfmodel.exploration.results._DRAWN", 240)
    drawn = results.tornado()
    assert drawn == results.tornado()  # the same rows whenever it is asked for
    assert drawn != exact
    assert {row[0] for row in drawn} == {row[0] for row in exact}
    assert drawn[0][0] == exact[0][0]


#: Explores a space in the folder argv[1] with argv[2] samples, and prints the process's own peak.
EXPLORING: Final = """
import sys
from pathlib import Path
from perfmodel.exploration import explore, exploring
exploring._CHUNKS = 1  # as large as they are in the largest spaces
space = {
    "models": [sys.argv[3]], "cpus": ["epyc_9654"], "file_ranges": True, "samples": int(sys.argv[2])
}
results = explore(space, sys.argv[1], workers=exploring._THREADS)
assert results.rows == results.points == int(sys.argv[2])
results.front()
results.tornado()
status = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_points(model: str, tmp_path: Path) -> None:
    """All of a file's ranges, with the front and the tornado: peaks of new processes, in MiB."""
    peaks = [
        float(
            subprocess.run(
                [sys.executable, "-c", EXPLORING, tmp_path / str(samples), str(samples), model],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for samples in (300_000, 700_000)
    ]
    assert max(peaks) < 500
    assert peaks[1] < 1.25 * peaks[0]


def test_a_space_is_divided_into_many_chunks_or_large_ones(space: dict[str, Any]) -> None:
    """Two workers that take chunks in turn are done at nearly the same time."""
    for samples in (10**4, 10**5, 10**6, 10**8):
        found = read_space(space | {"samples": samples})
        tasks = list(exploring._tasks(found))
        assert sum(task.stop - task.start for task in tasks) == found.points
        largest = max(task.stop - task.start for task in tasks)
        assert largest <= max(BLOCK, min(exploring.CHUNK, found.points / 64))
        assert largest >= min(exploring.CHUNK, found.points / 128)  # and not too many
