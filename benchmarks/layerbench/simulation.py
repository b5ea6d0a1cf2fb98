"""Searches in simulated time: batches, or workers that run beside each other.

A study is searched through `Study.ask` and `Study.tell` alone, as users do; only the training is
simulated.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial

from optuna_layerwise.storage import TIE_KEY


class Problem(Protocol):
    """What is searched; larger values are better."""

    @property
    def search_space(self) -> Mapping[str, BaseDistribution]:
        """Parameter name to distribution."""

    def observe(self, params: Mapping[str, Any], number: int) -> tuple[float, float]:
        """The value of a trial of this number, and what decides ties (smaller is better)."""

    def duration(self, params: Mapping[str, Any]) -> float:
        """Of a trial, in any unit."""


class Search:
    """A search under way.

    Args:
        problem: What is searched.
        sampler: What searches.
    """

    def __init__(self, problem: Problem, sampler: BaseSampler) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.problem = problem
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self._best: FrozenTrial | None = None
        self.cpu = 0.0
        """Seconds of processor time in ask and tell."""

    def ask(self) -> Trial:
        """A trial with all its parameters."""
        clock = time.process_time()
        trial = self.study.ask(dict(self.problem.search_space))
        self.cpu += time.process_time() - clock
        return trial

    def tell(self, trial: Trial) -> FrozenTrial:
        """Evaluate a trial and tell it."""
        value, tie = self.problem.observe(trial.params, trial.number)
        trial.set_user_attr(TIE_KEY, tie)
        clock = time.process_time()
        told = self.study.tell(trial, value)
        self.cpu += time.process_time() - clock
        self.told = told
        if self._best is None or _merit(told) > _merit(self._best):
            self._best = told
        return told

    @property
    def incumbent(self) -> FrozenTrial:
        """The trial that looks best so far."""
        assert self._best is not None
        return self._best


def _merit(trial: FrozenTrial) -> tuple[float, float]:
    assert trial.value is not None
    return trial.value, -trial.user_attrs[TIE_KEY]


def batches(search: Search, trials: int, *, size: int = 10, seed: int = 0) -> Iterator[int]:
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


def workers(search: Search, trials: int, *, count: int = 8, seed: int = 0) -> Iterator[int]:
    """So many workers beside each other; a trial takes as long as its policy needs."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))

    def duration(trial: Trial) -> float:
        jitter = float(np.exp(0.1 * rng.standard_normal()))
        return search.problem.duration(trial.params) * jitter

    finished = workers_of(ask=search.ask, duration=duration, trials=trials, count=count)
    for told, trial in enumerate(finished, 1):
        search.tell(trial)
        yield told


MODES: dict[str, Callable[..., Iterator[int]]] = {"batches": batches, "workers": workers}
"""Ways to run a search: batches of 10, or 8 asynchronous workers."""
