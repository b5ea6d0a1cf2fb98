"""The file of a cell: one JSON object with everything that tables and statistics are made of."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna

from benchmarks.protocols.experiments import Cell
from optuna_layerwise.io.files import write_whole
from optuna_layerwise.io.plain import decoded
from optuna_layerwise.records.attributes import VERSION_FIELD
from optuna_layerwise.records.final import Final
from optuna_layerwise.records.fingerprint import used_fingerprints
from optuna_layerwise.records.run import readable_runs

VERSION = 1
_NO_TRIAL = ("policy", "finalists", "baselines", "weights")


def record(
    cell: Cell,
    settings: Mapping[str, Any],
    data: Mapping[str, Any],
    study: optuna.Study,
    final: Final,
    *,
    threads: int,
) -> dict[str, Any]:
    """What came out of a cell, and what made it.

    Args:
        cell: Which.
        settings: What it was run with, as stored with the study.
        data: Fingerprint, classes and numbers of images.
        study: Its study.
        final: Its result.
        threads: Of torch on the CPU.
    """
    trials = study.get_trials(deepcopy=False)
    runs = readable_runs(study, trials)
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("state", "value", "loss", "images", "flops", "seconds", "trained_share")
    }
    for trial in trials:
        if not trial.state.is_finished():
            continue
        run = runs.get(trial.number)
        loss = run.mean("loss") if run else math.nan
        row = {
            "state": run.outcome if run else trial.state.name.lower(),
            "value": trial.value,
            "loss": round(loss, 6) if math.isfinite(loss) else None,
            "images": run.cost.images_seen if run else 0,
            "flops": round(run.cost.flops) if run else 0,
            "seconds": round(run.cost.seconds, 3) if run else 0.0,
            "trained_share": round(run.trained_share, 6) if run else None,
        }
        for name, value in row.items():
            columns[name].append(value)
    chosen = next(t for t in trials if final.chosen.name == f"trial {t.number}")
    ran = list(runs.values())
    return {
        VERSION_FIELD: VERSION,
        "cell": dataclasses.asdict(cell),
        "settings": dict(settings),
        "data": dict(data),
        "trials": columns,
        "search": {
            "trials": len(columns["state"]),
            **{name: sum(columns[name]) for name in ("images", "flops", "seconds")},
        },
        "chosen": {**dataclasses.asdict(final.chosen), "params": chosen.params},
        "finalists": [
            {name: value for name, value in dataclasses.asdict(f).items() if name not in _NO_TRIAL}
            for f in final.finalists
        ],
        "metric": final.metric,
        "origin": {
            "fingerprints": [
                {k: v for k, v in dataclasses.asdict(f).items() if k != "recipe"}
                for f in used_fingerprints(study).values()
            ],
            "python": platform.python_version(),
            "devices": sorted({run.device_name for run in ran if run.device_name}),
            "threads": threads,
            "started": min((run.started for run in ran), default=""),
            "finished": max((run.finished for run in ran), default=""),
        },
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a cell's file, whole or not at all."""
    write_whole(path, json.dumps(content, allow_nan=False) + "\n")


def read_records(cells: Iterable[Cell], results: Path) -> dict[Cell, dict[str, Any]]:
    """Of those cells that are done, what came out.

    Raises:
        ValueError: if a file is not whole, or of another version.
    """
    found = {}
    for cell in cells:
        path = cell.file(results)
        if not path.exists():
            continue
        try:
            content = decoded(path.read_text())
            if content[VERSION_FIELD] != VERSION:
                raise ValueError(f"it has version {content[VERSION_FIELD]}, not {VERSION}")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}; delete it to run it again"
            ) from error
        found[cell] = content
    return found
