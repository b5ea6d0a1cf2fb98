"""How long does `status` take on many studies?

`python -m benchmarks.reliability.statuses --before FOLDER`, where the folder is a working tree of
an older commit to compare with. The two take turns on the same SQLite file; each turn is a fresh
process, from its start to its end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import create_trial

from benchmarks.records import ROOT, append, processor, provenance
from optuna_layerwise.storage import open_storage

OUTPUT = Path(__file__).parent / "results" / "statuses.jsonl"


def fill(url: str, studies: int, trials: int) -> None:
    """Make the studies, with trials of two parameters and two attributes."""
    storage = open_storage(url)
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("x", "y")}
    for index in range(studies):
        study = optuna.create_study(storage=storage, study_name=f"study-{index}")
        for number in range(trials):
            params = {"x": number / trials, "y": 0.5}
            attrs = {"seconds": 1.0, "note": {"number": number}}
            study.add_trial(
                create_trial(value=0.5, params=params, distributions=space, user_attrs=attrs)
            )


def seconds(tree: Path, url: str) -> float:
    """Of one `status` in a working tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "optuna_layerwise.cli", "status", "--json", "--storage", url]
    begun = time.perf_counter()
    subprocess.run(command, env=environment, check=True, cwd=tree, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def commit(tree: Path) -> str:
    """That is checked out there."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout[
        :12
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and add a line for each number of studies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--studies", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trees = {"before": options.before.resolve(), "now": ROOT}
    for studies in options.studies:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/studies.db"
            fill(url, studies, options.trials)
            times: dict[str, list[float]] = {who: [] for who in trees}
            for _ in range(options.turns):
                for who, tree in trees.items():
                    times[who].append(round(seconds(tree, url), 2))
        record = {
            "studies": studies,
            "trials": options.trials,
            "seconds": times,
            "before": commit(trees["before"]),
            **provenance(device=processor(), threads=1),
        }
        append(options.output, record)
        print(studies, times)


if __name__ == "__main__":
    main()
