"""A search over numbers on both kinds of scale, a whole number and a category."""

from __future__ import annotations

import math

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    """Smallest at lr = 0.001, depth = 5 and adam."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    depth = trial.suggest_int("depth", 1, 8)
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    return (math.log10(lr) + 3) ** 2 + abs(depth - 5) + (optimizer == "sgd")


if __name__ == "__main__":
    module = optunahub.load_module(package="samplers/catcmawm_mixed")
    study = optuna.create_study(sampler=module.CatCMAwMSampler(seed=0))
    study.optimize(objective, n_trials=60)
    print(study.best_params, study.best_value)
