"""What `make demo` finds on five other splits of the digits: python benchmarks/demo.py.

A cell is a split. In it the command of the demo is run with the seed of the split, and then the
methods that the demo does not train are trained on the same split. Each cell is one line of the
output, and is not run again; their summary is written into the package, where the demo prints it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from records import ROOT, append, processor, provenance, read
from table import bootstrap

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import Ending, stored_final

SUMMARY = ROOT / "optuna_layerwise" / "cli" / "five_splits.json"
OTHERS = ("scratch", "probe")
ONE, TEAM = "our search, one network", "our search, a team"
SPLITS = range(1, 6)
"""The demo itself has the split 0."""


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    origin = provenance(device=processor(), threads=1, commit=args.commit)
    known = {cell["split"] for cell in read(args.output)}
    for split in SPLITS:
        if split not in known:
            append(args.output, {**_run(split), "provenance": origin})
    SUMMARY.write_text(json.dumps(summary(read(args.output)), indent=1) + "\n")


def _run(split: int) -> dict[str, Any]:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/demo.db"
        program = "from optuna_layerwise.cli import main; main()"
        command = [sys.executable, "-c", program, "tune", "--data", "digits"]
        command += ["--threads", "1", "--storage", url, "--study", "demo", "--no-live"]
        command += ["--split-seed", str(split), "--seed", str(split)]
        subprocess.run([*command, "--output", folder], check=True, stdout=subprocess.DEVNULL)
        study = optuna.load_study(study_name="demo", storage=url)
        final = stored_final(study)
        assert final is not None and final.delivered is not None
        settings = Settings.from_study(study)
        objective = settings.objective(settings.spec(), settings.load())
        quick = Ending(folds=1, refit=True, deliver="one", compete=False)
        others = objective.finalize(study, top=1, again=True, ending=quick, references=OTHERS)
    found = {b.name: b.mean("accuracy", split="test") for b in (*others.baselines, final.chosen)}
    found |= {b.name: b.mean("accuracy", split="test") for b in final.baselines}
    cell = {
        "split": split,
        **{BASELINES[name].title: found[BASELINES[name].title] for name in (*OTHERS, "full")},
        ONE: final.chosen.mean("accuracy", split="test"),
        TEAM: final.delivered.test["accuracy"],
        "networks": len(final.delivered.members),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(cell, flush=True)
    return cell


def summary(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each method: the mean over splits, with its bootstrap interval of 95 %."""
    names = [*(BASELINES[name].title for name in (*OTHERS, "full")), ONE, TEAM]
    rows = []
    for name in names:
        values = np.array([[cell[name]] for cell in cells])
        low, high = bootstrap(len(cells), 1)(values)
        numbers = {"mean": values.mean(), "low": low, "high": high}
        rows.append({"method": name, **{k: round(float(v), 4) for k, v in numbers.items()}})
    return rows


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("--commit", help="of a copy without its repository")
    parser.add_argument("--output", type=Path, default=here / "results" / "demo.jsonl")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
