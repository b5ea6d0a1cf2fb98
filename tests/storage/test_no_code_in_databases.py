"""Databases hold facts, never code."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from databases import close

import optuna_layerwise
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import TIE_KEY, TRIAL_KEY, open_storage

CODE = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
TABLES = (
    "study_system_attributes",
    "study_user_attributes",
    "trial_system_attributes",
    "trial_user_attributes",
)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def test_stored_attributes_are_json_of_numbers_and_short_words(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(
        storage=storage, sampler=BioTuneSampler(seed=0, momentum=True, elites=1, population=4)
    )

    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(TIE_KEY, 0.5)
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 5)

    study.enqueue_trial({"x": 0.5})
    study.optimize(objective, n_trials=12)
    close(storage)

    with sqlite3.connect(tmp_path / "study.db") as connection:
        rows = [
            (table, key, text)
            for table in TABLES
            for key, text in connection.execute(f"SELECT key, value_json FROM {table}")
        ]
    connection.close()
    assert sum(key == TRIAL_KEY for _, key, _ in rows) == 12
    for table, key, text in rows:
        assert len(text) < 1000, f"{key} in {table}"
        for leaf in leaves(json.loads(text)):
            assert leaf is None or isinstance(leaf, int | float | str)
            assert not isinstance(leaf, str) or len(leaf) < 64, f"{key} in {table}: {leaf}"


def test_package_imports_nothing_that_runs_code_from_data() -> None:
    files = list(Path(optuna_layerwise.__file__).parent.rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not CODE & {name.partition(".")[0] for name in names}, file


def test_package_loads_weights_only() -> None:
    for file in Path(optuna_layerwise.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = {k.arg: ast.unparse(k.value) for k in node.keywords}.get("weights_only")
                assert safe == "True", f"{file}:{node.lineno}"
