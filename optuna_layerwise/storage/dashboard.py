"""What optuna-dashboard reads from a study's attributes: figures, notes, constraints.

Its own functions cut a text into rows of 2,045 characters, each a transaction, and a reader or a
second writer in between sees a mixture. Here a text is one row where it fits into one, and so
changes as a whole.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

LIVE_KEY = "olw:dashboard"
"""Study system attribute: what was written last, so that nothing of the user's is replaced."""
ROW_BYTES = 60_000
"""Of one attribute as JSON; MySQL holds 65,535."""
_FIGURE = "dashboard:plot_data:"
_CONSTRAINTS = "constraints"


def live_state(study: Study) -> dict[str, Any]:
    """What `save_live_state` stored last."""
    state = _attributes(study).get(LIVE_KEY)
    return state if isinstance(state, dict) else {}


def save_live_state(study: Study, state: Mapping[str, Any]) -> None:
    """Store what was written."""
    study._storage.set_study_system_attr(study._study_id, LIVE_KEY, dict(state))


def row_bytes(text: str) -> int:
    """Size of a text as an attribute."""
    return len(json.dumps(text))


def save_figure(study: Study, figure_id: str, text: str) -> None:
    """Show a figure, as Plotly's JSON, on the study's page; one of the same id is replaced.

    Args:
        study: The study.
        figure_id: Letters, digits and hyphens.
        text: At most `ROW_BYTES` as JSON.

    Raises:
        ValueError: if it is longer.
    """
    _save_rows(study, f"{_FIGURE}{figure_id}:", text)


def note(study: Study, trial: FrozenTrial | None = None) -> str:
    """The note of a study, or of one of its trials, in Markdown; empty if there is none."""
    rows = {k: v for k, v in _attributes(study).items() if k.startswith(_note_key(trial, "str:"))}
    return "".join(rows.get(f"{_note_key(trial, 'str:')}{i}", "") for i in range(len(rows)))


def save_note(study: Study, text: str, trial: FrozenTrial | None = None) -> None:
    """Replace a note."""
    version = _attributes(study).get(_note_key(trial, "ver"), 0)
    _save_rows(study, _note_key(trial, "str:"), text)
    key = _note_key(trial, "ver")
    study._storage.set_study_system_attr(study._study_id, key, int(version) + 1)


def mark_infeasible_trials(storage: BaseStorage) -> None:
    """Let a dashboard that reads this storage object know constraints, and the best within them.

    It knows those of Optuna 4 only; nothing is written.
    """
    all_trials, best_trial = storage.get_all_trials, storage.get_best_trial

    def get_all_trials(
        study_id: int, deepcopy: bool = True, states: Any = None
    ) -> list[FrozenTrial]:
        return [_with_old_key(t) for t in all_trials(study_id, deepcopy, states)]

    def get_best_trial(study_id: int) -> FrozenTrial:
        complete = all_trials(study_id, False, (TrialState.COMPLETE,))
        feasible = [t for t in complete if all(c <= 0 for c in t.constraints.values())]
        if len(feasible) in (0, len(complete)):
            return best_trial(study_id)
        sign = -1 if storage.get_study_directions(study_id)[0] == StudyDirection.MAXIMIZE else 1
        return min(feasible, key=lambda t: sign * (t.value or 0.0))

    replaced: Sequence[Any] = (get_all_trials, get_best_trial)
    for function in replaced:
        setattr(storage, function.__name__, function)


def _with_old_key(trial: FrozenTrial) -> FrozenTrial:
    if _CONSTRAINTS in trial.system_attrs or not trial.constraints:
        return trial
    marked = copy.copy(trial)
    marked._system_attrs = {**trial.system_attrs, _CONSTRAINTS: list(trial.constraints.values())}
    return marked


def _attributes(study: Study) -> dict[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def _note_key(trial: FrozenTrial | None, kind: str) -> str:
    whose = "" if trial is None else f"{trial._trial_id}:"
    return f"dashboard:{whose}note_{kind}"


def _save_rows(study: Study, prefix: str, text: str) -> None:
    if row_bytes(text) > ROW_BYTES:
        raise ValueError(
            f"{prefix!r} must have at most {ROW_BYTES} bytes as JSON, got {row_bytes(text)}"
        )
    storage, study_id = study._storage, study._study_id
    for key, value in _attributes(study).items():
        if key.startswith(prefix) and key != f"{prefix}0" and value:  # of a longer one before
            storage.set_study_system_attr(study_id, key, "")
    storage.set_study_system_attr(study_id, f"{prefix}0", text)
