"""The samplers of the command line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest
from commands import DIGITS, Cli, load

from optuna_layerwise.encodings import Encoding
from optuna_layerwise.experiments.settings import SAMPLER_NAMES, Settings
from optuna_layerwise.samplers.optuna_samplers import OPTUNA_SAMPLERS

BLOCKS = ["stem", "layer1", "layer2", "head"]
CONTINUOUS = Encoding.preset("continuous", BLOCKS)


@pytest.mark.sweep(2)
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_searches_from_the_command_line(cli: Cli, sampler: str) -> None:
    code, _, err = cli(*DIGITS, "--sampler", sampler, "--trials", "3")
    assert (code, err) == (0, "")
    trials = load("digits").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert len({tuple(trial.params.values()) for trial in trials}) == 3


def search(sampler: str, n_trials: int, *, joins: bool = False) -> optuna.Study:
    made = Settings(sampler=sampler, seed=1).make_sampler(CONTINUOUS, joins=joins)
    study = optuna.create_study(sampler=made)
    study.optimize(lambda trial: sum(CONTINUOUS.suggest(trial).values()), n_trials=n_trials)
    return study


@pytest.mark.sweep
@pytest.mark.parametrize("sampler", OPTUNA_SAMPLERS)
def test_a_process_that_joins_does_not_repeat_what_the_first_one_draws(sampler: str) -> None:
    first = search(sampler, 2).trials[0].params
    assert search(sampler, 2).trials[0].params == first
    assert search(sampler, 2, joins=True).trials[0].params != first


@pytest.mark.parametrize("encoding", ["binary", "set", "hybrid", "profile"])
def test_cmaes_refuses_categories_and_says_what_to_take(encoding: str) -> None:
    categories = Encoding.preset(encoding, BLOCKS)
    with pytest.raises(ValueError, match="cannot search categories.*catcmawm"):
        Settings(sampler="cmaes").make_sampler(categories, joins=False)


def test_options_go_to_the_sampler() -> None:
    made = Settings(sampler="nsga2", sampler_options={"population_size": 8})
    sampler = made.make_sampler(CONTINUOUS, joins=False)
    assert isinstance(sampler, optuna.samplers.NSGAIISampler)
    assert sampler.population_size == 8
    with pytest.raises(ValueError, match="sampler nsga2 does not take"):
        Settings(sampler="nsga2", sampler_options={"populations": 8}).make_sampler(
            CONTINUOUS, joins=False
        )


class Canary:
    """What runs something when it is unpickled."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.ran),)


def test_a_state_of_cmaes_that_is_stored_as_code_is_not_run(tmp_path: Path) -> None:
    made = Settings(sampler="cmaes", seed=1).make_sampler(CONTINUOUS, joins=False)
    study = optuna.create_study(sampler=made)
    state = pickle.dumps(Canary(tmp_path / "ran")).hex()
    for _ in range(4):
        trial = study.ask()
        value = sum(CONTINUOUS.suggest(trial).values())
        study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", state)
        study.tell(trial, value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("options", [{}, {"with_margin": True}, {"use_separable_cma": True}])
def test_cmaes_draws_what_optunas_draws_and_goes_on_without_a_stored_state(
    options: dict[str, Any],
) -> None:
    def made() -> optuna.samplers.BaseSampler:
        settings = Settings(sampler="cmaes", seed=1, sampler_options=options)
        return settings.make_sampler(CONTINUOUS, joins=False)

    ours, theirs = (
        optuna.create_study(sampler=sampler)
        for sampler in (made(), optuna.samplers.CmaEsSampler(seed=1, **options))
    )
    for study in (ours, theirs):
        study.optimize(lambda trial: sum(CONTINUOUS.suggest(trial).values()), n_trials=40)
    assert [t.params for t in ours.trials] == [t.params for t in theirs.trials]
    keys = {key for trial in ours.trials for key in trial.system_attrs}
    [generation] = [key for key in keys if key.endswith("generation")]
    assert max(t.system_attrs.get(generation, 0) for t in theirs.trials) > 2
    assert not any("optimizer" in key for key in keys)
