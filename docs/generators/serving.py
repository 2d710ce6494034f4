"""docs/serving.md: how serving is modelled, an example, and what was measured."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from perfmodel._text import significant
from perfmodel.cli.fleet import fleet_table, times_table
from perfmodel.cli.rendering import Column, Table
from perfmodel.cli.serve import best_table, frontier_table
from perfmodel.comparison import DEFAULT_CPUS
from perfmodel.evidence.cases import load_cases
from perfmodel.evidence.services import generations, predicted, predicted_tokens_per_s
from perfmodel.evidence.validation import Compared, predict
from perfmodel.machine import load_machine
from perfmodel.resolve import resolve_model
from perfmodel.running import fleet
from perfmodel.serving import Partition, Search, search, serve
from perfmodel.serving.goal import Goal
from perfmodel.serving.searching import BATCHES

#: The example: a model, its precision, and the latency it is served within.
MODEL: Final = "resnet50"
LIMIT_S: Final = 0.005
#: The example of a rate, and that of generated text.
RATE: Final = Goal(rate=20_000, latency_s=0.015)
TEXT_MODEL: Final = "llama_3_2_1b"
TEXT_RATE: Final = Goal(rate=4, ttft_s=1.0, tpot_s=0.06)
TOKENS: Final = 1024
OUTPUT: Final = 256
#: Systems whose throughput or token rate was measured, and how near a prediction shall be.
MEASURED: Final = {"servers": 1.5, "llama_cpp": 1.35}
TEXT: Final = Path(__file__).with_name("serving.md")


@functools.cache
def found() -> tuple[Search, ...]:
    """What the default CPUs reach in the example."""
    source = resolve_model(MODEL)
    source.prepare(BATCHES)
    at_batch = functools.cache(source.workload)
    return tuple(search(at_batch, cpu, max_latency_s=LIMIT_S) for cpu in DEFAULT_CPUS)


def instances() -> str:
    """One Xeon divided more and more, at batch 1."""
    workload = resolve_model(MODEL).workload(1)
    table = Table(
        [
            Column("instances\nx cores"),
            Column("weights", "left"),
            Column("latency\nms"),
            Column("FPS"),
            Column("DRAM\nGB/s"),
        ]
    )
    machine = load_machine("xeon_8490h")
    for count, weights in ((1, "separate"), (10, "separate"), (10, "shared"), (60, "shared")):
        each = serve(workload, machine, Partition(count, 60 // count), weights=weights)
        table.add(
            f"{count} x {60 // count}",
            weights if count > 1 else "-",
            significant(each.latency_ms),
            significant(each.throughput_fps),
            significant(each.dram_gb_s),
        )
    return table.markdown()


def measured() -> str:
    """Predictions for whole systems beside what was measured on them."""
    table = Table(
        [
            Column("system", "left"),
            Column("model", "left"),
            Column("precision", "left"),
            Column("software", "left"),
            Column("served as", "left"),
            Column("predicted"),
            Column("measured"),
            Column("unit", "left"),
            Column("ratio"),
            Column("target"),
        ]
    )
    for name, target in MEASURED.items():
        for case in load_cases((name,)):
            # The target for text generation is for decoding.
            if case.row.phase == "prefill":
                continue
            point: Compared = predict(case)
            miss = max(point.ratio, 1 / point.ratio) > target
            subject = case.row.subject + (f", {case.row.tokens} tokens" if case.row.tokens else "")
            table.add(
                f"{case.group.sockets} x {point.machine}",
                subject,
                case.group.precision,
                case.group.software,
                point.detail.partition(",")[0] or "one process",
                significant(point.predicted),
                significant(point.measured),
                point.unit,
                f"{point.ratio:.2f}{' (missed)' if miss else ''}",
                f"{target:g}x",
            )
    return table.markdown()


def services() -> str:
    """What systems served within a limit, beside what is predicted of them."""
    table = Table(
        [
            Column("system", "left"),
            Column("model", "left"),
            Column("within\nms"),
            Column("predicted\nrequests/s"),
            Column("measured\nrequests/s"),
            Column("ratio"),
            Column("P50 predicted\nms"),
            Column("P50 observed\nms"),
        ]
    )
    for each in predicted():
        point = each.measured
        table.add(
            f"{point.sockets} x {point.machine}",
            point.model + (f", {point.tokens} tokens" if point.tokens else ""),
            significant(point.limit_ms),
            significant(each.rate),
            significant(point.rate),
            f"{each.rate / point.rate:.2f}",
            significant(each.fleet.latency_ms[50]),
            significant(point.p50_ms),
        )
    return table.markdown()


def generation() -> str:
    """What sockets generated without limits, beside what is predicted of them, a line each."""
    lines = []
    for point in generations():
        found = predicted_tokens_per_s(point)
        lines.append(
            f"* {point.machine}, {point.model}, {point.prompt} tokens in and {point.output} out: "
            f"{significant(point.tokens_per_s)} tokens/s of a socket measured (MLPerf, offline), "
            f"{significant(found)} predicted, {found / point.tokens_per_s:.2f} "
            f"({point.precision.upper()} under {point.software}; {point.doubt})."
        )
    return "\n".join(lines)


def render() -> str:
    """The whole document."""
    served = fleet(MODEL, DEFAULT_CPUS, goal=RATE)
    text = fleet(TEXT_MODEL, DEFAULT_CPUS, "bf16", goal=TEXT_RATE, tokens=TOKENS, output=OUTPUT)
    return TEXT.read_text(encoding="utf-8").format(
        best=best_table(found()).markdown(),
        frontier=frontier_table(found()).markdown(),
        instances=instances(),
        fleet=fleet_table(served, None, None).markdown(),
        fleet_times=times_table(served).markdown(),
        text_model=TEXT_MODEL,
        text_fleet=fleet_table(text, TOKENS, OUTPUT).markdown(),
        text_times=times_table(text).markdown(),
        services=services(),
        generation=generation(),
        measured=measured(),
    )
