"""How many trials a second do many workers make? `python -m benchmarks.reliability.throughput`.

Eight processes on one PostgreSQL or MariaDB server, with its default durability, share 400 trials
that take no time themselves: Optuna's own `optimize` with RandomSampler, our `work` with the same
sampler, and with ours. They take turns, and are opened and connected before the clock starts.
Then 32 workers of ours, to see whether they wait for each other for ever.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.servers import Server, server
from benchmarks.reliability.throughput_work import SAMPLERS, SECONDS, engine_of, labour, open_as

OUTPUT = Path(__file__).parent / "results" / "throughput.jsonl"
WHO = list(SAMPLERS)
MANY = "work, BioTune"
"""Who runs the 32 workers."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["benchmarks.reliability.throughput_work", "alembic.command", "psycopg", "pymysql"]
)


def run(who: str, running: Server, name: str, *, trials: int, workers: int) -> dict[str, Any]:
    """One contestant's turn on a new database.

    Raises:
        queue.Empty: if the workers are not ready in ten minutes.
    """
    url = running.database(name)
    study = open_as(who, url)
    ready, results = _context.Barrier(workers + 1), _context.Queue()
    processes = [
        _context.Process(target=labour, args=(who, url, trials, workers, ready, results))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait(SECONDS)
    load, busy, broken = os.getloadavg()[0], running.cpu_seconds, running.deadlocks()
    told = [results.get(timeout=SECONDS) for _ in processes]
    busy, broken = running.cpu_seconds - busy, running.deadlocks() - broken
    for process in processes:
        process.join()
    seconds = max(t["ended"] for t in told) - min(t["started"] for t in told)
    finished = sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))
    engine_of(study).dispose()
    return {
        "who": who,
        "workers": workers,
        "trials": trials,
        "finished": finished,
        "seconds": round(seconds, 2),
        "trials_per_second": round(finished / seconds, 2),
        "statements_per_trial": round(sum(t["statements"] for t in told) / finished, 2),
        "commits_per_trial": round(sum(t["commits"] for t in told) / finished, 2),
        "ms_per_trial": {
            "worker, CPU": _ms(sum(t["cpu"] for t in told), finished),
            "server, CPU": _ms(busy, finished),
            "waiting for statements": _ms(sum(t["sql_seconds"] for t in told), finished),
            "all": _ms(sum(t["ended"] - t["started"] for t in told), finished),
        },
        "deadlocks": broken,
        "errors": sorted({t["error"] for t in told if t["error"]}),
        "load": round(load, 1),
    }


def _ms(seconds: float, trials: int) -> float:
    return round(1000 * seconds / trials, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    origin = provenance(device=processor(), threads=1)
    names = ("storage", "who", "workers", "turn")
    done = {tuple(record[name] for name in names) for record in read(args.output)}
    turns = [(who, args.workers, turn) for turn in range(args.turns) for who in WHO]
    turns.append((MANY, args.many, 0))
    for kind in args.storages:
        with (
            tempfile.TemporaryDirectory() as folder,
            server(kind, Path(folder) / "server", durable=True) as running,
        ):
            for number, (who, workers, turn) in enumerate(turns):
                if (kind, who, workers, turn) in done:
                    continue
                name = f"turn_{number}"
                record = run(who, running, name, trials=args.trials, workers=workers)
                record = {"storage": kind, "turn": turn, **record}
                append(args.output, {**origin, **record})
                print(record, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ["postgresql", "mysql"]
    parser.add_argument("--storages", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--many", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
