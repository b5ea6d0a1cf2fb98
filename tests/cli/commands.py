"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from optuna_layerwise.storage import open_storage

Cli = Callable[..., tuple[int, str, str]]
DIGITS = ("tune", "--epochs", "1", "--finalists", "1", "--final-seeds", "1", "--threads", "1")


def load(name: str, storage: str = "sqlite:///optuna-layerwise.db") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(storage))
