"""The sampler as it comes from the registry, on the storages that Optuna has."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

import optuna
import optunahub
import pytest

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]


@pytest.mark.parametrize("storage", [None, "sqlite:///{}/study.db"])
def test_it_comes_near_the_optimum_of_its_example(storage: str | None, tmp_path: Path) -> None:
    module = optunahub.load_local_module("samplers/biotune", registry_root=str(ROOT))
    objective = run_path(str(PACKAGE / "example.py"))["objective"]
    study = optuna.create_study(
        storage=storage and storage.format(tmp_path), sampler=module.BioTuneSampler(seed=0)
    )
    study.optimize(objective, n_trials=140)
    assert study.best_value < 0.2 < study.trials[0].value
