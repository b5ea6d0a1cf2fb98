"""What a trial costs a relational database, counted in SQL statements and commits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from databases import close
from optuna.storages import BaseStorage, RDBStorage

from optuna_layerwise.samplers import BioTuneSampler, CatCMAwMSampler, SetGASampler
from optuna_layerwise.storage import open_storage, set_user_attrs
from optuna_layerwise.studies import open_study, work

NAMES = ("w", "x", "y", "z")
OURS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "biotune": lambda: BioTuneSampler(seed=0, population=6, elites=2),
    "catcmawm": lambda: CatCMAwMSampler(seed=0, population=6),
    "set-ga": lambda: SetGASampler(seed=0, population=6, mutants=3, crossovers=3),
}
MOST_STATEMENTS, MOST_COMMITS = 9, 2
"""Above Optuna's RandomSampler."""


@dataclasses.dataclass
class Bill:
    """Of some trials: what they all cost, and of it what leases and costs do."""

    statements: float = 0
    commits: float = 0
    apart: float = 0


def value(trial: optuna.Trial) -> float:
    result = sum(trial.suggest_float(name, 0, 1) for name in NAMES)
    set_user_attrs(trial, {"olw:run": {"seconds": 1.0}, "seconds": 1.0, "olw:tie": result})
    return result


def bill(
    storage: BaseStorage, sampler: optuna.samplers.BaseSampler, how: str, begin: int, n: int
) -> Bill:
    """Of a trial, the mean over ``n`` after the first ``begin``."""
    study = open_study(storage, study_name="s", sampler=sampler)
    backend = getattr(storage, "_backend", storage)
    assert isinstance(backend, RDBStorage)
    counted = Bill()

    def statement(_: object, __: object, text: str, parameters: object, *___: object) -> None:
        counted.statements += 1
        counted.apart += "olw:lease" in repr(parameters) or "trial_user_attributes" in text

    def commit(_: object) -> None:
        counted.commits += 1

    def run(until: int) -> None:
        if how == "work":
            assert work(study, value, n_finished=until)
        else:
            study.optimize(value, n_trials=until - len(study.trials))

    run(begin)
    sqlalchemy.event.listen(backend.engine, "before_cursor_execute", statement)
    sqlalchemy.event.listen(backend.engine, "commit", commit)
    run(begin + n)
    return Bill(counted.statements / n, counted.commits / n, counted.apart / n)


@pytest.mark.sweep
@pytest.mark.parametrize("name", OURS)
def test_our_samplers_cost_at_most_9_statements_and_2_commits_more_than_random(
    name: str, tmp_path: Path
) -> None:
    bills = []
    for sampler in (optuna.samplers.RandomSampler(seed=0), OURS[name]()):
        storage = open_storage(f"sqlite:///{tmp_path}/{len(bills)}.db")
        bills.append(bill(storage, sampler, "work", 18, 12))
        close(storage)
    random, ours = bills
    assert ours.statements - random.statements <= MOST_STATEMENTS
    assert ours.commits - random.commits <= MOST_COMMITS


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_a_trial_of_a_worker_costs_less_than_optunas_random_and_no_more_later_on(
    url: str, tmp_path: Path
) -> None:
    """Its lease, attributes and record are counted in; they share the transactions."""
    optunas = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/optuna.db")
    theirs = bill(
        optuna.storages.get_storage(optunas), optuna.samplers.RandomSampler(), "optimize", 5, 10
    )
    early = bill(open_storage(url), OURS["biotune"](), "work", 18, 12)
    late = bill(open_storage(url), OURS["biotune"](), "work", 78, 12)
    assert early.statements < theirs.statements
    assert early.commits < theirs.commits
    assert 0 < early.apart <= 8
    assert abs(late.statements - early.statements) < 1
    assert abs(late.commits - early.commits) < 1
    close(optunas)
