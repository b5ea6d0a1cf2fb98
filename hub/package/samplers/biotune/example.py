"""Which of six layers to train, and how fast: a search with BioTune."""

from __future__ import annotations

import optuna
import optunahub

BEST = (0.0, 0.0, 0.2, 0.5, 0.8, 1.0)
"""Importances of the layers; below the threshold a layer is frozen."""


def objective(trial: optuna.Trial) -> float:
    """Smallest where every importance is that of `BEST`."""
    found = [trial.suggest_float(f"layer{k}", 0.0, 1.0) for k in range(len(BEST))]
    return sum((value - best) ** 2 for value, best in zip(found, BEST, strict=True))


if __name__ == "__main__":
    module = optunahub.load_module(package="samplers/biotune")
    study = optuna.create_study(sampler=module.BioTuneSampler(seed=0))
    study.optimize(objective, n_trials=140)
    print(study.best_params, study.best_value)
