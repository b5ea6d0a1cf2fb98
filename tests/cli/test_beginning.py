"""Several `tune`s of one name: one begins the study, the others join it or are refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from commands import DIGITS, Cli, load
from forking import CONTEXT

from optuna_layerwise.cli import main, searching
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.records import fingerprint
from optuna_layerwise.records.run import readable_runs
from optuna_layerwise.storage import enqueue_once

CREATE = (*DIGITS, "--no-work", "--seed-recipes", "--encoding", "binary", "--sampler", "random")
ROUNDS = 3
VERSION = fingerprint.version_of


@pytest.fixture
def overtaken(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Another command runs right before the next one begins a study that it found unbegun."""

    def by(*arguments: str) -> None:
        first = Settings.first

        def first_then_wait(settings: Settings, encoding: Any) -> Any:
            monkeypatch.setattr(Settings, "first", first)
            monkeypatch.setattr(fingerprint, "version_of", VERSION)
            argv = sys.argv
            assert cli(*arguments)[0] == 0
            sys.argv = argv
            return settings.first(encoding)

        monkeypatch.setattr(Settings, "first", first_then_wait)

    return by


def places(study: optuna.Study) -> list[Any]:
    return [trial.system_attrs.get("olw:first") for trial in study.trials]


def test_of_two_that_begin_one_study_differently_the_later_is_told_what_differs(
    cli: Cli, overtaken: Callable[..., None]
) -> None:
    overtaken(*CREATE, "--trials", "4")
    code, _, err = cli(*CREATE, "--trials", "3", "--seed", "7", "--lr", "0.5")
    assert code == 2
    assert "study 'digits' exists with another configuration: " in err
    assert "--seed is 0 there and 7 here" in err
    assert "--lr is" in err
    assert err.count("\n") == 1
    study = load("digits")
    assert Settings.from_study(study).seed == 0
    assert places(study) == [0, 1, 2, 3]


def test_of_two_that_begin_one_study_alike_the_later_joins_and_enqueues_nothing_twice(
    cli: Cli, overtaken: Callable[..., None]
) -> None:
    overtaken(*CREATE, "--trials", "2")
    code, _, err = cli(*CREATE[:-1], "random", "--work", "--trials", "3")
    assert code == 0, err
    study = load("digits")
    assert places(study) == [0, 1, None], "the recipes are those of who began"
    assert Settings.from_study(study).trials == 3


@pytest.mark.slow
def test_of_two_that_begin_one_study_with_other_packages_the_later_is_refused(
    cli: Cli, overtaken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(*CREATE, "--trials", "2")
    monkeypatch.setattr(fingerprint, "version_of", lambda package: "1.2.3")
    code, _, err = cli(*CREATE, "--trials", "2")
    assert code == 2
    assert "was trained with another setup: " in err
    assert len(fingerprint.used_fingerprints(load("digits"))) == 1


@pytest.mark.slow
def test_a_worker_makes_good_what_a_dead_tune_has_not_enqueued(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(
            "optuna_layerwise.experiments.joining.enqueue_once",
            lambda study, points: (enqueue_once(study, points[:1]), sys.exit(9)),
        )
        assert cli(*CREATE, "--trials", "3")[0] == 9
    study = load("digits")
    assert SETTINGS_KEY in study.user_attrs
    assert places(study) == [0]
    code, _, err = cli("worker", "--study", "digits")
    assert code == 0, err
    assert places(study) == [0, 1, 2]
    policies = [run.policy for run in readable_runs(study, study.trials).values()]
    assert len({json.dumps(policy) for policy in policies}) == 3


@pytest.mark.slow
def test_a_resume_keeps_the_target_that_another_has_raised_meanwhile(
    cli: Cli, overtaken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(*CREATE, "--trials", "1")[0] == 0
    study = load("digits")
    stores = searching.store_changes

    def later(*args: Any) -> None:
        monkeypatch.setattr(searching, "store_changes", stores)
        assert cli("tune", *CREATE[1:], "--trials", "2")[0] == 0
        stores(*args)

    monkeypatch.setattr(searching, "store_changes", later)
    code, _, err = cli("resume", "--study", "digits", "--threads", "2")
    assert code == 0, err
    stored = Settings.from_study(study)
    assert (stored.trials, stored.threads) == (2, 2)
    assert len(study.trials) == 2


def tune(storage: str, folder: str, seed: int, ready: Any) -> None:
    os.chdir(folder)
    sys.argv = ["optuna-layerwise", *DIGITS, "--trials", "3", "--storage", storage]
    sys.argv += ["--study", "raced", "--seed", str(seed)]
    with open(f"{seed}.err", "w") as sys.stderr, open(f"{seed}.out", "w") as sys.stdout:
        ready.wait(300)
        main()


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_of_two_processes_that_tune_at_once_exactly_one_has_its_study(
    url: str, tmp_path: Path
) -> None:
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        ready = CONTEXT.Barrier(2)
        storage = url if "sqlite" not in url else f"sqlite:///{folder}/study.db"
        both = [
            CONTEXT.Process(target=tune, args=(storage, str(folder), seed, ready), daemon=True)
            for seed in (1, 2)
        ]
        for process in both:
            process.start()
        for process in both:
            process.join(300)
        said = [(folder / f"{seed}.err").read_text() for seed in (1, 2)]
        codes = [process.exitcode for process in both]
        assert sorted(map(str, codes)) == ["0", "2"], said
        assert "exists with another configuration: --seed is" in said[codes.index(2)]
        study = load("raced", storage)
        assert Settings.from_study(study).seed == 1 + codes.index(0)
        assert [trial.state.is_finished() for trial in study.trials] == [True] * 3
        records = [trial.system_attrs["olw:trial"] for trial in study.trials]
        assert {record["seed"] for record in records} == {1 + codes.index(0)}
        if "sqlite" not in url:
            optuna.delete_study(study_name="raced", storage=study._storage)
