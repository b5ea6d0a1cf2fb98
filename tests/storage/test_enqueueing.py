"""Trials that a study begins with: each is enqueued once, whoever comes and dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from databases import close
from forking import CONTEXT
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from optuna_layerwise.storage import Lease, ask, enqueue_once, open_storage

POINTS = [{"x": 0.25}, {"x": 0.5, "kind": "v"}, {"x": 0.25}]
RACERS = 4


def queued(study: optuna.Study) -> list[Any]:
    assert {trial.state for trial in study.trials} <= {TrialState.WAITING}
    return [trial.system_attrs["fixed_params"] for trial in study.trials]


def test_what_a_dead_process_left_to_enqueue_the_next_one_enqueues(storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    enqueue_once(study, POINTS[:1])  # and no more: it has died
    for _ in range(2):
        enqueue_once(study, POINTS)
        assert queued(study) == POINTS
    assert [trial.number for trial in study.trials] == [0, 1, 2]
    trial = ask(study, Lease.of_this_process(60), below=9)
    assert trial is not None
    assert trial.suggest_float("x", 0, 1) == 0.25
    enqueue_once(study, POINTS)
    assert len(study.trials) == 3


def race(url: str, ready: Any) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url)
    study = optuna.load_study(study_name="raced", storage=storage)
    ready.wait(120)
    enqueue_once(study, POINTS)
    close(storage)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("url", "journal"),
    [("sqlite", False), ("postgresql", False), ("mysql", False), ("sqlite", True)],
    indirect=["url"],
)
def test_processes_that_begin_at_once_enqueue_each_trial_once(
    url: str, journal: bool, tmp_path: Path
) -> None:
    url = f"journal:///{tmp_path}/raced.log" if journal else url
    storage = open_storage(url)
    study = optuna.create_study(study_name="raced", storage=storage)
    ready = CONTEXT.Barrier(RACERS)
    racers = [CONTEXT.Process(target=race, args=(url, ready), daemon=True) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(600)
        assert racer.exitcode == 0
    assert queued(study) == POINTS
    close(storage)
