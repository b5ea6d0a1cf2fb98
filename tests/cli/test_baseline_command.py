"""Published methods from the command line, and the repeating of their studies."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import optuna
import pytest
from commands import Cli

from optuna_layerwise import Policy, Recipe
from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.experiments.repeating import tune_command_of
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.storage import open_storage

SMALL = ["--trials", "2", "--epochs", "1", "--finalists", "1", "--final-seeds", "1"]
ON_DIGITS = [*SMALL, "--storage", "sqlite:///b.db", "--threads", "1"]


@pytest.mark.sweep(name="lora")
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_trains_from_the_command_line(cli: Cli, name: str) -> None:
    recipe = Recipe()  # that of the digits is another one
    batches = ["--lr", str(recipe.lr), "--batch-size", str(recipe.batch_size)]
    check_plan(cli, name, *batches, "--patience", str(recipe.patience or 0))


@pytest.mark.slow
def test_a_baseline_trains_the_mobilenet_on_busi_from_the_command_line(
    cli: Cli, shared_data: Path
) -> None:
    weights = shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth"
    network = ["--model", "mobilenet_v2", "--model-arg", "width_mult=0.35", "--image-size", "32"]
    network += ["--weights", str(weights), "--mean", "0.5", "--std", "0.5"]
    check_plan(
        cli, "lora", "--data", str(shared_data / "busi"), "--train-fraction", "0.15", *network
    )


def check_plan(cli: Cli, name: str, *options: str) -> None:
    """Search with a baseline; what is exported is what was chosen."""
    where = ["--storage", "sqlite:///b.db", "--study", name]
    code, said, error = cli("tune", "--baseline", name, *options, *SMALL, "--threads", "1", *where)
    assert code == 0, error
    assert "full fine-tuning" in said and "logistic regression" in said
    assert cli("export", *where, "--to", "out")[0] == 0
    plan = json.loads(Path("out/policy.json").read_text())
    assert plan["settings"]["baseline"] == name
    study = optuna.load_study(study_name=name, storage=open_storage("sqlite:///b.db"))
    final = stored_final(study)
    assert final is not None and dict(Policy.load("out/policy.json")) == final.chosen.policy
    applied = BASELINES[name].applied(Recipe(epochs=1))
    assert Recipe.load("out/policy.json") == applied.changed(final.chosen.recipe)


@pytest.mark.slow
def test_a_baselines_first_trial_is_the_method_as_published(cli: Cli) -> None:
    code, said, error = cli("tune", "--baseline", "l2-sp", *ON_DIGITS, "--study", "s")
    assert code == 0, error
    study = optuna.load_study(study_name="s", storage=open_storage("sqlite:///b.db"))
    first, second = study.get_trials()
    assert first.params == {"lr": 3e-3, "method.weight": 0.1}
    assert second.params.keys() == first.params.keys() and second.params != first.params
    settings = Settings.from_study(study)
    assert (settings.baseline, settings.sampler) == ("l2-sp", "tpe")
    assert settings.recipe.method == BASELINES["l2-sp"].recipe["method"]

    command = tune_command_of(settings, "sqlite:///b.db", "s")
    assert "--baseline l2-sp" in command and "--encoding" not in command
    words = shlex.split(command)[1:]
    code, said, error = cli(*words[:-1], "again")
    assert code == 0, error
    again = optuna.load_study(study_name="again", storage=open_storage("sqlite:///b.db"))
    assert not Settings.from_study(again).differences(settings)
    assert [t.params for t in again.get_trials()] == [first.params, second.params]


@pytest.mark.slow
def test_the_values_that_were_tuned_are_printed_reported_and_on_the_card(cli: Cli) -> None:
    where = ["--storage", "sqlite:///b.db", "--study", "s"]
    arguments = [*ON_DIGITS, "--study", "s", "--no-seed-recipes"]
    code, said, error = cli("tune", "--baseline", "l2-sp", *arguments)
    assert code == 0, error
    study = optuna.load_study(study_name="s", storage=open_storage("sqlite:///b.db"))
    final = stored_final(study)
    assert final is not None
    weight = final.chosen.recipe["method.weight"]
    assert f"tuned beside the rates: method.weight = {weight:.3g}" in said
    assert cli("report", *where, "-o", "s.md")[0] == 0
    assert f"= {weight:.3g}" in Path("s.md").read_text()
    assert cli("export", *where, "--to", "out")[0] == 0
    card = Path("out/README.md").read_text()
    assert str(weight) in card and "'weight': 0.1," not in card, "as it was trained"
    assert "which was tuned in 2 trials" in card


@pytest.mark.slow
def test_halving_prunes_trials_of_a_baseline(cli: Cli) -> None:
    arguments = [*ON_DIGITS, "--study", "s", "--epochs", "8", "--trials", "8"]
    code, _, error = cli("tune", "--baseline", "full-wd", "--pruner", "halving", *arguments)
    assert code == 0, error
    study = optuna.load_study(study_name="s", storage=open_storage("sqlite:///b.db"))
    states = [trial.state.name for trial in study.get_trials()]
    assert set(states) == {"COMPLETE", "PRUNED"} and len(states) == 8
    pruned = [t for t in study.get_trials() if t.state.name == "PRUNED"]
    assert {t.last_step for t in pruned} <= {1, 4}, "rungs, in epochs counted from 0"


def test_options_that_a_baseline_excludes_are_refused(cli: Cli) -> None:
    for arguments, message in (
        (("--baseline", "probe", "--encoding", "binary"), "leave --encoding and --head out"),
        (("--baseline", "prob"), "did you mean 'probe'?"),
        (("--baseline", "full-wd", "--weight-decay", "0.1"), "leave --weight-decay out"),
        (("--baseline", "probe", "--preset", "paper"), "to run tpe with a paper's protocol"),
        (
            ("--pruner", "halve"),
            "--pruner must be one of generation, halving, got 'halve'; did you mean 'halving'?",
        ),
    ):
        code, _, error = cli("tune", *arguments)
        assert code == 2 and message in error
