"""Does SIGKILL lose, repeat or change anything? `python -m benchmarks.reliability.kills`.

Each cell is a study of 30 cheap trials with reports, some of them pruned, on one storage with one
of our samplers; its workers are killed 13 times at random moments and replaced: 208 kills in all.
A single worker has to leave the very study that one who was never killed leaves.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.figures import figures, outcome
from benchmarks.reliability.fire import under_fire
from benchmarks.reliability.labour import SAMPLERS, Job, labour, open_the_study
from benchmarks.reliability.places import KINDS, place

OUTPUT = Path(__file__).parent / "results" / "kills.jsonl"


def alone(sampler: str, target: int, folder: Path) -> list[tuple[Any, ...]]:
    """The outcome of a study whose one worker is left alone."""
    folder.mkdir(parents=True)
    job = Job(f"sqlite:///{folder}/study.db", sampler, target, folder / "log", pace=0)
    labour(job, 0)
    return outcome(open_the_study(job))


def cell(
    kind: str, sampler: str, workers: int, *, kills: int, target: int, folder: Path, seed: int = 0
) -> dict[str, Any]:
    """One study under fire: what it was, and its figures."""
    moments = random.Random(f"{kind} {sampler} {workers} {seed}")
    with place(kind, folder / "database") as url:
        job = Job(url, sampler, target, folder / "log")
        study, started = open_the_study(job), time.perf_counter()
        done = under_fire(job, study, workers=workers, kills=kills, moments=moments)
        seconds = time.perf_counter() - started
        result = figures(study, job.log, target)
        if workers == 1:
            result["identical"] = outcome(study) == alone(sampler, target, folder / "alone")
    return {
        "storage": kind,
        "sampler": sampler,
        "workers": workers,
        "kills": done,
        "target": target,
        "seconds": round(seconds, 1),
        **result,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    origin = provenance(device=processor(), threads=1)
    names = ("storage", "sampler", "workers")
    done = {tuple(record[name] for name in names) for record in read(args.output)}
    for kind in args.storages:
        for sampler in args.samplers:
            for workers in args.workers:
                if (kind, sampler, workers) in done:
                    continue
                with tempfile.TemporaryDirectory() as temporary:
                    record = cell(
                        kind,
                        sampler,
                        workers,
                        kills=args.kills,
                        target=args.trials,
                        folder=Path(temporary),
                    )
                append(args.output, {**origin, **record})
                print(record, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--samplers", nargs="+", choices=[*SAMPLERS], default=[*SAMPLERS])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--kills", type=int, default=13, help="in each study")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
