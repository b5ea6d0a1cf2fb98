"""The benchmark as it comes from the registry."""

from __future__ import annotations

from pathlib import Path

import optuna
import optunahub
import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("name", "encoding"), [("busi", "binary"), ("citrus", "profile")])
def test_a_study_searches_it_and_an_evaluation_is_repeatable(name: str, encoding: str) -> None:
    module = optunahub.load_local_module("benchmarks/layerbench", registry_root=str(ROOT))
    problem = module.Problem(name, encoding, seed=1)
    study = optuna.create_study(
        directions=problem.directions, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(problem, n_trials=5)
    assert 0.3 < study.best_value < 1
    assert problem.evaluate(study.best_params) == study.best_value
