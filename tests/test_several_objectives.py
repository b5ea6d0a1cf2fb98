"""A fine-tuning that is weighed against its cost."""

from __future__ import annotations

import optuna
import pytest

from optuna_layerwise import CatCMAwMSampler, FinetuneObjective, Recipe
from optuna_layerwise.analysis import cheapest_within, front, read
from optuna_layerwise.records.final import Ending
from optuna_layerwise.reporting.notes import study_note
from optuna_layerwise.reporting.report import report
from optuna_layerwise.studies import work

RECIPE = Recipe(epochs=2, patience=None, head_start="fitted", lr=3e-3)


def objective(*names: str) -> FinetuneObjective:
    return FinetuneObjective(
        model="digits_cnn", data="digits", recipe=RECIPE, device="cpu", objectives=names
    )


def test_a_front_of_accuracy_and_cost_is_searched_reported_and_ended() -> None:
    ours = objective("accuracy", "operations", "trained_share")
    sampler = CatCMAwMSampler(seed=0, encoding=ours.encoding, population=4)
    study = optuna.create_study(directions=ours.directions, sampler=sampler, study_name="front")
    work(study, ours, n_finished=10)
    assert study.metric_names == ["accuracy", "operations", "trained_share"]
    for trial in study.trials:
        accuracy, operations, share = trial.values
        assert 0 <= accuracy <= 1 and share == pytest.approx(
            trial.user_attrs["trained_share"], abs=1e-4
        )
        policy = ours.encoding.decode(trial.params)
        assert (operations == pytest.approx(1)) == all(policy.values())
    history = read(study)
    rows, cheapest = front(history), cheapest_within(history)
    assert rows and cheapest is not None
    best = max(trial.values[0] for trial in study.trials)
    assert rows[0].value == best and cheapest.value >= best - 0.01
    near = [trial for trial in study.trials if trial.values[0] >= best - 0.01]
    assert cheapest.trial.values[1] == min(trial.values[1] for trial in near)
    sentence = f"The cheapest trial within 0.01 of the best accuracy is {cheapest.number}: "
    assert sentence in report(study, format="md")
    assert f"is {cheapest.number}" in study_note(history, sampler="", resume="")
    ending = Ending(folds=1, refit=False, deliver="one", compete=False)
    final = ours.finalize(study, top=1, seeds=[7], ending=ending, references=["probe-fitted"])
    assert final.chosen.name == f"trial {rows[0].number}"  # the first objective decides


def test_objectives_that_are_none_and_other_directions_are_refused() -> None:
    with pytest.raises(ValueError, match="the metric of the recipe, 'accuracy', and then some of"):
        objective("accuracy", "latency")
    with pytest.raises(ValueError, match="objectives must be the metric of the recipe"):
        objective("operations", "accuracy")
    study = optuna.create_study(direction="maximize")
    with pytest.raises(ValueError, match=r"directions=\['maximize', 'minimize'\], got \['maxim"):
        objective("accuracy", "operations")(study.ask())
    several = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(ValueError, match="needs a study with direction='maximize'"):
        objective()(several.ask())
