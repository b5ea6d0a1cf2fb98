"""Workers, and what happens to them: kept at a number while they are killed at random moments."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import optuna

from benchmarks.reliability.figures import read_log
from benchmarks.reliability.labour import Host, Job, labour, note
from optuna_layerwise.storage import all_trials

SECONDS = 120.0
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["benchmarks.reliability.labour", "alembic.command", "psycopg", "pymysql"]
)


class Crew:
    """The workers of one study.

    Args:
        job: What they do.
        hosts: Of one worker after the other; default the true one.
    """

    def __init__(self, job: Job, hosts: Iterable[Host] = ()) -> None:
        self.job = job
        self.alive: list[BaseProcess] = []
        self.lives = itertools.count()
        self._hosts = iter(hosts)

    def start(self, number: int = 1) -> BaseProcess:
        """Start workers; returns the last."""
        for _ in range(number):
            arguments = (self.job, next(self.lives), next(self._hosts, None))
            process = _context.Process(target=labour, args=arguments, daemon=True)
            process.start()
            self.alive.append(process)
        return process

    @property
    def working(self) -> bool:
        """Whether any has not ended."""
        return any(process.exitcode is None for process in self.alive)

    def kill(self, process: BaseProcess) -> None:
        """SIGKILL."""
        process.kill()
        process.join()
        self.alive.remove(process)

    def replace_dead(self) -> int:
        """Start one for each that ended by an error of its own; returns how many."""
        dead = [process for process in self.alive if process.exitcode not in (None, 0)]
        self.alive = [process for process in self.alive if process not in dead]
        if dead:
            self.start(len(dead))
        return len(dead)

    def finish(self, seconds: float = SECONDS) -> None:
        """Wait until all have ended, the dead replaced.

        Raises:
            TimeoutError: if they do not end.
        """
        deadline = time.monotonic() + seconds
        while any(process.exitcode != 0 for process in self.alive):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the study did not end within {seconds} seconds: {self.job}")
            if self.replace_dead():
                time.sleep(0.5)
            time.sleep(0.05)


@contextlib.contextmanager
def crew(job: Job, hosts: Iterable[Host] = ()) -> Iterator[Crew]:
    """None is left over at the end."""
    made = Crew(job, hosts)
    try:
        yield made
    finally:
        for process in made.alive:
            process.kill()
            process.join()


def under_fire(
    job: Job, study: optuna.Study, *, workers: int, kills: int, moments: random.Random
) -> int:
    """Run the study to its target while workers are killed and replaced; returns the kills.

    A single worker is killed at a moment of its trials, or, one time in five, while it starts.
    Of several, any one dies, and the next a moment later. Kills that the study did not live to
    see are not made.
    """
    done, trial_seconds = 0, job.pace * 6
    with crew(job) as them:
        them.start(workers)
        while done < kills and them.working:
            victim = moments.choice(them.alive)
            if workers == 1 and moments.random() > 0.2:
                until(partial(has_begun, job, victim))
            time.sleep(moments.uniform(0, 3 * trial_seconds))
            witness(study, job)
            if victim.exitcode is None:
                them.kill(victim)
                them.start()
                done += 1
        them.finish()
    witness(study, job)
    return done


def witness(study: optuna.Study, job: Job) -> None:
    """Write down which trials are finished now: none of them may change any more."""
    seen = {event["trial"] for event in read_log(job.log) if event["event"] == "seen"}
    for trial in all_trials(study):
        if trial.state.is_finished() and trial.number not in seen:
            facts = {"trial": trial.number, "state": trial.state.name, "values": trial.values}
            note(job.log, event="seen", life=-1, **facts)


def until(condition: Callable[[], Any], *, seconds: float = SECONDS) -> None:
    """Wait until the condition is true.

    Raises:
        TimeoutError: if it does not become true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not true within {seconds} seconds")
        time.sleep(0.05)


def has_begun(job: Job, worker: BaseProcess) -> bool:
    """Whether a worker has begun a trial, or is over."""
    begun = {event["pid"] for event in read_log(job.log) if event["event"] == "begin"}
    return worker.exitcode is not None or worker.pid in begun
