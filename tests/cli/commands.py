"""What the tests of the command line share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna

from optuna_layerwise.storage import open_storage

Cli = Callable[..., tuple[int, str, str]]
QUICK_END = ("--final-folds", "1", "--no-compete", "--no-refit", "--deliver", "one")
"""How a search of seconds ends where the end is not what is tested."""
DIGITS = (
    *("tune", "--epochs", "1", "--finalists", "1", "--final-seeds", "1", "--threads", "1"),
    *QUICK_END,
)


def load(name: str, storage: str = "sqlite:///optuna-layerwise.db") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(storage))


def copy_database(source: str | Path, target: str | Path) -> None:
    """Copy a SQLite database as `sqlite3.backup` does, with what still lies in its log."""
    with closing(sqlite3.connect(source)) as open_source, closing(sqlite3.connect(target)) as copy:
        open_source.backup(copy)
