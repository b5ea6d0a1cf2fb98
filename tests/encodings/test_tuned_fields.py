"""Fields of a recipe that are searched beside the layers, by every sampler."""

from __future__ import annotations

import re
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from rederiving import assert_rederives

from optuna_layerwise.baselines import BASELINES
from optuna_layerwise.encodings import TUNABLE, Encoding, tuned_genes
from optuna_layerwise.experiments.settings import SAMPLER_NAMES, Settings
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.recipe_methods import Regression
from optuna_layerwise.samplers import SAMPLERS
from optuna_layerwise.studies import open_study

BLOCKS = ("stem", "stage1", "stage2", "head")
RECIPES = (
    Recipe(),
    Recipe(optimizer="sgd", weight_decay=5e-4, momentum=0.995, batch_size=25, label_smoothing=0.5),
)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["binary", "biotune", "set"])
def test_a_search_and_known_recipes_begin_at_the_recipes_own_values(
    name: str, recipe: Recipe
) -> None:
    encoding = Encoding.preset(name, BLOCKS).tuning(TUNABLE, recipe)
    assert set(encoding.tuned) == set(TUNABLE)
    for params in (encoding.first, *encoding.recipes()):
        assert encoding.recipe(params, recipe) == recipe
        assert encoding.active(params) >= set(TUNABLE)
        for field, gene in encoding.genes.items():
            assert gene.distribution._contains(gene.distribution.to_internal_repr(params[field]))


def test_every_value_of_every_field_makes_a_recipe() -> None:
    for field, gene in tuned_genes(TUNABLE, Recipe()).items():
        if isinstance(gene.distribution, CategoricalDistribution):
            assert sum(gene.start) == pytest.approx(1)
            values = list(gene.distribution.choices)
        else:
            values = [gene.distribution.low, gene.distribution.high]  # type: ignore[attr-defined]
        for value in values:
            assert getattr(Recipe().changed({field: value}), field) == value


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_searches_fields_beside_the_layers(sampler: str) -> None:
    fields = ("label_smoothing", "weight_decay", "bn", "class_weights")
    own = {"biotune": "biotune", "set-ga": "set", "cmaes": "continuous"}
    settings = Settings(encoding=own.get(sampler, "binary"), sampler=sampler, tune=fields)
    encoding, seen = settings.encoding_for(BLOCKS), []

    def objective(trial: optuna.Trial) -> float:
        encoding.suggest(trial)
        recipe = encoding.recipe(trial.params, settings.recipe)
        seen.append(recipe)
        return abs(recipe.label_smoothing - 0.2) + abs(recipe.weight_decay - 1e-2)

    study = open_study(
        optuna.storages.InMemoryStorage(),
        study_name=sampler,
        sampler=settings.make_sampler(encoding, joins=False),
    )
    study.optimize(objective, n_trials=32)
    assert all(trial.distributions == encoding.search_space for trial in study.trials)
    for field in fields:
        assert len({getattr(recipe, field) for recipe in seen}) > 1, field
    if sampler in SAMPLERS:
        again: Any = settings.make_sampler(encoding, joins=False)
        assert assert_rederives(study, again) > 0


def test_a_field_that_cannot_be_tuned_is_answered_with_those_that_can() -> None:
    encoding = Encoding.preset("binary", BLOCKS)
    can = f"the fields of a recipe that can be tuned are {', '.join(TUNABLE)}"
    for field, hint in (("lr", ""), ("label_smooting", "did you mean 'label_smoothing'? ")):
        with pytest.raises(ValueError, match=re.escape(f"cannot tune '{field}'; {hint}{can}")):
            encoding.tuning([field], Recipe())
    decay = BASELINES["full-wd"].encoding(BLOCKS, lr=1e-3)
    with pytest.raises(ValueError, match="^weight_decay is searched already"):
        decay.tuning(["weight_decay", "bn"], Recipe())
    fitted = Recipe(head_start="fitted", method=Regression())
    with pytest.raises(ValueError, match="Regression needs head_start='fitted', got 'random'"):
        encoding.tuning(["head_start"], fitted)
