"""Studies as the package stores them, made in no time: trials, runs, a result, settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from optuna_layerwise.cost import Cost
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import Candidate, Delivered, Estimate, Final, Member
from optuna_layerwise.records.predictions import (
    Predictions,
    most_confident_mistakes,
    most_disputed,
)
from optuna_layerwise.records.run import Run
from optuna_layerwise.storage import DATA_KEY, FINAL_KEY, RUN_KEY, SETTINGS_KEY

BLOCKS = ("stem", "stage1", "stage2", "head")
START = datetime(2026, 1, 1)
HOSTILE = (
    '"><script>document.title="owned"</script><img src=x onerror=alert(1)> '
    "[link](javascript:alert(1)) **bold** `tick` | cell \n# heading \x1b[31mred {{ 7*7 }} </pre>"
)


def a_study(
    n: int = 12,
    *,
    name: str = "leaves",
    blocks: Sequence[str] = BLOCKS,
    seed: int = 0,
    final: bool = True,
    settings: Settings | None = None,
    outcomes: Mapping[int, str] | None = None,
    classes: Sequence[str] = ("healthy", "ill"),
    storage: Any = None,
    devices: Sequence[str] = ("cpu",),
    images: Mapping[str, int] | None = None,
) -> optuna.Study:
    """A finalized study; ``outcomes`` are those of trials that are not complete."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(study_name=name, direction="maximize", storage=storage)
    trials = []
    for i in range(n):
        outcome = (outcomes or {}).get(i, "complete")
        policy = {block: float(rng.choice([0.0, 0.3, 1.0, 3.0])) for block in blocks}
        policy[blocks[-1]] = 1.0
        value = 0.6 + 0.2 * float(rng.random())
        attributes: dict[str, Any] = {}
        if outcome != "failed":
            run = Run(
                policy=policy,
                generation=i // 10,
                fold=0,
                trained_share=float(np.mean([v > 0 for v in policy.values()])),
                outcome=outcome,
                seeds=[0],
                repeats=[None],
                metrics=[{"accuracy": value, "loss": 1 - value}],
                best_epochs=[1],
                cost=Cost(images_seen=400, flops=6e9, flops_of_all=1e10, seconds=2.0),
                finished="2026-01-01T00:30:00.000+00:00",
                device=devices[i % len(devices)],
            )
            attributes = {RUN_KEY: run.as_json()}
        complete = outcome == "complete"
        trial = create_trial(
            state=TrialState.COMPLETE if complete else TrialState.FAIL,
            value=value if complete else None,
            user_attrs=attributes,
            intermediate_values={0: value - 0.1, 1: value} if complete else {},
        )
        trial.datetime_start = START + timedelta(seconds=3 * i)
        trial.datetime_complete = START + timedelta(seconds=3 * i + 2)
        trials.append(trial)
    study.add_trials(trials)
    sizes = images or {"train": 100, "val": 80, "test": 90}
    study.set_user_attr(DATA_KEY, {**sizes, "classes": list(classes)})
    if final:
        study.set_user_attr(FINAL_KEY, a_result(blocks).as_json())
    if settings is not None:
        study.set_user_attr(SETTINGS_KEY, settings.to_json())
    return study


def a_candidate(
    name: str, policy: Mapping[str, float], test: Sequence[float], share: float
) -> Candidate:
    return Candidate(
        name=name,
        policy=dict(policy),
        trained_share=share,
        val=[{"accuracy": value + 0.01, "loss": 0.5} for value in test],
        test=[{"accuracy": value, "loss": 0.6} for value in test],
        images_seen=1200,
        seconds=5.0,
        flops=1e10,
    )


def a_result(blocks: Sequence[str] = BLOCKS, **names: str) -> Final:
    half = {block: float(i % 2) for i, block in enumerate(blocks)}
    half[blocks[-1]] = 0.5
    full, probe = dict.fromkeys(blocks, 1.0), dict.fromkeys(blocks, 0.0)
    probe[blocks[-1]] = 1.0
    chosen = a_candidate(names.get("chosen", "trial 3"), half, [0.80, 0.82, 0.81], 0.4)
    other = dataclasses.replace(chosen, name="trial 5", test=[], val=chosen.val[:2])
    return Final(
        metric="accuracy",
        chosen=chosen,
        finalists=[chosen, other],
        baselines=[
            a_candidate("full fine-tuning", full, [0.78, 0.77, 0.79], 1.0),
            a_candidate(names.get("probe", "linear probe"), probe, [0.60, 0.61, 0.60], 0.01),
        ],
    )


def predictions_of_a_team(
    n_classes: int = 4, n: int = 120, *, class_name: str = "class", image_name: str = "image"
) -> Predictions:
    """A team of three, right on about seven of ten images, and often of different opinions."""
    rng = np.random.default_rng(n_classes)
    labels = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(3, n, n_classes)) + rng.normal(size=(n, n_classes))
    logits[:, np.arange(n), labels] += 3
    members = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    found = Predictions(
        classes=np.array([f"{class_name} {i}" for i in range(n_classes)]),
        names=np.array([f"{image_name}-{i}.png" for i in range(n)]),
        labels=labels,
        probabilities=members.mean(axis=0).astype(np.float32),
        labelled=rng.integers(5, 200, size=n_classes),
        pictured=np.zeros(0, np.int64),
        thumbnails=np.zeros((0, 1, 1, 3), np.uint8),
        members=members.astype(np.float32),
    )
    shown = np.union1d(most_confident_mistakes(found), most_disputed(found))
    thumbnails = rng.integers(256, size=(len(shown), 64, 64, 3)).astype(np.uint8)
    return dataclasses.replace(found, pictured=shown, thumbnails=thumbnails)


def keep_predictions(study: optuna.Study, predictions: Predictions, path: Path) -> None:
    """Save them, and say so in the study's result."""
    result = {**study.user_attrs[FINAL_KEY], "predictions": predictions.save(path)}
    study.set_user_attr(FINAL_KEY, result)


def a_hostile_study(name: str = HOSTILE, n: int = 12) -> optuna.Study:
    """Every text that a database can hold is an attack, or nonsense."""
    blocks = [f"{HOSTILE} {i}" for i in range(3)]
    study = a_study(n, name=name, blocks=blocks, classes=[HOSTILE], devices=[HOSTILE, "cpu"])
    result = a_result(blocks, chosen=HOSTILE, probe=HOSTILE)
    lead = Estimate(0.1, 0.0, 0.2)
    result = dataclasses.replace(
        result,
        delivered=Delivered(
            members=[Member(HOSTILE, {HOSTILE: 1.0}, {HOSTILE: HOSTILE}, n, 0.5) for n in (1, 2)],
            folds=5,
            refit=True,
            held_out={"accuracy": 0.8, HOSTILE: 0.1},
            other={},
            promised=lead,
            test={"accuracy": 0.8},
            leads={HOSTILE: lead},
            flops=2.0,
            flops_of_one=1.0,
        ),
    )
    study.set_user_attr(FINAL_KEY, result.as_json())
    settings = json.loads(Settings(data=HOSTILE, model=HOSTILE, weights=HOSTILE).to_json())
    settings["recipe"]["optimizer"] = HOSTILE
    study.set_user_attr(SETTINGS_KEY, json.dumps({**settings, HOSTILE: HOSTILE}))
    study.set_user_attr(HOSTILE, HOSTILE)
    trial = study.ask()
    trial.suggest_categorical(HOSTILE[:30], [HOSTILE, "other"])
    trial.set_user_attr(HOSTILE, HOSTILE)
    study.tell(trial, 0.9)
    return study
