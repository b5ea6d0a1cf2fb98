"""A sampler of Optuna on LayerBench: 30 fine-tunings in a second."""

from __future__ import annotations

import optuna
import optunahub

if __name__ == "__main__":
    module = optunahub.load_module(package="benchmarks/layerbench")
    problem = module.Problem("busi", encoding="binary", seed=0)
    study = optuna.create_study(
        directions=problem.directions, sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(problem, n_trials=30)
    print(study.best_params, study.best_value)
