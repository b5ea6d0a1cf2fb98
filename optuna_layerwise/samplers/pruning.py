"""Stopping a trial early that its own generation has left behind."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import optuna
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import all_trials, generation_of, violation_of


class GenerationPruner(BasePruner):
    """Prunes a trial whose best value so far is low among those of its generation.

    Low learning rates start slowly, so the first half of the epochs is never pruned, and best
    values so far are compared, not those of one epoch. A generation has one fold, and its trials
    are one cohort of the search, in which pruned ones rank last; older trials, of other folds
    and worse policies, are left out. Values decide alone: the same stored values, the same answer.

    Args:
        epochs: Of the recipe.
        spared: Share of the epochs that is never pruned, in [0, 1].
        quantile: Below which of the others' best values so far a trial is pruned, in [0, 1].
        n_others: That must have come as far, or have ended: before that nothing is pruned.

    Raises:
        ValueError: if a value is out of its range.

    Examples:
        >>> pruner = GenerationPruner(epochs=4)
        >>> study = optuna.create_study(pruner=pruner, direction="maximize")
        >>> def objective(trial):
        ...     for epoch in range(4):
        ...         accuracy = epoch / (4 + trial.number)
        ...         trial.report(accuracy, epoch)
        ...         if trial.should_prune():
        ...             raise optuna.TrialPruned
        ...     return accuracy
        >>> study.optimize(objective, n_trials=10)
        >>> [trial.last_step for trial in study.trials]
        [3, 3, 3, 3, 3, 1, 1, 1, 1, 1]
    """

    def __init__(
        self, *, epochs: int, spared: float = 0.5, quantile: float = 0.25, n_others: int = 5
    ) -> None:
        if epochs < 1 or n_others < 1:
            raise ValueError(
                f"epochs and n_others must be at least 1, got {epochs} and {n_others}"
            )
        if not (0 <= spared <= 1 and 0 <= quantile <= 1):
            raise ValueError(f"spared and quantile must be in [0, 1], got {spared} and {quantile}")
        self._epochs = epochs
        self._spared = spared
        self._quantile = quantile
        self._n_others = n_others

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial shall stop after the epoch that it reported last."""
        step = trial.last_step
        if step is None or not self._spared * self._epochs <= step + 1 < self._epochs:
            return False
        sign = 1 if study.directions[0] == StudyDirection.MAXIMIZE else -1
        generation = generation_of(trial)
        others = [
            _best_until(step, other, sign)
            for other in all_trials(study)
            if other.number != trial.number
            and generation_of(other) == generation
            and _has_come_to(step, other)
            and not violation_of(other)  # a feasible trial ranks before it, whatever its values
        ]
        if len(others) < self._n_others:
            return False
        bound = np.quantile(others, self._quantile, method="lower")
        return _best_until(step, trial, sign) < float(bound)


PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "generation": lambda epochs: GenerationPruner(epochs=epochs),
    "halving": lambda epochs: SuccessiveHalvingPruner(
        min_resource=1, reduction_factor=4, min_early_stopping_rate=0
    ),
}
"""Name to a pruner for so many epochs; halving is ASHA with Ray Tune's factor, 4.

Its rungs are the epochs 1, 4, 16, ..., counted from 0.
"""


def _has_come_to(step: int, trial: FrozenTrial) -> bool:
    """Or has ended before, by early stopping or pruning; a failed trial does not count."""
    if trial.last_step is None or trial.state == TrialState.FAIL:
        return False
    return trial.state.is_finished() or trial.last_step >= step


def _best_until(step: int, trial: FrozenTrial, sign: int) -> float:
    """The best value up to a step, larger is better; a value that is no number is the worst."""
    values = [sign * v for s, v in trial.intermediate_values.items() if s <= step]
    return max((v for v in values if not math.isnan(v)), default=-math.inf)
