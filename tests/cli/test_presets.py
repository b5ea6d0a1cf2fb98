"""What ``tune`` takes by default, and the papers' presets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from commands import DIGITS, Cli, load

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.experiments.presets import (
    BIOTUNE_RECIPE,
    PRESETS,
    REVO_RECIPE,
    filled_in,
    preset_named,
)
from optuna_layerwise.experiments.settings import SAMPLER_NAMES, Settings
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.storage import stored_start

QUICK = ("--threads", "1", "--epochs", "1")
RECIPES = [
    {"stem": 1.0, "stage1": 1.0, "stage2": 1.0, "stage3": 1.0, "head": 1.0},
    {"stem": 0.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "head": 1.0},
]
"""Full fine-tuning and a linear probe."""


def made(preset: str, sampler: str, encoding: str | None = None, **given: Any) -> Settings:
    given |= {"sampler": sampler, "data": given.get("data", "leaves")}
    if encoding is not None:
        given["encoding"] = encoding
    return Settings(**filled_in(given, preset))


def paper(sampler: str, encoding: str | None = None, *, seed: int = 0) -> Settings:
    return made("paper", sampler, encoding, seed=seed)


@pytest.mark.sweep(6)
@pytest.mark.parametrize(("preset", "sampler"), list(itertools.product(PRESETS, SAMPLER_NAMES)))
def test_every_preset_suits_every_sampler(preset: str, sampler: str) -> None:
    chosen = made(preset, sampler, seed=3)
    encoding = Encoding.preset(chosen.encoding, ["stem", "middle", "head"], head=chosen.head)
    chosen.make_sampler(encoding, joins=False)
    assert chosen.trials >= 100


def test_the_trials_by_default_end_a_generation() -> None:
    trials = {name: made("default", name).trials for name in SAMPLER_NAMES}
    assert trials["biotune"] == 10 + 13 * 10
    assert trials["set-ga"] == 20 + 20 * 4
    assert trials["catcmawm"] == 10 * 10


def test_the_paper_of_biotune() -> None:
    chosen = paper("biotune")
    assert (chosen.recipe, chosen.encoding) == (BIOTUNE_RECIPE, "biotune")
    assert (chosen.seeds, chosen.n_folds) == ((684, 559, 629), 2)
    assert (chosen.head, chosen.granularity, chosen.trials) == ("search", "stage", 140)
    assert chosen.sampler_options == {"preset": "paper"}
    assert (chosen.finalists, chosen.final_seeds, chosen.retrain) == (5, 3, True)
    assert not (chosen.reuse or chosen.race)


def test_the_paper_of_revo_tune() -> None:
    chosen = paper("catcmawm", seed=2)
    assert (chosen.recipe, chosen.encoding) == (REVO_RECIPE, "binary")
    assert (chosen.recipe.metric, chosen.recipe.lr, chosen.recipe.weight_decay) == (
        "loss",
        1e-3,
        0,
    )
    assert (chosen.recipe.epochs, chosen.recipe.patience, chosen.recipe.batch_size) == (30, 5, 32)
    assert (chosen.head, chosen.granularity, chosen.trials) == ("search", "layer", 100)
    assert chosen.sampler_options == {"preset": "paper"}
    assert (chosen.seeds, chosen.n_folds) == ((2,), 1)
    assert (chosen.paper_split, chosen.train_fraction) == (True, 0.6)
    assert (chosen.finalists, chosen.retrain, chosen.seed_recipes) == (1, False, False)
    assert not (chosen.reuse or chosen.race)


def test_the_centre_of_revo_tunes_multipliers_is_the_rate_of_its_binary_variant() -> None:
    chosen = paper("catcmawm", "continuous-multiplier")
    encoding = Encoding.preset(chosen.encoding, ["stem", "head"], head="search")
    centre = encoding.decode({name: 0.5 for name in encoding.search_space})
    assert {rate * chosen.recipe.lr for rate in centre.values()} == {REVO_RECIPE.lr}


def test_the_paper_of_the_set_genetic_algorithm_is_revo_tunes_version() -> None:
    chosen = paper("set-ga")
    assert (chosen.encoding, chosen.recipe, chosen.trials) == ("set", REVO_RECIPE, 100)
    assert chosen.sampler_options == {}, "20 random, then 10 mutants and 10 crossovers"


def test_no_paper_published_other_samplers_but_they_may_run_its_protocol() -> None:
    with pytest.raises(ValueError, match="name it: --preset"):
        preset_named("paper", "tpe")
    assert preset_named("revo", "tpe") == ("revo", "tpe")
    assert preset_named("revo", None) == ("revo", "catcmawm")
    assert preset_named("paper", None) == ("biotune", "biotune")
    assert made("revo", "tpe", "binary").sampler_options == {}


@pytest.mark.sweep
@pytest.mark.parametrize("data", ["digits", "cifar10", "some/breastmnist.npz"])
def test_data_with_their_own_splits_are_not_cut_by_revo_tunes_preset(data: str) -> None:
    assert not made("revo", "catcmawm", data=data).paper_split


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [(), ("--encoding", "continuous-multiplier"), ("--sampler", "set-ga")]
)
def test_revo_tune_takes_the_best_trials_own_training_to_the_test(
    cli: Cli, arguments: tuple[str, ...]
) -> None:
    code, out, err = cli("tune", "--preset", "revo", *QUICK, "--trials", "4", *arguments)
    assert (code, err) == (0, "")
    assert "trained as in the search" in out
    study = load("digits")
    assert study.direction.name == "MINIMIZE"
    final, best = stored_final(study), study.best_trial
    assert final is not None and final.chosen.name == f"trial {best.number}"
    assert final.chosen.val == best.user_attrs[RUN_KEY]["metrics"], "the same training, to the bit"
    assert len(final.chosen.test) == len(final.baselines[0].test) == 1
    assert len(final.finalists) == 1


@pytest.mark.slow
def test_the_seed_of_revo_tunes_search_is_that_of_its_trainings(cli: Cli) -> None:
    assert cli("tune", "--preset", "revo", *QUICK, "--trials", "1", "--seed", "2")[0] == 0
    assert Settings.from_study(load("digits")).seeds == (2,)


@pytest.mark.sweep
@pytest.mark.parametrize("sampler", ["catcmawm", "biotune", "tpe"])
def test_known_recipes_come_first_and_once(cli: Cli, sampler: str) -> None:
    arguments = (*DIGITS, "--sampler", sampler, "--lr", "1e-3", "--seed-recipes")
    assert cli(*arguments, "--trials", "6")[0] == 0
    assert cli("resume", "--study", "digits", "--trials", "7")[0] == 0
    trials = load("digits").trials
    assert [trial.number for trial in trials] == list(range(7))
    policies = [trial.user_attrs[RUN_KEY]["policy"] for trial in trials]
    for policy, recipe in zip(policies, RECIPES, strict=False):
        assert policy == pytest.approx(recipe)
    assert all(policies.count(policy) == 1 for policy in policies[:4])


@pytest.mark.slow
def test_a_search_begins_where_the_best_trials_of_another_study_are(cli: Cli) -> None:
    arguments = (*DIGITS, "--sampler", "catcmawm", "--encoding", "continuous")
    arguments = (*arguments, "--no-seed-recipes", "--sampler-option", "population=8")
    assert cli(*arguments, "--trials", "8", "--study", "first")[0] == 0
    warm = (*arguments, "--study", "second", "--init-from", "first")
    assert cli(*warm, "--trials", "4")[0] == 0
    code, out, _ = cli("replay", "--study", "second")
    assert (code, out) == (0, "4 trials, 20 genes: every suggestion re-derives\n")
    best = sorted(load("first").trials, key=lambda trial: trial.values, reverse=True)[:4]
    second = load("second")
    assert [set(params) for params in stored_start(second)["warm"]] == [
        set(t.params) for t in best
    ]
    assert stored_start(second)["warm"][0] == best[0].params
    assert [t.params for t in second.trials] != [t.params for t in load("first").trials]


@pytest.mark.slow
def test_without_recipes_the_first_trial_is_the_samplers(cli: Cli) -> None:
    arguments = (*DIGITS, "--sampler", "catcmawm", "--no-seed-recipes", "--trials", "1")
    assert cli(*arguments)[0] == 0
    policy = load("digits").trials[0].user_attrs[RUN_KEY]["policy"]
    assert policy not in [pytest.approx(recipe) for recipe in RECIPES]


def test_the_default_encoding_suits_the_sampler(cli: Cli) -> None:
    defaults = {name: made("default", name).encoding for name in SAMPLER_NAMES}
    own = {"biotune": "biotune", "set-ga": "set", "cmaes": "continuous"}
    assert defaults == {name: own.get(name, "binary") for name in SAMPLER_NAMES}
    assert preset_named("default", None) == ("default", "catcmawm")
    assert preset_named("biotune", None) == ("biotune", "biotune")
