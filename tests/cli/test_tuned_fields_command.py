"""`--tune` from the first trial to the repeated study."""

from __future__ import annotations

import shlex
from pathlib import Path

import optuna
import pytest
from commands import QUICK_END, Cli, load

from optuna_layerwise import FinetuneObjective, Recipe, load_data
from optuna_layerwise.experiments.repeating import tune_command_of
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.objective.reuse import training_key
from optuna_layerwise.policy import Policy
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.run import run_of
from optuna_layerwise.samplers import CatCMAwMSampler
from optuna_layerwise.storage import open_storage

WHERE = ["--storage", "sqlite:///t.db", "--study", "s"]
SMALL = ["--trials", "3", "--epochs", "1", "--finalists", "2", "--final-seeds", "1", *QUICK_END]
FIELDS = ("label_smoothing", "weight_decay", "augment")
TUNE = ["--tune", "label_smoothing,weight_decay", "--tune", "augment"]


@pytest.mark.slow
def test_tuned_fields_are_trained_with_stored_continued_and_repeated(cli: Cli) -> None:
    given = [*TUNE, "--label-smoothing", "0.05", "--views", "3", "--seed-recipes"]
    given += ["--threads", "1"]
    code, said, error = cli("tune", *SMALL, *given, *WHERE)
    assert code == 0, error
    assert cli("resume", *WHERE, "--trials", "5")[0] == 0
    study = load("s", "sqlite:///t.db")
    settings = Settings.from_study(study)
    assert settings.tune == FIELDS and len(study.trials) == 5
    runs = [run_of(study, trial) for trial in study.trials]
    for run, trial in zip(runs, study.trials, strict=True):
        assert run is not None
        assert run.recipe == {field: trial.params[field] for field in FIELDS}
        recipe = settings.recipe.changed(run.recipe)
        of_data = (settings.model_digest, settings.data_fingerprint, 1, 0)
        assert run.training == training_key(Policy(run.policy), recipe, *of_data), "as trained"
    assert runs[0] is not None
    assert runs[0].recipe == dict(zip(FIELDS, (0.05, 0.0, "none"), strict=True))
    final = stored_final(study)
    assert final is not None
    for finalist in final.finalists:
        stored = runs[int(finalist.name.removeprefix("trial "))]
        assert stored is not None and finalist.recipe == stored.recipe

    assert "every suggestion re-derives" in cli("replay", *WHERE)[1]
    assert cli("doctor", "--storage", "sqlite:///t.db")[:2] == (0, "healthy\n")
    assert cli("export", *WHERE, "--to", "out")[0] == 0
    assert Recipe.load("out/policy.json") == settings.recipe.changed(final.chosen.recipe)
    assert cli("report", *WHERE, "-o", "s.md")[0] == 0
    assert "Tuned beside the rates: label" in Path("s.md").read_text().replace("\\", "")

    command = tune_command_of(settings, "sqlite:///t.db", "s")
    assert "--tune label_smoothing --tune weight_decay --tune augment" in command
    words = shlex.split(command)[1:]
    code, said, error = cli(*words[:-1], "again", "--no-work")
    assert code == 0, error
    assert not Settings.from_study(load("again", "sqlite:///t.db")).differences(settings)


def test_a_baseline_tunes_fields_beside_its_own(cli: Cli) -> None:
    arguments = ["--baseline", "l2-sp", "--tune", "label_smoothing", "--threads", "1"]
    code, said, error = cli("tune", *SMALL, *arguments, *WHERE)
    assert code == 0, error
    first, second, _ = load("s", "sqlite:///t.db").get_trials()
    assert first.params == {"lr": 3e-3, "method.weight": 0.1, "label_smoothing": 0.0}
    assert second.params.keys() == first.params.keys() and second.params != first.params


def test_a_field_that_cannot_be_tuned_is_one_line(cli: Cli) -> None:
    for field, message in (
        ("lr", "error: --tune must be one of optimizer, weight_decay, "),
        ("weight_decay,label_smooting", "did you mean 'label_smoothing'?"),
    ):
        code, _, error = cli("tune", "--tune", field)
        assert code == 2 and message in error and error.count("\n") == 1
    code, _, error = cli("tune", "--baseline", "full-wd", "--tune", "weight_decay")
    assert code == 2 and "--weight-decay is searched already" in error


def test_python_tunes_the_same_fields_and_replay_is_told_which(cli: Cli) -> None:
    objective = FinetuneObjective(
        model="digits_cnn",
        data=load_data("digits", image_size=8),
        encoding="binary",
        tune=("label_smoothing", "class_weights"),
        recipe=Recipe(epochs=1, label_smoothing=0.1),
        device="cpu",
    )
    first = objective.encoding.recipes()[0]
    assert (first["label_smoothing"], first["class_weights"]) == (0.1, "none")
    study = optuna.create_study(
        storage=open_storage("sqlite:///t.db"),
        study_name="s",
        direction="maximize",
        sampler=CatCMAwMSampler(seed=3, encoding=objective.encoding),
    )
    study.optimize(objective, n_trials=6)
    blocks = ",".join(objective.blocks)
    named = ["replay", *WHERE, "--sampler", "catcmawm", "--encoding", "binary", "--blocks", blocks]
    code, said, error = cli(*named, "--tune", "label_smoothing,class_weights")
    assert code == 0 and "every suggestion re-derives" in said, error
    assert cli(*named)[0] != 0, "another search space"
    code, _, error = cli(*named[:5], "--tune", "augment")
    assert code == 2 and "--tune must be left out without --sampler" in error
    with pytest.raises(ValueError, match="cannot tune 'epochs'"):
        FinetuneObjective(model="digits_cnn", data="digits", tune=("epochs",))
