"""The trainings of one trial, one a seed: reported, pruned, taken over, saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from optuna_layerwise.data import Examples
from optuna_layerwise.objective.reuse import PastTraining, PastTrainings
from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.records.run import Run
from optuna_layerwise.training import Checkpoint, Cost, EpochResult, Trainer, ran_out_of_memory
from optuna_layerwise.training.checkpoint import weights_file


@dataclasses.dataclass
class SeedLoop:
    """Trains a trial's policy once per seed, and writes down in `run` what came of it.

    The first seed's epochs are reported to the trial. A seed that a finished trial has trained is
    taken over, and one that a checkpoint holds is not trained again.

    Args:
        trainer: Trains.
        recipe: The trial's own.
        pretrained: Whether it starts from the pretrained weights.
        trial: Is reported to.
        run: What is stored with the trial; replaced by that of a checkpoint that is restored.
        reported: Last epoch that is reported; -1 for none.
        past: What finished trials have trained; ``None`` to take nothing over.
        checkpoint: Of the trial.
        keep_weights: Have the best seed's weights in the checkpoint.
        should_stop: See `fit`.
    """

    trainer: Trainer
    recipe: Recipe
    pretrained: bool
    trial: optuna.Trial
    run: Run
    reported: int
    past: PastTrainings | None
    checkpoint: Checkpoint | None
    keep_weights: bool
    should_stop: Callable[[], bool]

    def train(self, policy: Policy, seeds: Sequence[int], train: Examples, val: Examples) -> Run:
        """Train all seeds; the result has its outcome.

        Raises:
            optuna.TrialPruned: when the study's pruner says so, but not after the last epoch of
                the only seed; `run` has its outcome and cost.
            Exception: what `Trainer.train` raises, but for memory that ran out.
        """
        self._only_seed = len(seeds) == 1
        if self.checkpoint is not None and self.checkpoint.restore_trial(self._restore):
            self._report_curve(self.checkpoint.trial["curve"])
        try:
            for seed in seeds[len(self.run.seeds) :]:  # the others were finished before a pause
                if (past := self._trained_before(seed)) is not None:
                    diverged = self._take_over(seed, past)
                else:
                    diverged = self._train(policy, seed, train, val)
                if diverged:
                    self.run.outcome = "diverged"
                    return self.run
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            self.run.outcome = "out of memory"
            return self.run
        if None not in self.run.repeats:
            self.run.outcome = "repeated"
        return self.run

    def _train(self, policy: Policy, seed: int, train: Examples, val: Examples) -> bool:
        """One seed; returns whether it diverged."""
        metric = self.recipe.metric
        model, trainer = None, self.trainer
        if self.keep_weights:
            model = trainer.model() if self.pretrained else trainer.untrained_model(seed)
        result = trainer.train(
            policy,
            train,
            val,
            seed,
            model=model,
            pretrained=self.pretrained,
            recipe=self.recipe,
            on_epoch=None if self.run.seeds else self._report_epoch,
            should_stop=self.should_stop,
            checkpoint=self.checkpoint,
        )
        self.run.add(seed, result)
        if not result.diverged:
            self._note({epoch: m[metric] for epoch, m in enumerate(result.history)})
            if self.checkpoint is not None and model and self.run.newest_is_best(metric):
                about = {
                    "policy": policy.to_json(),
                    "trial": str(self.trial.number),
                    "seed": str(seed),
                }
                self.checkpoint.trial["weights"] = weights_file(model, about)
        return result.diverged

    def _trained_before(self, seed: int) -> PastTraining | None:
        """What another trial has trained; of the first seed only with what it reported."""
        if self.past is None:
            return None
        return self.past.find(self.run.training, seed, with_curve=not self.run.seeds)

    def _take_over(self, seed: int, past: PastTraining) -> bool:
        """One seed that another trial has trained; returns whether it diverged there."""
        curve = past.curve or {}
        if not self.run.seeds:
            self._report_curve(curve)
        self.run.take_over(seed, past.trial, past.metrics, past.best_epoch)
        if not past.diverged:
            self._note(curve)
        return past.diverged

    def _report_epoch(self, epoch: EpochResult) -> None:
        self._report(epoch.epoch, epoch.metrics[self.recipe.metric], epoch.cost)

    def _report_curve(self, curve: Mapping[int, float]) -> None:
        for epoch, value in curve.items():
            self._report(epoch, value, Cost())

    def _report(self, epoch: int, value: float, cost: Cost) -> None:
        if len(self.trial.study.directions) > 1:
            return  # Optuna prunes, and takes reports, of one objective only
        if epoch > self.reported:
            self.trial.report(value, epoch)
            self.reported = epoch
        saves_something = epoch + 1 < self.recipe.epochs or not self._only_seed
        if epoch >= self.reported and saves_something and self.trial.should_prune():
            self.run.outcome = "pruned"
            self.run.spend(cost)
            raise optuna.TrialPruned(f"at epoch {epoch}")

    def _note(self, curve: Mapping[int, float]) -> None:
        """What a checkpoint needs to know of the seeds that are finished."""
        if self.checkpoint is not None:
            self.checkpoint.trial["run"] = dataclasses.asdict(self.run)
            self.checkpoint.trial.setdefault("curve", dict(curve))

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.run = Run.restored(saved["run"])
