"""Estimate models and write the results: what ``perfmodel diff`` runs in each of two work trees.

``python -m perfmodel.guard.collect ASKED.json RESULTS.json``; ASKED has ``models``, ``cpus``,
``precisions`` and ``software``. A model that cannot be estimated is a failure of its own, and costs
the others nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from perfmodel.errors import PerfmodelError
from perfmodel.guard import documents, results
from perfmodel.guard.session import Recorded
from perfmodel.guard.subjects import subject
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.scenario import Options, scenario_of


def collect(
    models: Iterable[str], cpus: Iterable[str], precisions: Iterable[str], software: str | None
) -> Recorded:
    """Return the estimates of every model on every CPU in every precision, and what failed.

    Raises :class:`PerfmodelError` for a CPU, precision or software that does not exist.
    """
    machines = [load_machine(cpu) for cpu in cpus]
    options: Options = {} if software is None else {"software": software}
    scenarios = [scenario_of(precision, options) for precision in precisions]
    found = Recorded(whole=True)
    for model in models:
        try:
            made = subject(model, scenarios[0])
            asks = documents.asks(made.workload, made.module, made.tracer)
            for machine in machines:
                read = {machine.id: documents.machine_figures(machine)}
                for scenario in scenarios:
                    wrong = found.add(
                        made.name,
                        documents.estimate_key(machine.id, scenario, made.workload),
                        entry=documents.entry(
                            machine.id, estimate(made.workload, machine, scenario), scenario,
                            made.workload,
                        ),
                        asks=asks,
                        figures=read | documents.scenario_figures(scenario),
                        test=model, allowed=(0.0, 0.0), kept=True,
                    )  # fmt: skip
                    if wrong:
                        raise PerfmodelError(wrong)
        # A user's factory may raise anything.
        except Exception as error:
            found.failures[model] = " ".join(f"{error}".split()) or type(error).__name__
    return found


def main(asked: str, target: str) -> int:
    """Estimate what the file ``asked`` says, and write the results to ``target``."""
    try:
        found = collect(**json.loads(Path(asked).read_text(encoding="utf-8")))
        results.save(Path(target), found.everything(), failures=found.failures, tests=found.tests)
    except PerfmodelError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
