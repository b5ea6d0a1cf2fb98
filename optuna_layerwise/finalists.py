"""After the search: retrain the finalists, choose by validation, open the test split once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState
from safetensors.torch import save_model

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.policy import Policy
from optuna_layerwise.runs import RUN_KEY, finite_or_none
from optuna_layerwise.storage import TIE_KEY, Owner
from optuna_layerwise.training import Trainer, higher_is_better

FINAL_KEY = "olw:final"
"""Study user attribute: a `Final` as JSON; it is written once."""
CLAIM_KEY = "olw:finalizing"
"""Study user attribute: the process that finalizes."""
_CLAIM_SECONDS = 0.2


class FinalizedElsewhere(RuntimeError):
    """Another process finalizes the study at this moment."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A policy retrained on all training data, once per seed.

    Args:
        name: ``trial 17``, or the title of a baseline.
        policy: Block to multiplier.
        trained_share: Trained parameters as a share of all.
        val: Per seed the validation metrics.
        test: Per seed the test metrics; empty for finalists that were not chosen.
        images_seen: In all of its trainings.
        seconds: In all of its trainings.
    """

    name: str
    policy: dict[str, float]
    trained_share: float
    val: list[dict[str, float | None]]
    test: list[dict[str, float | None]]
    images_seen: int
    seconds: float

    def mean(self, metric: str, *, split: str) -> float:
        """Mean over the seeds of a metric on ``val`` or ``test``; NaN where one diverged."""
        seeds = self.val if split == "val" else self.test
        return float(np.mean([_number(seed[metric]) for seed in seeds])) if seeds else math.nan

    def spread(self, metric: str) -> float:
        """Standard deviation (n - 1) of a test metric over the seeds."""
        values = [_number(seed[metric]) for seed in self.test]
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclasses.dataclass(frozen=True)
class Final:
    """The result of a study.

    Args:
        metric: By which the search and this choice were made.
        chosen: The finalist with the best mean validation metric, with its test metrics.
        finalists: All that were retrained, the chosen one included, best validation first.
        baselines: With the same recipe and seeds, with test metrics.
        weights: Where the chosen policy's weights were saved (``path``), and their ``sha256``.
    """

    metric: str
    chosen: Candidate
    finalists: list[Candidate]
    baselines: list[Candidate]
    weights: dict[str, str] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Final:
        """Read what `finalize` stored."""
        return cls(
            content["metric"],
            Candidate(**content["chosen"]),
            [Candidate(**c) for c in content["finalists"]],
            [Candidate(**c) for c in content["baselines"]],
            content["weights"],
        )


def stored_final(study: optuna.Study) -> Final | None:
    """The result of a study that has been finalized."""
    content = study.user_attrs.get(FINAL_KEY)
    return None if content is None else Final.from_json(content)


def finalize(
    trainer: Trainer,
    study: optuna.Study,
    *,
    top: int,
    seeds: Sequence[int],
    weights: str | os.PathLike[str] | None = None,
) -> Final:
    """Retrain the ``top`` policies, choose one by validation, and only then test it.

    Every finalist and every baseline is trained on the whole training split (no fold) once per
    seed. The mean validation metric chooses; the test split is opened once for a study, and the
    result is stored with it: later calls return what is stored. Choosing by the best of several
    test results, as BioTune's paper does, would overstate it.

    Args:
        trainer: What the study was run with.
        study: The study.
        top: Number of finalists, policies that differ.
        seeds: Of their trainings.
        weights: Where to save the chosen policy's weights, those of its best seed by
            validation, as safetensors.

    Raises:
        ValueError: if no trial is complete, or nothing is to be trained.
        FinalizedElsewhere: if another process finalizes the study.
    """
    if (stored := stored_final(study)) is not None:
        return stored
    if top < 1 or not seeds:
        raise ValueError(f"top and seeds must give at least one training, got {top} and {seeds}")
    best = _best(study, top)
    _claim(study)
    metric, data = trainer.recipe.metric, trainer.data
    sign = -1 if higher_is_better(metric) else 1
    models: dict[str, list[torch.nn.Module]] = {}

    def retrain(name: str, policy: Policy, *, pretrained: bool = True) -> Candidate:
        models[name] = [
            trainer.model() if pretrained else trainer.untrained_model(seed) for seed in seeds
        ]
        fits = [
            trainer.train(policy, data.train, data.val, seed, model=model)
            for seed, model in zip(seeds, models[name], strict=True)
        ]
        for model in models[name]:
            model.cpu()
        return Candidate(
            name=name,
            policy=dict(policy),
            trained_share=fits[0].trained_share,
            val=[finite_or_none(f.metrics) for f in fits],
            test=[],
            images_seen=sum(f.images_seen for f in fits),
            seconds=sum(f.seconds for f in fits),
        )

    def by_validation(candidate: Candidate) -> tuple[float, float]:
        value, loss = (candidate.mean(m, split="val") for m in (metric, "loss"))
        return _worst_if_nan(sign * value), _worst_if_nan(loss)

    finalists = [retrain(f"trial {trial.number}", policy) for trial, policy in best]
    finalists.sort(key=by_validation)
    winner = finalists[0]
    for loser in finalists[1:]:
        del models[loser.name]
    saved = None
    if weights is not None:
        scores = [_worst_if_nan(sign * _number(seed[metric])) for seed in winner.val]
        saved = _save(models[winner.name][scores.index(min(scores))], winner.policy, Path(weights))
    baselines = [
        retrain(b.title, b.policy(list(trainer.blocks)), pretrained=b.pretrained)
        for b in BASELINES.values()
    ]
    test = data.test.open()

    def judge(candidate: Candidate) -> Candidate:
        results = [trainer.evaluate(model, test) for model in models[candidate.name]]
        return dataclasses.replace(candidate, test=[finite_or_none(r) for r in results])

    chosen = judge(winner)
    judged = [judge(baseline) for baseline in baselines]
    final = Final(metric, chosen, [chosen, *finalists[1:]], judged, saved)
    study.set_user_attr(FINAL_KEY, dataclasses.asdict(final))
    return final


def _claim(study: optuna.Study) -> None:
    """Let one process finalize; that of a dead one is taken over."""
    me = dataclasses.asdict(Owner.of_this_process())
    other = study.user_attrs.get(CLAIM_KEY)
    if other is None or other == me or Owner(**other).is_dead:
        study.set_user_attr(CLAIM_KEY, me)
        time.sleep(_CLAIM_SECONDS)  # of two that claim at once, the later stands
        other = study.user_attrs.get(CLAIM_KEY)
    if other is not None and other != me:
        raise FinalizedElsewhere(
            f"study {study.study_name!r} is being finalized by process {other['pid']} on "
            f"{other['host']}; if that is gone, unset the study's attribute {CLAIM_KEY!r}"
        )


def _save(model: torch.nn.Module, policy: dict[str, float], path: Path) -> dict[str, str]:
    """Write the weights, whole or not at all; returns where they are and their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
    save_model(model, str(unfinished), metadata={"policy": json.dumps(policy)})
    digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
    os.replace(unfinished, path)
    return {"path": str(path.absolute()), "sha256": digest}


def _best(study: optuna.Study, top: int) -> list[tuple[FrozenTrial, Policy]]:
    """The best complete trials with different policies; ties as in the search."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    complete.sort(
        key=lambda t: (sign * (t.value or 0.0), t.user_attrs.get(TIE_KEY, math.inf), t.number)
    )
    best: dict[Policy, FrozenTrial] = {}
    for trial in complete:
        run = trial.user_attrs.get(RUN_KEY)  # a trial of another objective has none
        if run is not None and (policy := Policy(run["policy"])).trained:
            best.setdefault(policy, trial)
    if not best:
        raise ValueError(
            f"study {study.study_name!r} has no complete trial that trained something; "
            "run more trials before finalizing"
        )
    return [(trial, policy) for policy, trial in list(best.items())[:top]]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _worst_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value
