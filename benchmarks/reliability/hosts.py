"""Do leases hold between machines whose clocks disagree? `python -m benchmarks.reliability.hosts`.

Every worker believes to be on a machine of its own, whose clock is up to an hour ahead or behind,
so a dead one is noticed by its lease of 4 seconds alone. Four workers are killed, or stopped for
longer than their lease holds and then let go on, when their trials are somebody else's; a single
one is killed and followed by one on the next machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from benchmarks.records import append, processor, provenance, read
from benchmarks.reliability.figures import figures, outcome, read_log
from benchmarks.reliability.fire import crew, has_begun, until, witness
from benchmarks.reliability.kills import alone
from benchmarks.reliability.labour import Host, Job, open_the_study
from benchmarks.reliability.places import KINDS, place

OUTPUT = Path(__file__).parent / "results" / "hosts.jsonl"
CLOCKS = (0.0, 300.0, -300.0, 3600.0, -3600.0)


def machines() -> Iterator[Host]:
    """One after the other."""
    number = 0
    while True:
        yield Host(f"machine-{number}", CLOCKS[number % len(CLOCKS)])
        number += 1


def cell(
    kind: str, workers: int, folder: Path, *, kills: int, stops: int, target: int
) -> dict[str, Any]:
    """One study on many machines, and its figures.

    Returns:
        ``seconds_to_takeover``: from a kill until another worker begins the trial, the median.
    """
    moments = random.Random(f"{kind} {workers}")
    deeds = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops * (workers > 1)
    moments.shuffle(deeds)
    with place(kind, folder / "database") as url:
        job = Job(url, "biotune", target, folder / "log", pace=0.1)
        study, killed, done = open_the_study(job), {}, 0
        with crew(job, machines()) as them:
            them.start(workers)
            for deed in deeds:
                busy = [worker for worker in them.alive if has_begun(job, worker)]
                victim = moments.choice(busy or them.alive)  # a newcomer may take long
                until(partial(has_begun, job, victim))
                time.sleep(moments.uniform(0, 10 * job.pace))
                witness(study, job)
                if victim.exitcode is not None or victim.pid is None:
                    break
                done += 1
                if deed == signal.SIGKILL:
                    killed[victim.pid] = time.monotonic()
                    them.kill(victim)
                    them.start()
                else:
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(1.7 * job.lease)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim.pid, signal.SIGCONT)
            them.finish()
        witness(study, job)
        result = figures(study, job.log, target)
        if workers == 1:
            result["identical"] = outcome(study) == alone(job.sampler, target, folder / "alone")
    takeovers = _takeovers(job.log, killed)
    return {
        "storage": kind,
        "workers": workers,
        "kills": len(killed),
        "stops": done - len(killed),
        "target": target,
        **result,
        "seconds_to_takeover": round(statistics.median(takeovers), 1) if takeovers else None,
    }


def _takeovers(log: Path, killed: dict[int, float]) -> list[float]:
    """Seconds from each kill in a trial until somebody begins that trial again."""
    events, seconds = read_log(log), []
    for pid, at in killed.items():
        last = [event for event in events if event["pid"] == pid][-1]
        begins = (
            event["at"] - at
            for event in events
            if event["event"] == "begin" and event["trial"] == last.get("trial")
            if event["at"] > at
        )
        if last["event"] in ("begin", "step") and (first := next(begins, None)):
            seconds.append(first)
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    origin = provenance(device=processor(), threads=1)
    done = {(record["storage"], record["workers"]) for record in read(args.output)}
    for kind in args.storages:
        for workers in args.workers:
            if (kind, workers) in done:
                continue
            with tempfile.TemporaryDirectory() as temporary:
                record = cell(
                    kind,
                    workers,
                    Path(temporary),
                    kills=args.kills,
                    stops=args.stops,
                    target=args.trials,
                )
            append(args.output, {**origin, **record})
            print(record, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--stops", type=int, default=6)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
