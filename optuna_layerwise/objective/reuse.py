"""What the finished trials of a study have trained, so that no training is done twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import optuna
from optuna.trial import FrozenTrial

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.storage import all_trials


@dataclasses.dataclass(frozen=True)
class PastTraining:
    """One training of one seed, by a trial that is finished.

    Args:
        trial: Its number.
        metrics: Validation metrics of the best epoch; ``None`` for NaN.
        best_epoch: From 0.
        diverged: It ended so.
        curve: Epoch to the reported value; ``None`` of the seeds after a trial's first.
    """

    trial: int
    metrics: dict[str, float | None]
    best_epoch: int | None
    diverged: bool
    curve: dict[int, float] | None


def training_key(policy: Policy, recipe: Recipe, *of_the_data_and_model: object) -> str:
    """A digest of all that decides a training but its seed.

    Two policies have the same if each block has the same learning rate, after the recipe's
    upper bound.
    """
    content = json.dumps([policy.rates(recipe), recipe.to_json(), *of_the_data_and_model])
    return hashlib.sha256(content.encode()).hexdigest()


class PastTrainings:
    """The trainings of a study, by key and seed; each finished trial is read once.

    Safe without locks: what two threads write here at once is the same.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._known: dict[tuple[str, int], PastTraining] = {}
        self._read: set[int] = set()
        self._all_read_below = 0

    def find(self, key: str, seed: int, *, with_curve: bool) -> PastTraining | None:
        """The training of the lowest numbered trial that has done it, if one has."""
        trials, start = all_trials(self.study), self._all_read_below
        for trial in trials[start:]:
            if trial.state.is_finished() and trial.number not in self._read:
                self._add(trial)
                self._read.add(trial.number)
        while start in self._read:
            start += 1
        self._all_read_below = start
        past = self._known.get((key, seed))
        return None if past is None or (with_curve and past.curve is None) else past

    def _add(self, trial: FrozenTrial) -> None:
        run = readable_runs(self.study, [trial]).get(trial.number)
        if run is None:
            return
        trainings = list(zip(run.seeds, run.metrics, run.best_epochs, run.repeats, strict=False))
        for index, (seed, metrics, best_epoch, repeats) in enumerate(trainings):
            key, last = (run.training, seed), index == len(trainings) - 1
            past = PastTraining(
                trial=trial.number,
                metrics=metrics,
                best_epoch=best_epoch,
                diverged=last and run.outcome == "diverged",
                curve=trial.intermediate_values if index == 0 else None,
            )
            known = self._known.get(key)
            if repeats is None and (known is None or trial.number < known.trial):
                self._known[key] = past
