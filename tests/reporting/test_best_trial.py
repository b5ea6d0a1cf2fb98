"""Every page and table has the same best trial, and none that breaks a constraint."""

from __future__ import annotations

import io

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from optuna_layerwise.analysis.history import read
from optuna_layerwise.cli.show import comparison
from optuna_layerwise.cli.status import view
from optuna_layerwise.experiments.status import take_snapshot
from optuna_layerwise.reporting.notes import study_note
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.reporting.report_study import study_page
from optuna_layerwise.storage import TIE_KEY
from optuna_layerwise.storage.dashboard_attributes import mark_infeasible_trials

VIOLATIONS = [3.0, 0.5, 2.0]
"""Of trials 0 to 2, which have the best values."""
LEAST = "no feasible trial yet; the least infeasible is trial 1"


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study(study_name="s", direction="maximize")
    for number, violation in enumerate(VIOLATIONS):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=0.9 - number / 100,
                system_attrs={"constraints": [violation - 9, violation]},
            )
        )
    return study


def shown(*things: object) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    for thing in things:
        console.print(thing, soft_wrap=True)
    return console.export_text()


def test_without_a_feasible_trial_all_say_so_and_name_the_least_infeasible(
    study: optuna.Study,
) -> None:
    note = study_note(read(study), sampler="s", resume="r")
    page = repr(study_page(facts(study)))
    now = take_snapshot(study)
    for text in (note, page, shown(view(now)), shown(comparison([study]))):
        assert LEAST in text.replace("No feasible", "no feasible")
    assert now.best is None and "best 0.9" not in shown(view(now))


def test_best_is_the_best_feasible_trial_everywhere_and_ties_are_those_of_the_search(
    study: optuna.Study,
) -> None:
    for tie in (0.2, 0.1, 0.3):
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs={TIE_KEY: tie})
        )
    best = 4
    assert take_snapshot(study).best == (0.5, best)
    assert [row.number for row in read(study).best_first] == [best, 3, 5]
    assert f"trial {best}" in study_note(read(study), sampler="s", resume="r")
    mark_infeasible_trials(study._storage)
    assert study._storage.get_best_trial(study._study_id).number == best
