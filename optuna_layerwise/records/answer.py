"""Which plan of a study is its answer: whatever shows or writes one asks here.

The plan that was chosen and tested, if the study has been finalized; before that the best trial,
ordered as the search orders trials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_layerwise.policy import Policy
from optuna_layerwise.records.final import (
    Final,
    Opening,
    opening_in,
    opening_keys,
    stored_final,
    times_opened,
)
from optuna_layerwise.storage import all_trials, standing_of
from optuna_layerwise.storage.standing import FINISHED


@dataclasses.dataclass(frozen=True)
class Answer:
    """The plan that a study gives.

    Args:
        trial: Whose plan it is; ``None`` where the study does not have the trial that its result
            names.
        final: The result that it comes from; ``None`` before the study is finalized.
        later: Finished trials that the choice did not know; ``None`` where that is not recorded.
    """

    trial: FrozenTrial | None
    final: Final | None = None
    later: int | None = 0

    @property
    def word(self) -> str:
        """How a line calls the trial."""
        return "chosen" if self.final is not None else "best"


def later_words(later: int) -> str:
    """That trials finished after a plan was chosen, for a line."""
    return f"{later} {'trial' if later == 1 else 'trials'} finished after the choice"


def opened_words(final: Final | None, opened: Sequence[Opening]) -> str:
    """How often the test split was opened, for a line."""
    times = times_opened(final.number if final else 0, opened)
    return "once" if times == 1 else f"{times} times"


def about_openings(final: Final, opened: Sequence[Opening]) -> str:
    """Say what several openings of the test split mean for a result; empty after a single one.

    Args:
        final: The result.
        opened: All openings of its study.
    """
    if times_opened(final.number, opened) == 1:
        return ""
    told = f"The test split was opened {opened_words(final, opened)}"
    if final.number > 1:
        return (
            f"{told}, and this is result {final.number} of the study: what the split had said "
            "before was known when its plan was chosen, so its test numbers are no longer "
            "untouched and tend to be too good. New test images give fair ones."
        )
    if opened[-1].result == 1:
        why = "whoever opened it first stored no result, and the same choice was made again"
        return f"{told}: {why}."
    return (
        f"{told}: this is the first result of the study, and its test numbers are untouched; "
        "those of later results are not."
    )


def answer_of(study: optuna.Study, trials: Sequence[FrozenTrial] | None = None) -> Answer | None:
    """The answer of a study; ``None`` if no trial has a value within its constraints.

    A stored result that cannot be read counts as none.

    Args:
        study: The study.
        trials: All of its trials, if they have been read.
    """
    trials = all_trials(study) if trials is None else trials
    return answer_among(trials, readable_final(study)[0], study.directions[0])


def answer_among(
    trials: Sequence[FrozenTrial], final: Final | None, direction: StudyDirection
) -> Answer | None:
    """The answer of a study whose trials and result have been read."""
    if final is None:
        complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
        best = min(complete, key=lambda trial: standing_of(trial, direction), default=None)
        found = best is not None and standing_of(best, direction).outcome == FINISHED
        return Answer(best) if found else None
    number = chosen_trial(final)
    chosen = next((trial for trial in trials if trial.number == number), None)
    finished = sum(trial.state.is_finished() for trial in trials)
    later = None if final.trials is None else max(finished - final.trials, 0)
    return Answer(chosen, final, later)


def readable_final(study: optuna.Study, number: int | None = None) -> tuple[Final | None, str]:
    """The result of a study, by default the latest, or why it cannot be shown."""
    try:
        final = stored_final(study, number)
        if final is not None:
            Policy(final.chosen.policy)
    except ValueError as error:
        return None, str(error)
    return final, ""


def readable_openings(study: optuna.Study) -> list[Opening]:
    """The openings of the test split, oldest first, but for records that cannot be read.

    The doctor names those.
    """
    found = []
    for key in opening_keys(study).values():
        with contextlib.suppress(ValueError):
            found.append(opening_in(study, key))
    return found


def chosen_trial(final: Final) -> int | None:
    """The number of the trial whose plan was chosen; ``None`` if its name is of no trial."""
    named = re.fullmatch(r"trial ([0-9]{1,18})", final.chosen.name)
    return int(named[1]) if named else None
