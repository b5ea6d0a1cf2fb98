"""Encodings by name, of one's own parts, under every sampler, and in the objective."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from optuna_layerwise import FinetuneObjective, ModelSpec, Recipe
from optuna_layerwise.encodings import (
    ENCODINGS,
    Encoding,
    Gene,
    Layout,
    Mask,
    PerBlock,
)
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.samplers import SAMPLERS

BLOCKS = ("stem", "layer1", "layer2", "layer3", "layer4", "head")


def named(prefix: str, blocks: tuple[str, ...] = BLOCKS) -> set[str]:
    return {f"{prefix}/{block}" for block in blocks}


def test_names_stand_for_these_parameters() -> None:
    bits = named("train", BLOCKS[:-1])
    expected = {
        "biotune": {*named("imp"), "imp/__threshold__"},
        "binary": {*bits, "lr"},
        "binary-fixed": bits,
        "continuous": named("lr"),
        "continuous-multiplier": named("lr"),
        "continuous-linear": named("lr"),
        "set": named("lr_set"),
        "hybrid": {*bits, *named("lr")},
        "profile": {*bits, "lr", "slope", "curvature"},
    }
    assert {
        name: set(Encoding.preset(name, BLOCKS).search_space) for name in ENCODINGS
    } == expected


@pytest.mark.parametrize("name", ENCODINGS)
def test_suggest_asks_for_the_search_space_and_nothing_else(name: str) -> None:
    encoding = Encoding.preset(name, BLOCKS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    policy = encoding.suggest(trial)
    assert trial.distributions == encoding.search_space
    assert encoding.decode(trial.params) == policy


def test_a_policy_that_cannot_be_expressed_is_refused_with_the_nearest_one() -> None:
    encoding = Encoding.preset("biotune", BLOCKS)
    policy = dict.fromkeys(BLOCKS, 1.0) | {"layer1": 50.0}
    with pytest.raises(ValueError, match=r"nearest policy is .*'layer1': 10\.0"):
        encoding.encode(policy)
    with pytest.raises(ValueError, match="nearest policy is .*'head': 0.1"):
        encoding.encode(dict.fromkeys(BLOCKS, 0.0))


def test_a_policy_of_other_blocks_is_refused_with_both_lists() -> None:
    with pytest.raises(ValueError, match=r"expected the blocks .*'layer1'.*, got \('stem',\)"):
        Encoding.preset("biotune", BLOCKS).encode({"stem": 1.0})


def test_an_unknown_encoding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'biotune'"):
        Encoding.preset("biotun", BLOCKS)


def distance(encoding: Encoding) -> Callable[[optuna.Trial], float]:
    """In decades, how far a trial's policy is from training the last half at the recipe's rate."""
    wanted = dict(zip(BLOCKS, (0.0, 0.0, 0.0, 1.0, 1.0, 1.0), strict=True))

    def objective(trial: optuna.Trial) -> float:
        policy = encoding.suggest(trial)
        return sum(abs(math.log10((policy[b] + 1e-3) / (wanted[b] + 1e-3))) for b in BLOCKS)

    return objective


def make_sampler(name: str, encoding: Encoding) -> BaseSampler:
    if name in SAMPLERS:
        return SAMPLERS[name](seed=0, encoding=encoding)
    return {"tpe": TPESampler, "random": RandomSampler}[name](seed=0)


@pytest.mark.sweep(9)
@pytest.mark.parametrize("sampler", [*SAMPLERS, "tpe", "random"])
@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("head", ["always", "search"])
def test_every_sampler_finds_different_policies_in_every_encoding(
    sampler: str, name: str, head: Any
) -> None:
    encoding = Encoding.preset(name, BLOCKS, head=head)
    study = optuna.create_study(sampler=make_sampler(sampler, encoding))
    study.optimize(distance(encoding), n_trials=40)
    assert len({encoding.decode(trial.params) for trial in study.trials}) > 10


# --- an own mask ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LastK:
    """Train the last k blocks."""

    def genes(self, layout: Layout) -> dict[str, Gene]:
        return {"k": Gene(IntDistribution(1, len(layout.blocks)), (1, 0.5))}

    def trained(self, params: Mapping[str, Any], block: str) -> bool:
        return params["k"] >= len(BLOCKS) - BLOCKS.index(block)

    def encode(self, trained: Mapping[str, bool], rates: Mapping[str, Any]) -> dict[str, Any]:
        return {"k": 1 + sum(trained.values())}


def test_an_own_mask_works_with_the_rates_there_are() -> None:
    mask: Mask = LastK()
    encoding = Encoding(BLOCKS, mask, PerBlock())
    assert encoding.gates == {"k"}
    last = dict.fromkeys(BLOCKS[:4], 0.0) | {"layer4": 0.5, "head": 2.0}
    assert encoding.decode(encoding.encode(last)) == pytest.approx(last)
    assert encoding.encode(last)["k"] == 2
    assert len(encoding.recipes()) == 2 * (len(BLOCKS) + 1)
    with pytest.raises(ValueError, match="nearest policy is .*'layer3': 0.0, 'layer4': 0.01"):
        encoding.encode(dict.fromkeys(BLOCKS, 0.0) | {"stem": 1.0})
    study = optuna.create_study(sampler=make_sampler("biotune", encoding))
    study.optimize(distance(encoding), n_trials=40)
    assert all(1 <= trial.params["k"] <= 6 for trial in study.trials)


# --- in the objective ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_digits(digits_weights: Path) -> Callable[..., FinetuneObjective]:
    spec = ModelSpec(name="digits_cnn", weights=digits_weights, image_size=8)

    def make(**options: Any) -> FinetuneObjective:
        recipe = Recipe(lr=3e-3, epochs=1, batch_size=25)
        return FinetuneObjective(model=spec, data="digits", recipe=recipe, device="cpu", **options)

    return make


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", ENCODINGS)
def test_an_empty_policy_costs_no_training(
    on_digits: Callable[..., FinetuneObjective], name: str
) -> None:
    objective = on_digits(encoding=name, head="search")
    nothing = dict.fromkeys(objective.blocks, 0.0)
    if name == "continuous":
        with pytest.raises(ValueError, match="cannot express"):
            objective.encoding.encode(nothing)
        return
    params = objective.encoding.encode(nothing)
    assert not objective.encoding.valid(params)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(params)
    study.optimize(objective, n_trials=1)
    run = study.trials[0].user_attrs[RUN_KEY]
    assert (study.trials[0].value, run["outcome"]) == (0.0, "empty")
    assert (run["images_seen"], run["seconds"]) == (0, 0.0)


@pytest.mark.sweep(3)
@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_by_name_knows_the_recipes_rate(
    on_digits: Callable[..., FinetuneObjective], name: str
) -> None:
    assert on_digits(encoding=name).encoding.lr == 3e-3


def test_searched_learning_rates_of_another_recipe_are_refused(
    on_digits: Callable[..., FinetuneObjective],
) -> None:
    blocks = tuple(on_digits().blocks)
    on_digits(encoding=Encoding.preset("biotune", blocks))  # searches multipliers
    with pytest.raises(ValueError, match="by lr=0.001, but the recipe has lr=0.003"):
        on_digits(encoding=Encoding.preset("continuous", blocks))
