"""How good a study was after so many trials, images or seconds."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage import RUN_KEY

Axis = Literal["trials", "images", "seconds"]
AXES: tuple[Axis, ...] = get_args(Axis)
RULE = (
    "Trials count in the order in which they ended, with what all up to them have cost; the value "
    "after a budget is the best of those that ended within it. Nothing is interpolated: between "
    "two trials the value is that of the earlier one. Failed and pruned trials cost and give no "
    "value. Images went forward and backward in training. Seconds are of training and validation, "
    "summed over workers; of a trial without a record of them, from its start to its end."
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """One study, trial by trial.

    Args:
        name: Of the study.
        maximize: Its direction.
        values: Per finished trial its value, in the order in which they ended; ``None`` of those
            that are not complete or infeasible.
        spent: Per axis what had been spent when each ended; an axis that is not known for all
            complete trials is missing.
    """

    name: str
    maximize: bool
    values: tuple[float | None, ...]
    spent: dict[Axis, tuple[float, ...]]

    def total(self, axis: Axis) -> float:
        """All that was spent."""
        return self.spent[axis][-1] if self.values else 0.0

    def best(self, axis: Axis, budget: float) -> float | None:
        """The best value of the trials that ended within a budget; ``None`` if there is none."""
        ended = zip(self.values, self.spent[axis], strict=True)
        values = [value for value, spent in ended if value is not None and spent <= budget]
        return (max if self.maximize else min)(values, default=None)

    def first(self, axis: Axis) -> float:
        """What had been spent when there was a value for the first time; infinite if never."""
        ended = zip(self.values, self.spent[axis], strict=True)
        return next((spent for value, spent in ended if value is not None), math.inf)


def curve(study: optuna.Study) -> Curve:
    """Read a study of one objective.

    Raises:
        ValueError: if it has several.
    """
    if len(study.directions) != 1:
        raise ValueError(
            f"study {study.study_name!r} has {len(study.directions)} objectives; those with one "
            "can be compared"
        )
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    trials.sort(key=_ended)
    costs: dict[Axis, list[float | None]] = {
        "trials": [1.0] * len(trials),
        "images": [_cost(trial, "images_seen") for trial in trials],
        "seconds": [_seconds(trial) for trial in trials],
    }
    return Curve(
        name=study.study_name,
        maximize=study.direction == StudyDirection.MAXIMIZE,
        values=tuple(map(_value, trials)),
        spent={axis: _sums(cost) for axis, cost in costs.items() if _known(cost, trials)},
    )


def _ended(trial: FrozenTrial) -> tuple[float, int]:
    end = trial.datetime_complete
    return (math.inf if end is None else end.timestamp()), trial.number


def _value(trial: FrozenTrial) -> float | None:
    feasible = all(value <= 0 for value in trial.constraints.values())
    if trial.state != TrialState.COMPLETE or not feasible:
        return None
    return trial.value if trial.value is not None and math.isfinite(trial.value) else None


def _cost(trial: FrozenTrial, name: str) -> float | None:
    run = trial.user_attrs.get(RUN_KEY)
    cost = run.get(name) if isinstance(run, dict) else None
    return float(cost) if isinstance(cost, (int, float)) and math.isfinite(cost) else None


def _seconds(trial: FrozenTrial) -> float | None:
    recorded = _cost(trial, "seconds")
    if recorded is not None or trial.duration is None:
        return recorded
    return max(trial.duration.total_seconds(), 0.0)


def _known(costs: list[float | None], trials: list[FrozenTrial]) -> bool:
    pairs = zip(costs, trials, strict=True)
    return all(cost is not None for cost, trial in pairs if trial.state == TrialState.COMPLETE)


def _sums(costs: list[float | None]) -> tuple[float, ...]:
    total, sums = 0.0, []
    for cost in costs:
        total += cost or 0.0
        sums.append(total)
    return tuple(sums)
