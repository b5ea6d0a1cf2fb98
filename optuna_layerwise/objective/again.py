"""A policy that was not handed over, or a baseline, trained once more to be used all the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.data.examples import joined
from optuna_layerwise.io.plain import one_of
from optuna_layerwise.objective.delivering import Choice, HandedOver
from optuna_layerwise.objective.entrants import Entrant
from optuna_layerwise.objective.finetune import FinetuneObjective
from optuna_layerwise.objective.selection import plausible_from
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.run import run_of


@dataclasses.dataclass(frozen=True)
class TrainedAgain:
    """What `train_again` trained; it was not tested.

    Args:
        name: ``trial 17``, or the title of a baseline.
        policy: Block to multiplier.
        recipe: Field to value.
        validation: Metrics on the validation split, of a training without its images.
        weights: The file (``path``), and its ``sha256``.
    """

    name: str
    policy: dict[str, float]
    recipe: dict[str, Any]
    validation: dict[str, float]
    weights: dict[str, str]


def train_again(
    objective: FinetuneObjective, study: optuna.Study, which: int | str, path: Path
) -> TrainedAgain:
    """Train a trial's policy or a baseline on all images but the test split's, and save it.

    It is trained twice with a seed that the search has not used: first on the training split, so
    that validation says for how many epochs, then on the images of both splits.

    Args:
        objective: The objective of the study.
        study: The study.
        which: The number of a trial, or a name of `BASELINES`.
        path: The file to write, as `finalize` writes one; what was there is replaced.

    Raises:
        ValueError: if there is no such trial or baseline, or it trains nothing.
    """
    trainer, data = objective.trainer, objective.data
    if isinstance(which, str):
        one_of("--baseline", which, BASELINES)
        entrant = Entrant.baseline(trainer, which, {}, None)
    else:
        entrant = _of_trial(objective, study, which)
    [seed] = objective.unused_seeds(1)
    entrant.train(seed, data.train, data.val, keep=False)
    entrant.refit(seed, joined(data.train, data.val))
    plausible = None
    if data.val.task == "classification":
        plausible = plausible_from(entrant.probabilities, data.val.labels)
    choice = Choice(entrant, {}, entrant.fits[0].metrics, {}, None, plausible)
    with HandedOver(trainer, choice, refit=True).saved(path) as saved:
        pass
    return TrainedAgain(
        entrant.name,
        dict(entrant.policy),
        entrant.recipe.as_dict(),
        dict(entrant.fits[0].metrics),
        saved,
    )


def _of_trial(objective: FinetuneObjective, study: optuna.Study, number: int) -> Entrant:
    trials = study.get_trials(deepcopy=False)
    run = run_of(study, trials[number]) if 0 <= number < len(trials) else None
    if run is None or not any(run.policy.values()):
        raise ValueError(
            f"study {study.study_name!r} has no trial {number} that trained something; it has "
            f"{len(trials)} trials"
        )
    return Entrant(
        *(objective.trainer, f"trial {number}", Policy(run.policy), run.recipe),
        pretrained=objective.pretrained,
    )
