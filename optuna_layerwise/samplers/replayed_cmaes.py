"""Optuna's CMA-ES, whose state is computed again from the finished trials.

Optuna stores the optimizer as a pickle in the database and unpickles what it finds there. Whoever
may write to the database could run code that way, so nothing stored is unpickled here: the
optimizer starts anew at each ask, and is told each generation again. That gives the same state,
because an optimizer that is told draws nothing at random.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial


class ReplayedCmaEsSampler(CmaEsSampler):
    """Draws what Optuna's draws; see the module."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._here = threading.local()  # the finished trials, for the ask of this thread

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> None:
        """Say that there is no optimizer, so that `_init_optimizer` is asked for one."""
        # A generation is its first members to finish: one that comes later changes nothing.
        self._here.finished = sorted(
            completed_trials, key=lambda t: (t.datetime_complete, t.number)
        )

    def _init_optimizer(self, trans: Any, direction: StudyDirection) -> Any:
        """An optimizer that has been told every whole generation."""
        finished: list[FrozenTrial] = self._here.finished
        newest = max(map(self._generation, finished), default=-1)
        generator = self._cma_rng.rng
        before = generator.get_state()
        optimizer: Any = super()._init_optimizer(trans, direction)
        if newest > 0:
            generator.set_state(before)  # Optuna would have restored one, and drawn no seed
        sign = 1 if direction == StudyDirection.MINIMIZE else -1
        while True:
            told = [t for t in finished if self._generation(t) == optimizer.generation]
            if len(told) < optimizer.population_size:
                return optimizer
            optimizer.tell(
                [
                    (self._point(trial, trans), sign * float(trial.value or 0.0))
                    for trial in told[: optimizer.population_size]
                ]
            )
            if newest >= optimizer.generation:
                # Optuna would have restored this one. A copy lays its matrices out in memory as
                # restoring does, and so rounds alike: the draws are Optuna's to the last bit.
                optimizer = copy.deepcopy(optimizer)

    def _generation(self, trial: FrozenTrial) -> int:
        generation = trial.system_attrs.get(self._attr_key_generation)
        return generation if isinstance(generation, int) else -1

    def _point(self, trial: FrozenTrial, trans: Any) -> Any:
        if self._with_margin:
            return np.array(trial.system_attrs["x_for_tell"], dtype=float)
        return trans.transform(trial.params)
