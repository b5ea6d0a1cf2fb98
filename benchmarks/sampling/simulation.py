"""Searches in simulated time: batches, or workers that run beside each other.

A study is searched through `Study.ask` and `Study.tell` alone, as users do; only the training is
simulated. The noise of a trial depends on the seed and its number, so that all samplers meet
the same.
"""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections.abc import Callable, Iterator

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial

from benchmarks.sampling.problems import Instance, observe, regret
from optuna_layerwise.storage import TIE_KEY


@dataclasses.dataclass
class Search:
    """A search under way.

    Args:
        instance: What is searched.
        sampler: What searches.
        seed: Of the noise.
    """

    instance: Instance
    sampler: BaseSampler
    seed: int
    cpu: float = 0.0
    """Seconds of processor time in ask and tell."""

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(direction="maximize", sampler=self.sampler)
        self._best: tuple[tuple[float, float], dict[str, object]] | None = None

    def ask(self) -> Trial:
        """A trial with all its parameters."""
        clock = time.process_time()
        trial = self.study.ask(dict(self.instance.search_space))
        self.cpu += time.process_time() - clock
        return trial

    def tell(self, trial: Trial) -> FrozenTrial:
        """Evaluate a trial and tell it."""
        noise = np.random.Generator(np.random.Philox(key=[self.seed, 1 + trial.number]))
        value, tie = observe(self.instance, trial.params, noise)
        trial.set_user_attr(TIE_KEY, tie)
        if self._best is None or (value, -tie) > self._best[0]:
            self._best = (value, -tie), trial.params
        clock = time.process_time()
        told = self.study.tell(trial, value)
        self.cpu += time.process_time() - clock
        return told

    @property
    def regret(self) -> float:
        """Of the trial that looks best so far, as it really is."""
        assert self._best is not None
        return regret(self.instance, self._best[1])


def batches(search: Search, trials: int, size: int = 10) -> Iterator[int]:
    """Ask ``size`` trials, then tell them, and so on; yields the number told so far."""
    for told in range(0, trials, size):
        asked = [search.ask() for _ in range(min(size, trials - told))]
        for count, trial in enumerate(asked, told + 1):
            search.tell(trial)
            yield count


def workers_of(
    *,
    ask: Callable[[], Trial],
    duration: Callable[[Trial], float],
    trials: int,
    count: int,
) -> Iterator[Trial]:
    """Trials in the order in which so many workers finish them, one at a time each."""
    running: list[tuple[float, int, Trial]] = []
    now, asked = 0.0, 0
    for _ in range(trials):
        while len(running) < count and asked < trials:
            trial = ask()
            heapq.heappush(running, (now + duration(trial), trial.number, trial))
            asked += 1
        now, _, trial = heapq.heappop(running)
        yield trial


def workers(search: Search, trials: int, count: int = 8) -> Iterator[int]:
    """So many workers beside each other; a trial takes as long as its policy needs."""
    rng = np.random.Generator(np.random.Philox(key=[search.seed, 0]))

    def duration(trial: Trial) -> float:
        jitter = float(np.exp(0.1 * rng.standard_normal()))
        return search.instance.duration(trial.params) * jitter

    finished = workers_of(ask=search.ask, duration=duration, trials=trials, count=count)
    for told, trial in enumerate(finished, 1):
        search.tell(trial)
        yield told


MODES = {"batches": batches, "workers": workers}
"""Ways to run a search: batches of 10, or 8 asynchronous workers."""
