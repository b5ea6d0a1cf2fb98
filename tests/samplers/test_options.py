"""Options of samplers: NumPy's numbers are numbers, and mistakes are one clear error at once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from searching import run

from optuna_layerwise.policy import Policy
from optuna_layerwise.recipe import Recipe
from optuna_layerwise.samplers import SAMPLERS, BioTuneSampler, CatCMAwMSampler, SetGASampler
from optuna_layerwise.storage import enqueue_once, open_storage, trial_record

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-1, 1),
    "k": IntDistribution(0, 9),
    "c": CategoricalDistribution(["a", "b"]),
}


def value(trial: optuna.Trial) -> float:
    x, k = trial.suggest_float("x", -1, 1), trial.suggest_int("k", 0, 9)
    return x**2 + k + (trial.suggest_categorical("c", ["a", "b"]) == "a")


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize("name", SAMPLERS)
def test_numpy_numbers_are_stored_as_pythons(name: str, tmp_path: Path) -> None:
    numpy_space: dict[str, BaseDistribution] = {
        "x": FloatDistribution(np.float32(-1), np.float64(1)),
        "k": IntDistribution(np.int64(0), np.int32(9)),
        "c": CategoricalDistribution([np.str_("a"), np.str_("b")]),
        "n": CategoricalDistribution([np.int64(1), np.int64(2)]),
        "on": CategoricalDistribution([np.bool_(True), np.bool_(False)]),
    }
    sampler = SAMPLERS[name](
        seed=np.int64(3),
        population=np.int64(5),
        search_space=numpy_space,
        seed_with=[{"k": np.int64(3), "x": np.float32(0.5), "c": np.str_("b"), "n": np.int64(2)}],
    )
    storage = open_storage(f"sqlite:///{tmp_path / 'a.db'}")
    study = optuna.create_study(storage=storage, sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        n, on = (
            trial.suggest_categorical(c, f) for c, f in (("n", [1, 2]), ("on", [True, False]))
        )
        return value(trial) + n + on

    study.optimize(objective, n_trials=8)
    first = study.trials[0]
    assert [first.params[key] for key in ("k", "x", "c", "n")] == [3, 0.5, "b", 2]
    assert trial_record(first)["seed"] == 3


def test_numpy_numbers_of_enqueued_points_recipes_and_policies_are_stored_as_pythons(
    tmp_path: Path,
) -> None:
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path / 'a.db'}"))
    enqueue_once(study, [{"k": np.int64(3), "x": np.float32(0.5)}])
    run_value = study.ask().suggest_int("k", 0, 9)
    assert run_value == 3
    recipe = Recipe(lr=np.float32(0.5), epochs=np.int64(3), metric=np.str_("loss"))  # type: ignore[arg-type]
    assert recipe == Recipe.from_json(recipe.to_json()) == Recipe(lr=0.5, epochs=3, metric="loss")
    policy = Policy({"stem": np.float32(0.5), "head": np.int64(1)})  # type: ignore[dict-item]
    assert Policy.from_json(policy.to_json()) == policy


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"search_space": {"x": (0, 1)}}, "search_space must map names to distributions"),
    ({"search_space": [("x", 0)]}, "search_space must map names"),
    ({"search_space": {1: FloatDistribution(0, 1)}}, "search_space must map names"),
    ({"seed": "1"}, "seed must be a whole number"),
    ({"seed": 1.5}, "seed must be a whole number"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"encoding": "binary"}, "encoding must be an object"),
    ({"preset": ["paper"]}, "preset must be one of"),
    ({"population": "5"}, "population must be a whole number"),
    ({"population": True}, "population must be a whole number"),
    ({"seed_with": None}, "seed_with must be a list"),
    ({"seed_with": {"x": 1}}, "seed_with must be a list"),
    ({"seed_with": [{"x": Decimal("0.5")}]}, r"'x' has Decimal\('0.5'\)"),
    ({"seed_with": [{"x": Path("a")}]}, "must map names of parameters to numbers"),
    ({"seed_with": [{b"x": 1}]}, "b'x' has 1"),
    ({"seed_with": [{"k": 11}], "search_space": SPACE}, "'k' = 11, which is not a value"),
]


@pytest.mark.sweep(12)
@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda case: str(case)[:40])
@pytest.mark.parametrize("name", SAMPLERS)
def test_wrong_option_of_any_sampler_is_one_clear_error(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SAMPLERS[name](**options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CatCMAwMSampler(mean={"nope": 1}, search_space=SPACE),
            r"'nope'.*\['c', 'k', 'x'",
        ),
        (lambda: CatCMAwMSampler(mean={"x": 9}, search_space=SPACE), "'x' is 9.*not in its range"),
        (lambda: CatCMAwMSampler(mean={"x": "a"}, search_space=SPACE), "not in its range"),
        (lambda: CatCMAwMSampler(mean=0.5), "mean must map names"),
        (lambda: CatCMAwMSampler(spread="wide"), "spread must be above 0"),
        (lambda: CatCMAwMSampler(spread={"x": 2.0}), "spread of 'x' must be above 0"),
        (lambda: CatCMAwMSampler(probabilities={"c": 0.5}), "probabilities of 'c' must be a list"),
        (lambda: CatCMAwMSampler(probabilities={"c": ["a", "b"]}), "must be at least 0 and sum"),
        (lambda: CatCMAwMSampler(init_from="leaves"), "init_from must be a study"),
        (lambda: BioTuneSampler(perturbation="0.5"), "perturbation must be above 0"),
        (lambda: BioTuneSampler(elites=True), "elites must be a whole number"),
        (lambda: SetGASampler(mutation=None, parents=1.5), "parents must be a whole number"),
        (lambda: SetGASampler(mutation="often"), "mutation must be above 0"),
    ],
)
def test_wrong_option_of_one_sampler_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_options_for_parameters_that_no_trial_has_give_one_warning_with_those_there_are() -> None:
    study = optuna.create_study(sampler=CatCMAwMSampler(seed=0, mean={"nope": 1.0}))
    with pytest.warns(UserWarning, match=r"\['nope'\] begin.*there are \['") as caught:
        run(study, 30)
    assert len(caught) == 1
