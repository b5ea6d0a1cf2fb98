"""A fixed policy with tuned learning rate and weight decay: what a search has to beat.

Everything but what is searched is as in a search over policies: the splits, the model, the
recipe's other fields, the number of finalists and their seeds, and the images that are seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise import FinetuneObjective, Policy, Recipe
from optuna_layerwise.results import Candidate
from optuna_layerwise.runs import RUN_KEY, finite_or_none
from optuna_layerwise.storage import TIE_KEY
from optuna_layerwise.training import higher_is_better

LR = (1e-5, 1e-1)
WEIGHT_DECAY = (1e-6, 1e-2)


@dataclasses.dataclass(frozen=True)
class Tuning:
    """An Optuna objective: one policy, at the trial's learning rate and weight decay."""

    objective: FinetuneObjective
    policy: Policy

    def recipe(self, trial: FrozenTrial | optuna.Trial) -> Recipe:
        """The objective's, with what the trial suggested."""
        return dataclasses.replace(self.objective.recipe, **trial.params)

    def __call__(self, trial: optuna.Trial) -> float:
        """The validation metric; one that diverged is a result, too, and the worst."""
        trial.suggest_float("lr", *LR, log=True)
        trial.suggest_float("weight_decay", *WEIGHT_DECAY, log=True)
        o = self.objective
        fit = o.train(self.policy, o.data.train, o.data.val, o.seeds[0], recipe=self.recipe(trial))
        trial.set_user_attr(RUN_KEY, {"images_seen": fit.cost.images_seen})
        if fit.diverged:
            return o.worst
        trial.set_user_attr(TIE_KEY, fit.metrics["loss"])
        return fit.metrics[o.recipe.metric]


def images_seen(study: optuna.Study) -> int:
    """Training images in all trials so far, of a tuning or of a search over policies."""
    return sum(t.user_attrs[RUN_KEY]["images_seen"] for t in study.get_trials(deepcopy=False))


def tune(
    tuning: Tuning,
    *,
    images: int,
    seed: int,
    on_trial: Callable[[optuna.Study, FrozenTrial], None],
) -> optuna.Study:
    """Run trials of TPE until they have seen ``images``; the last one is finished."""
    study = optuna.create_study(
        direction=tuning.objective.direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.NopPruner(),
    )
    while images_seen(study) < images:
        study.optimize(tuning, n_trials=1, callbacks=[on_trial])
    return study


def finalize(
    tuning: Tuning, study: optuna.Study, *, top: int, seeds: Sequence[int]
) -> list[tuple[Candidate, Recipe]]:
    """As `optuna_layerwise.finalists.finalize`, with recipes in the place of policies.

    Retrains the ``top`` recipes once per seed, lets the mean validation metric choose one, and
    only then opens the test split, for that one. It comes first, with its test metrics.
    """
    o = tuning.objective
    sign = -1 if higher_is_better(o.recipe.metric) else 1
    models: dict[str, list[torch.nn.Module]] = {}

    def retrain(trial: FrozenTrial) -> tuple[Candidate, Recipe]:
        name, recipe = f"trial {trial.number}", tuning.recipe(trial)
        models[name] = [o.model() for _ in seeds]
        fits = [
            o.train(tuning.policy, o.data.train, o.data.val, seed, model=model, recipe=recipe)
            for seed, model in zip(seeds, models[name], strict=True)
        ]
        candidate = Candidate(
            name=name,
            policy=dict(tuning.policy),
            trained_share=fits[0].trained_share,
            val=[finite_or_none(fit.metrics) for fit in fits],
            test=[],
            images_seen=sum(fit.cost.images_seen for fit in fits),
            seconds=sum(fit.cost.seconds for fit in fits),
        )
        return candidate, recipe

    def order(trial: FrozenTrial) -> tuple[float, float]:
        return sign * (trial.value or 0.0), trial.user_attrs.get(TIE_KEY, math.inf)

    def final_order(finalist: tuple[Candidate, Recipe]) -> tuple[float, float]:
        value = sign * finalist[0].mean(o.recipe.metric, split="val")
        return math.inf if math.isnan(value) else value, finalist[0].mean("loss", split="val")

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = sorted(trials, key=order)[:top]
    (chosen, recipe), *others = sorted(map(retrain, best), key=final_order)
    test = o.data.test.open()
    results = [finite_or_none(o.evaluate(model, test)) for model in models[chosen.name]]
    return [(dataclasses.replace(chosen, test=results), recipe), *others]
