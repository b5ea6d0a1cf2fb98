"""Which of two trials is better: one order for the search, its finalists and every report.

A trial is feasible if none of its constraints is above 0. Feasible trials come before infeasible
ones, these by the sum of what their constraints exceed 0 by (Deb 2000,
https://doi.org/10.1016/S0045-7825(99)00389-8); among equals the value decides, then the tie that
the objective stored (`TIE_KEY`), then the number.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage.trials import TIE_KEY, all_trials

CONSTRAINTS_KEY = "constraints"
"""Trial system attribute of Optuna 4, a list; Optuna 5 has one for each, ``constraints:name``."""
FINISHED, PRUNED, INFEASIBLE, FAILED = range(4)


class Standing(NamedTuple):
    """Sorts trials from best to worst.

    Attributes:
        outcome: `FINISHED` within the constraints, `PRUNED`, `INFEASIBLE`, or `FAILED` (that is
            also what has no finite value, or has not ended).
        violation: Sum of what the constraints exceed 0 by.
        cost: The value, negated where the study maximises.
        tie: Decides between equal values; infinite where the objective stored none.
        number: Of the trial.
    """

    outcome: int
    violation: float
    cost: float
    tie: float
    number: int


def constraints_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's constraints by name, as Optuna 4 or 5 stored them."""
    stored = trial.system_attrs.get(CONSTRAINTS_KEY)
    found = dict(enumerate(stored)) if isinstance(stored, list | tuple) else {}
    prefix = f"{CONSTRAINTS_KEY}:"
    named = {k[len(prefix) :]: v for k, v in trial.system_attrs.items() if k.startswith(prefix)}
    return {**{str(k): v for k, v in found.items()}, **named}


def violation_of(trial: FrozenTrial) -> float:
    """Sum of what a trial's constraints exceed 0 by; 0 for a feasible trial."""
    return float(sum(_excess(value) for value in constraints_of(trial).values()))


def standing_of(trial: FrozenTrial, direction: StudyDirection) -> Standing:
    """Where a trial stands by its (first) value; `sorted` by it puts the best first."""
    value = trial.values[0] if trial.values and trial.state.is_finished() else math.nan
    tie = trial.user_attrs.get(TIE_KEY)
    pruned = trial.state == TrialState.PRUNED
    return place(
        trial,
        direction,
        value=math.nan if trial.state == TrialState.FAIL else value,
        tie=math.inf if pruned else tie,
        pruned=pruned,
    )


def place(
    trial: FrozenTrial,
    direction: StudyDirection,
    *,
    value: float,
    tie: Any,
    pruned: bool = False,
) -> Standing:
    """`standing_of` a trial that is about to end with this value."""
    violation, number = violation_of(trial), trial.number
    cost = -value if direction == StudyDirection.MAXIMIZE else value
    if not math.isfinite(value):
        if not pruned:
            return Standing(FAILED, 0.0, 0.0, 0.0, number)
        cost = math.inf
    if not isinstance(tie, int | float) or not math.isfinite(tie):
        tie = math.inf
    outcome = INFEASIBLE if violation else PRUNED if pruned else FINISHED
    return Standing(outcome, violation, cost, 0.0 if pruned else float(tie), number)


def best_first(study: Study) -> list[FrozenTrial]:
    """The complete trials with a finite value, infeasible ones last; not copied."""
    direction = study.directions[0]
    complete = (trial for trial in all_trials(study) if trial.state == TrialState.COMPLETE)
    placed = sorted((standing_of(trial, direction), trial) for trial in complete)
    return [trial for standing, trial in placed if standing.outcome != FAILED]


def best_trial(study: Study) -> FrozenTrial | None:
    """The best feasible trial; ``None`` if there is none, or several objectives."""
    best = next(iter(best_first(study)), None) if len(study.directions) == 1 else None
    return None if best is None or violation_of(best) else best


def only_infeasible(study: Study) -> str:
    """What to say instead of a best trial while all trials are infeasible; empty otherwise."""
    best = next(iter(best_first(study)), None) if len(study.directions) == 1 else None
    return without_feasible(best) if best is not None and violation_of(best) else ""


def without_feasible(least: FrozenTrial) -> str:
    """What to say of the least infeasible trial while none is feasible."""
    return (
        f"no feasible trial yet; the least infeasible is trial {least.number}, whose constraints "
        f"are above 0 by {violation_of(least):.4g} in total"
    )


def _excess(constraint: Any) -> float:
    """What a constraint exceeds 0 by; infinite for what cannot be compared."""
    try:
        return 0.0 if constraint <= 0 else float(max(constraint, 0)) or math.inf
    except (TypeError, OverflowError):
        return math.inf
