"""What optuna-dashboard reads from a study's attributes: figures, notes, constraints.

Its own functions cut a text into rows of 2,045 characters, each a transaction, and a reader or a
second writer in between sees a mixture. Here a text is one row where it fits into one, and so
changes as a whole.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.storage.standing import CONSTRAINTS_KEY, constraints_of, standing_of
from optuna_layerwise.storage.study_attrs import compare_and_set, study_attr, update

LIVE_KEY = "olw:dashboard"
"""Study system attribute: what was written last, so that nothing of the user's is replaced."""
ROW_BYTES = 60_000
"""Of one attribute as JSON; MySQL holds 65,535."""
_FIGURE = "dashboard:plot_data:"


def live_state(study: Study) -> dict[str, Any]:
    """What was written last."""
    state = study_attr(study, LIVE_KEY, system=True)
    return dict(state) if isinstance(state, dict) else {}


def claim_page(study: Study, before: object, finished: int) -> bool:
    """Note of how many finished trials this process writes the page.

    Args:
        study: The study.
        before: The number that was read.
        finished: The new number.

    Returns:
        False if another process has claimed the page since.
    """
    stored = study_attr(study, LIVE_KEY, system=True)
    state = stored if isinstance(stored, dict) else {}
    if state.get("finished") != before:
        return False
    new = {**state, "finished": finished}
    return compare_and_set(study, LIVE_KEY, stored, new, system=True)


def save_live_state(study: Study, changes: Mapping[str, Any]) -> None:
    """Store what was written, beside what others have stored."""
    update(study, LIVE_KEY, lambda state: {**(state or {}), **changes}, system=True)


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
    return _text(_attributes(study), _note_key(trial, "str:"))


def save_note(study: Study, read: str, text: str, trial: FrozenTrial | None = None) -> bool:
    """Replace the note that was read; false if somebody has written another one since."""
    if not _save_rows(study, _note_key(trial, "str:"), text, read=read):
        return False
    key = _note_key(trial, "ver")
    update(study, key, lambda version: int(version or 0) + 1, system=True)
    return True


def mark_infeasible_trials(
    storage: BaseStorage, answer: Callable[[int], FrozenTrial | None] = lambda study_id: None
) -> None:
    """Let a dashboard that reads this storage object know constraints, and the best within them.

    It knows the constraints of Optuna 4 only; nothing is written.

    Args:
        storage: What the dashboard reads.
        answer: Id of a study to the trial that is its answer, if it has one.
    """
    all_trials, best_by_value = storage.get_all_trials, storage.get_best_trial

    def get_all_trials(
        study_id: int, deepcopy: bool = True, states: Any = None
    ) -> list[FrozenTrial]:
        return [_with_old_key(t) for t in all_trials(study_id, deepcopy, states)]

    def get_best_trial(study_id: int) -> FrozenTrial:
        if (found := answer(study_id)) is not None:
            return _with_old_key(found)
        complete = all_trials(study_id, False, (TrialState.COMPLETE,))
        directions = storage.get_study_directions(study_id)
        if len(directions) != 1 or not any(map(constraints_of, complete)):
            return best_by_value(study_id)
        return min(complete, key=lambda trial: standing_of(trial, directions[0]))

    replaced: Sequence[Any] = (get_all_trials, get_best_trial)
    for function in replaced:
        setattr(storage, function.__name__, function)


def _with_old_key(trial: FrozenTrial) -> FrozenTrial:
    constraints = constraints_of(trial)
    if CONSTRAINTS_KEY in trial.system_attrs or not constraints:
        return trial
    marked = copy.copy(trial)
    marked._system_attrs = {**trial.system_attrs, CONSTRAINTS_KEY: list(constraints.values())}
    return marked


def _attributes(study: Study) -> dict[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def _note_key(trial: FrozenTrial | None, kind: str) -> str:
    whose = "" if trial is None else f"{trial._trial_id}:"
    return f"dashboard:{whose}note_{kind}"


def _text(attributes: Mapping[str, Any], prefix: str) -> str:
    rows = {key: row for key, row in attributes.items() if key.startswith(prefix)}
    return "".join(rows.get(f"{prefix}{i}", "") for i in range(len(rows)))


def _save_rows(study: Study, prefix: str, text: str, *, read: str | None = None) -> bool:
    """Replace a text; false if it is not the one that was read, where one is given."""
    if row_bytes(text) > ROW_BYTES:
        raise ValueError(
            f"{prefix!r} must have at most {ROW_BYTES} bytes as JSON, got {row_bytes(text)}"
        )
    attributes = _attributes(study)
    if read is not None and _text(attributes, prefix) != read:
        return False
    longer = {
        key: ""
        for key, row in attributes.items()
        if key.startswith(prefix) and key != f"{prefix}0" and row  # of a longer one before
    }
    first = attributes.get(f"{prefix}0")
    written = compare_and_set(study, f"{prefix}0", first, text, system=True, also=longer)
    return written or read is None  # of two that replace a figure, either stands as a whole
