"""Policies that are stored with trials are what the trials' parameters mean, or are told."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import create_trial
from typer.testing import CliRunner

from optuna_layerwise import FinetuneObjective, Recipe, load_data
from optuna_layerwise.cli.app import app
from optuna_layerwise.records.run import RUN_KEY

DIGITS = ("tune", "--epochs", "1", "--finalists", "1", "--final-seeds", "1", "--threads", "1")


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def edit_run(trial: int, part: str, name: str, value: float) -> None:
    """As one who may write to the database can, behind the back of every check."""
    with sqlite3.connect("optuna-layerwise.db") as database:
        where = f"trial_id = {trial + 1} AND key = '{RUN_KEY}'"
        select = f"SELECT value_json FROM trial_user_attributes WHERE {where}"
        run = json.loads(database.execute(select).fetchone()[0])
        assert name in run[part]
        run[part][name] = value
        update = f"UPDATE trial_user_attributes SET value_json = ? WHERE {where}"
        database.execute(update, (json.dumps(run),))
    database.close()


@pytest.mark.slow
@pytest.mark.usefixtures("at")
def test_replay_and_doctor_name_a_trial_whose_stored_policy_was_edited() -> None:
    options = ("--sampler", "biotune", "--sampler-option", "population=4", "--trials", "4")
    assert command(*DIGITS, *options)[0] == 0
    assert command("replay", "--study", "digits")[0] == 0
    assert command("doctor") == (0, "healthy\n")
    edit_run(2, "policy", "stage1", 7.0)
    code, out = command("replay", "--study", "digits")
    assert code == 1
    assert "1 trials differ" in out
    assert "first cause: multiplier of stage1 of trial 2 was changed: its parameters mean" in out
    assert "but 7.0 is stored" in out
    code, out = command("doctor")
    assert code == 1
    assert "study 'digits': error: multiplier of stage1 of trial 2 was changed" in out
    assert out.endswith("\n1 findings\n")


@pytest.mark.slow
@pytest.mark.usefixtures("at")
def test_edited_field_of_the_recipe_that_a_baseline_tunes_is_found_too() -> None:
    assert command(*DIGITS, "--baseline", "l2-sp", "--trials", "2")[0] == 0
    assert command("doctor") == (0, "healthy\n")
    edit_run(1, "recipe", "method.weight", 9.0)
    code, out = command("doctor")
    assert code == 1
    assert "recipe's method.weight of trial 1 was changed" in out and "but 9.0 is stored" in out


def test_edited_trial_is_no_finalist_and_without_another_nothing_is_finalized() -> None:
    objective = FinetuneObjective(
        model="digits_cnn",
        data=load_data("digits", image_size=8),
        encoding="continuous",
        recipe=Recipe(epochs=1),
        device="cpu",
    )
    searched = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    searched.optimize(objective, n_trials=2)
    best = searched.best_trial.number
    studies = [optuna.create_study(direction="maximize") for _ in range(2)]
    for edited, study in zip(({best}, {0, 1}), studies, strict=True):
        study.add_trial(
            create_trial(value=1.0)
        )  # another objective's, about which nothing is said
        for trial in searched.trials:
            if trial.number in edited:
                run = trial.user_attrs[RUN_KEY]
                policy = {**run["policy"], "head": run["policy"]["head"] * 1.001}
                trial.user_attrs[RUN_KEY] = {**run, "policy": policy}
            study.add_trial(trial)
    with pytest.warns(UserWarning, match=f"no finalist is made of trial {best + 1}: the stored"):
        final = objective.finalize(studies[0], top=2, seeds=(1,), references=())
    assert [finalist.name for finalist in final.finalists] == [f"trial {2 - best}"]
    with (
        pytest.warns(UserWarning, match="no finalist is made of trials 1, 2"),
        pytest.raises(ValueError, match="but trials 1, 2, whose stored policy was edited"),
    ):
        objective.finalize(studies[1], seeds=(1,))
