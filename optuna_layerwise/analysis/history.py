"""A study's trials as plain rows, read once; every figure and table starts here.

Trials of `FinetuneObjective` say in their attribute ``olw:run`` what they trained and what it
cost. Of other trials the policy is found from their parameters where they have the names of our
encodings, and the seconds are those between Optuna's own two times.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.analysis.guessing import policies_from_parameters
from optuna_layerwise.recipe import bounded_rate
from optuna_layerwise.records.answer import Answer, answer_among, readable_final, readable_openings
from optuna_layerwise.records.final import Final, Opening, count_finals
from optuna_layerwise.records.run import run_content
from optuna_layerwise.storage import (
    SETTINGS_KEY,
    Standing,
    all_study_attrs,
    all_trials,
    generation_of,
    standing_of,
    violation_of,
)

Axis = Literal["trials", "images", "seconds"]
"""What a search may be measured by."""
_FINGERPRINT = "olw:fingerprint:"
_OUTCOMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One trial.

    Args:
        trial: As Optuna stores it; read only.
        outcome: ``complete``, ``repeated`` (nothing was trained), ``pruned``, ``diverged``,
            ``out of memory``, ``empty``, ``failed``, ``running`` or ``waiting``.
        value: Of the (first) objective; ``None`` unless the trial completed with a finite one.
        feasible: No constraint is above 0.
        policy: Block to multiplier, 0 is frozen; ``None`` where it is not known.
        trained_share: Trained parameters as a share of all.
        images: Training images seen; ``None`` where not known.
        flops: Operations; ``None`` where not known.
        seconds: Of its trainings.
        peak_memory: Bytes.
        generation: Of the search.
        run: What it stored of its trainings; see `run_content`.
    """

    trial: FrozenTrial
    outcome: str
    value: float | None
    feasible: bool
    policy: Mapping[str, float] | None
    trained_share: float | None
    images: float | None
    flops: float | None
    seconds: float | None
    peak_memory: float | None
    generation: int
    run: Mapping[str, Any]

    @property
    def number(self) -> int:
        """The trial's."""
        return self.trial.number

    @property
    def finished(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self.trial.state.is_finished()

    @property
    def tuned(self) -> Mapping[str, Any]:
        """Fields of the recipe that the trial tuned; see `Recipe.changed`."""
        return mapping_or_empty(self.run.get("recipe"))

    @property
    def counts(self) -> bool:
        """Whether it can be the best: it has a value and is feasible."""
        return self.value is not None and self.feasible


@dataclasses.dataclass(frozen=True)
class History:
    """A study as figures and tables need it.

    Args:
        study: That was read.
        name: Of the study.
        sign: 1 if larger values are better, else -1.
        n_objectives: Values per trial; figures show the first.
        metric: What the value is.
        lr: That policies hold multipliers of; ``None`` where it is not known.
        recipe: Of all trials, as the settings or else the trials' setups say; empty if not known.
        settings: What the command line was told; empty for studies that it did not make.
        attributes: The study's user attributes.
        rows: By number.
        final: The result of the study, if it has been finalized and can be read.
        unreadable: Why the result cannot be read; empty if it can.
        results: How often the study has been finalized.
        openings: Of its test split.
    """

    study: optuna.Study
    name: str
    sign: int
    n_objectives: int
    metric: str
    lr: float | None
    recipe: Mapping[str, Any]
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]
    rows: Sequence[Row]
    final: Final | None = None
    unreadable: str = ""
    results: int = 0
    openings: Sequence[Opening] = ()

    @property
    def best_first(self) -> list[Row]:
        """Rows that can be the best, ordered as in the search."""
        return sorted((row for row in self.rows if row.counts), key=self._standing)

    @property
    def least_infeasible(self) -> Row | None:
        """The best row with a value while all of those are infeasible."""
        valued = [row for row in self.rows if row.value is not None]
        if any(row.feasible for row in valued):
            return None
        return min(valued, key=self._standing, default=None)

    @property
    def answer(self) -> Answer | None:
        """Which plan the study gives."""
        return answer_among([row.trial for row in self.rows], self.final, self._direction)

    @property
    def answer_row(self) -> Row | None:
        """The trial whose plan the study gives, if it has that trial."""
        found = self.answer
        number = found.trial.number if found is not None and found.trial is not None else None
        return next((row for row in self.rows if row.number == number), None)

    @property
    def answer_policy(self) -> Mapping[str, float] | None:
        """The plan that the study gives, if it is known."""
        if self.final is not None:
            return self.final.chosen.policy
        row = self.answer_row
        return None if row is None else row.policy

    @property
    def again(self) -> str:
        """How to finalize the study once more, for a sentence."""
        if self.settings:
            return "`optuna-layerwise finalize --again`"
        return "`objective.finalize(study, again=True)`"

    @property
    def as_finished(self) -> list[Row]:
        """Finished rows in the order in which they ended."""
        done = [row for row in self.rows if row.finished]
        return sorted(done, key=lambda row: (row.trial.datetime_complete is None, _end(row)))

    @property
    def blocks(self) -> list[str]:
        """Of all policies, in forward order."""
        return list(dict.fromkeys(b for row in self.rows for b in row.policy or ()))

    def rate(self, multiplier: float) -> float:
        """A block's learning rate; its multiplier where the recipe's rate is not known."""
        if self.lr is None:
            return multiplier
        return bounded_rate(multiplier, self.lr, self._max_lr)

    @property
    def rate_name(self) -> str:
        """What `rate` gives."""
        return "learning rate" if self.lr is not None else "multiple of the learning rate"

    @property
    def _max_lr(self) -> float:
        return number(self.recipe.get("max_lr")) or math.inf

    def _standing(self, row: Row) -> Standing:
        return standing_of(row.trial, self._direction)

    @property
    def _direction(self) -> StudyDirection:
        return StudyDirection.MAXIMIZE if self.sign > 0 else StudyDirection.MINIMIZE


