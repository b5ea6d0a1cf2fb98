"""What if the database goes away, or its disk is full? `python -m benchmarks.reliability.outages`.

A server is crashed and stopped by turns, six times, while workers run a study on it; the disk of a
file (a small tmpfs, which only root can mount) is filled five times. Workers that end by an error
are replaced. Nothing may be lost or done twice, and a single worker has to leave the very study
that is left where nothing happens.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.figures import errors, figures, outcome
from benchmarks.reliability.fire import Crew, crew, until, witness
from benchmarks.reliability.kills import alone
from benchmarks.reliability.labour import Job, open_the_study
from benchmarks.reliability.places import FILES
from benchmarks.reliability.servers import server

OUTPUT = Path(__file__).parent / "results" / "outages.jsonl"
CELLS = [
    *(("restart", kind, workers) for kind in ("postgresql", "mysql") for workers in (1, 4)),
    *(("full disk", kind, 1) for kind in FILES),
]
DISK = 4 * 2**20
"""Bytes."""


def restarts(kind: str, workers: int, folder: Path, *, times: int, target: int) -> dict[str, Any]:
    """Workers on a server that is gone for 0.2 to 3 seconds, again and again."""
    moments = random.Random(f"{kind} {workers}")
    with server(kind, folder / "server") as running:
        job = Job(running.database("torture"), "biotune", target, folder / "log", pace=0.05)
        study = open_the_study(job)
        with crew(job) as them:
            them.start(workers)
            for number in range(times):
                _let_work(them, study)
                time.sleep(moments.uniform(0, 0.5))
                witness(study, job)
                running.stop(crash=number % 2 == 0)
                time.sleep(moments.uniform(0.2, 3))
                running.start()
                study = open_the_study(job)
                them.replace_dead()
            them.finish()
        return _record(study, job, folder, workers)


def full_disk(kind: str, folder: Path, *, times: int, target: int) -> dict[str, Any]:
    """One worker on a disk that is full for two seconds, again and again."""
    moments = random.Random(kind)
    with small_disk(folder / "disk") as disk:
        job = Job(FILES[kind].format(disk), "biotune", target, folder / "log", pace=0.05)
        study = open_the_study(job)
        with crew(job) as them:
            them.start()
            for _ in range(times):
                _let_work(them, study)
                time.sleep(moments.uniform(0, 0.5))
                witness(study, job)
                fill(disk, leave=moments.randrange(3000))
                time.sleep(2)
                (disk / "filling").unlink()
                them.replace_dead()
            them.finish()
        return _record(study, job, folder, 1)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of `DISK` bytes.

    Raises:
        subprocess.CalledProcessError: if this process may not mount one.
    """
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, leave: int) -> None:
    """Write a file that leaves fewer than a block and ``leave`` bytes."""
    with (disk / "filling").open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
        file.truncate(max(0, file.tell() - leave))


def _let_work(them: Crew, study: optuna.Study) -> None:
    """Until a worker has finished one more trial, or all are over."""

    def finished() -> int:
        return sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))

    before = finished()
    until(lambda: them.replace_dead() or finished() > before or not them.working)


def _record(study: optuna.Study, job: Job, folder: Path, workers: int) -> dict[str, Any]:
    witness(study, job)
    record = figures(study, job.log, job.target)
    if workers == 1:
        record["identical"] = outcome(study) == alone(job.sampler, job.target, folder / "alone")
    return {**record, "errors": errors(job.log)}


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    origin = provenance(device=processor(), threads=1)
    done = {(r["what"], r["storage"], r["workers"]) for r in read(args.output)}
    for what, kind, workers in CELLS:
        if what not in args.what or (what, kind, workers) in done:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder, started = Path(temporary), time.perf_counter()
            if what == "restart":
                times = args.restarts
                record = restarts(kind, workers, folder, times=times, target=args.trials)
            else:
                times = args.fillings
                record = full_disk(kind, folder, times=times, target=args.trials)
            seconds = round(time.perf_counter() - started, 1)
        cell = {"what": what, "storage": kind, "workers": workers, "times": times}
        record = {**cell, "target": args.trials, "seconds": seconds, **record}
        append(args.output, {**origin, **record})
        print(record, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ["restart", "full disk"]
    parser.add_argument("--what", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--restarts", type=int, default=6)
    parser.add_argument("--fillings", type=int, default=5)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