def read(study: optuna.Study, *, result: int | None = None) -> History:
    """Read a study; one pass over its trials, none of which is copied.

    Args:
        study: The study.
        result: Number of the result to take, from 1; the latest by default.
    """
    attributes = all_study_attrs(study)
    settings = settings_in(attributes)
    trials = all_trials(study)
    runs = [run_content(trial) for trial in trials]
    guessed, guessed_lr = policies_from_parameters(
        [trial for trial, run in zip(trials, runs, strict=True) if "policy" not in run]
    )
    recipe = mapping_or_empty(settings.get("recipe")) or _recipe_of_all(attributes)
    lr = number(recipe.get("lr"))
    if lr is not None and lr <= 0:
        lr = None
    if lr is None and not any("policy" in run for run in runs):
        lr = guessed_lr
    names = study.metric_names
    final, unreadable = readable_final(study, result)
    return History(
        study=study,
        name=study.study_name,
        sign=1 if study.directions[0] == StudyDirection.MAXIMIZE else -1,
        n_objectives=len(study.directions),
        metric=str(recipe.get("metric") or (names[0] if names else "value")),
        lr=lr,
        recipe=recipe,
        settings=settings,
        attributes=attributes,
        rows=[_row(t, r, guessed.get(t.number)) for t, r in zip(trials, runs, strict=True)],
        final=final,
        unreadable=unreadable,
        results=count_finals(study),
        openings=readable_openings(study),
    )


def _row(trial: FrozenTrial, run: Mapping[str, Any], guess: Mapping[str, float] | None) -> Row:
    value = trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None
    seconds = number(run.get("seconds"))
    if seconds is None and trial.datetime_start and trial.datetime_complete:
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
    outcome = run.get("outcome") if trial.state.is_finished() else None
    return Row(
        trial=trial,
        outcome=outcome if isinstance(outcome, str) else _OUTCOMES[trial.state],
        value=value if value is not None and math.isfinite(value) else None,
        feasible=not violation_of(trial),
        policy=_policy(run) or guess,
        trained_share=number(run.get("trained_share")),
        images=number(run.get("images_seen")),
        flops=number(run.get("flops")),
        seconds=seconds,
        peak_memory=number(run.get("peak_memory_bytes")),
        generation=generation_of(trial),
        run=run,
    )


def number(value: object) -> float | None:
    """A finite number, or nothing: databases hold whatever somebody wrote."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON knows whole numbers of any size
        return None
    return found if math.isfinite(found) else None


def _policy(run: Mapping[str, Any]) -> Mapping[str, float] | None:
    policy = run.get("policy")
    if not isinstance(policy, dict) or not policy:
        return None
    sound = all(
        (number(value) or 0) >= 0 and number(value) is not None for value in policy.values()
    )
    return policy if sound else None


def settings_in(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the command line stored with a study; empty if nothing, or no JSON."""
    try:
        return mapping_or_empty(json.loads(attributes.get(SETTINGS_KEY, "{}")))
    except (TypeError, ValueError, RecursionError):
        return {}


def setups_in(attributes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The stored fingerprints of what trials were made with."""
    found = [v for key, v in attributes.items() if key.startswith(_FINGERPRINT)]
    return [content for content in found if isinstance(content, dict)]


def _recipe_of_all(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    recipes = [mapping_or_empty(setup.get("recipe")) for setup in setups_in(attributes)]
    return recipes[0] if recipes and all(recipe == recipes[0] for recipe in recipes) else {}


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    """What a database holds, if it is an object of JSON; else nothing."""
    return value if isinstance(value, dict) else {}


def _end(row: Row) -> tuple[float, int]:
    end = row.trial.datetime_complete
    return end.timestamp() if end else 0.0, row.number
