"""How far studies are: once, for scripts, and live."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from commands import DIGITS, Cli, load
from optuna.trial import TrialState

from optuna_layerwise.cli import status
from optuna_layerwise.cli.status import is_over
from optuna_layerwise.experiments.status import RunningTrial, take_snapshot
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import open_storage
from optuna_layerwise.studies import open_study, pause, stop, work
from optuna_layerwise.studies.claiming import claimed

KEYS = {
    *("study", "state", "order", "target", "finished", "trials", "best", "running"),
    *("median_seconds", "remaining_seconds", "chosen", "later", "opened", "infeasible"),
    *("notices", "found"),
}


@pytest.fixture
def study() -> optuna.Study:
    return open_study(optuna.storages.InMemoryStorage(), study_name="s", sampler=BioTuneSampler())


def test_status_for_scripts_is_one_json_object_a_study(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "2", "--study", "a")
    cli(*DIGITS, "--trials", "2", "--study", "b", "--no-work")
    cli("pause", "--study", "b")
    code, out, _ = cli("status", "--json")
    assert code == 0
    a, b = (json.loads(line) for line in out.splitlines())
    assert set(a) == set(b) == KEYS
    assert (a["study"], a["state"], a["finished"], a["target"]) == ("a", "finalized", 2, 2)
    chosen = int(load("a").user_attrs["olw:final"]["chosen"]["name"].removeprefix("trial "))
    assert a["best"] == [load("a").trials[chosen].value, chosen]
    assert (a["chosen"], a["later"], b["chosen"]) == (True, 0, False)
    assert (a["found"], b["found"]) == (f"trial {chosen}", "")
    assert a["remaining_seconds"] == 0
    assert (b["state"], b["order"], b["finished"], b["best"]) == ("paused", "pause", 0, None)
    [line] = cli("status", "--json", "--study", "b")[1].splitlines()
    assert json.loads(line) == b


def test_a_baseline_that_was_chosen_is_named(study: optuna.Study) -> None:
    now = dataclasses.replace(take_snapshot(study), found="full fine-tuning", state="finalized")
    for shown in (status.overview([now]), status.view(now)):
        with status.console.capture() as captured:
            status.console.print(shown, width=200)
        said = " ".join(captured.get().split())  # a narrow terminal breaks the line
        assert "finalized" in said and "chosen: full fine-tuning" in said
        assert "no best" not in said


def test_a_running_trial_shows_its_worker_and_its_epoch(study: optuna.Study) -> None:
    study.ask().report(0.5, step=3)
    now = take_snapshot(study)
    [trial] = now.running
    assert (trial.trial, trial.pid, trial.epoch, trial.dead) == (0, os.getpid(), 3, False)
    assert now.state == "running"
    assert now.target is now.remaining_seconds is now.best is None


def test_a_lease_shows_how_long_ago_its_worker_gave_a_sign_of_life() -> None:
    storage = open_storage("sqlite://")
    study = open_study(storage, study_name="s", sampler=optuna.samplers.RandomSampler())
    shown: list[RunningTrial] = []

    def objective(trial: optuna.Trial) -> float:
        shown.extend(take_snapshot(study).running)
        return 0.0

    assert work(study, objective, n_finished=1)
    [trial] = shown
    assert trial.pid == os.getpid()
    assert trial.lease_age is not None
    assert -1.5 < trial.lease_age < 60  # stored to the second
    assert take_snapshot(study).running == []


def test_orders_show_before_what_the_workers_do(study: optuna.Study) -> None:
    trial = study.ask()
    pause(study)
    assert take_snapshot(study).state == "paused"
    assert not is_over(take_snapshot(study))
    stop(study)
    study.tell(trial, 1.0)
    now = take_snapshot(study)
    assert (now.state, now.order, now.trials["complete"]) == ("stopped", "stop", 1)
    assert is_over(now)


def test_a_study_at_its_target_is_searched_until_it_is_finalized(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1", "--no-work")
    study = load("digits")
    assert take_snapshot(study).state == "stopped"
    study.tell(study.ask(), 0.5)
    assert take_snapshot(study).state == "searched"
    with claimed(study):
        assert take_snapshot(study).state == "finalizing"
    assert take_snapshot(study).state == "searched"


def test_a_database_without_a_study_is_one_line(cli: Cli) -> None:
    open_storage("sqlite:///optuna-layerwise.db")
    code, output, _ = cli("status")
    assert code == 0
    assert output == "there is no study in sqlite:///optuna-layerwise.db; `tune` makes one\n"


def test_a_penalty_takes_no_hundreds_of_digits(cli: Cli) -> None:
    storage = open_storage("sqlite:///optuna-layerwise.db")
    study = optuna.create_study(study_name="s", storage=storage)
    study.tell(study.ask(), -1e308)
    for options in ([], ["--study", "s"]):
        code, output, _ = cli("status", *options)
        assert code == 0 and "-1e+308" in output and "0000" not in output


def test_a_mistake_leaves_no_database(cli: Cli) -> None:
    code, _, _ = cli("tune", "--data", "nowhere", "--model", "resnet18", "--weights", "none")
    assert code == 2
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_the_remaining_time_is_the_median_trials_over_the_workers(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "3", "--finalists", "1")
    cli(*DIGITS, "--trials", "13", "--no-work")
    study = load("digits")
    assert take_snapshot(study).remaining_seconds is None  # nobody works on it
    for _ in range(2):
        study.ask()
    now = take_snapshot(study)
    assert now.median_seconds
    assert now.remaining_seconds == pytest.approx(10 * now.median_seconds / 2)


@pytest.mark.slow
def test_watching_ends_with_the_study(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "2")
    code, out, _ = cli("status", "--watch", "--every", "0.1")
    assert code == 0
    assert "digits: 2 of 2 trials, finalized; chosen 0." in out


def test_watching_shows_progress_until_ctrl_c(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli(*DIGITS, "--trials", "2", "--no-work")
    study = load("digits")
    study.ask()
    assert study.trials[0].state == TrialState.RUNNING

    def interrupt(seconds: float) -> None:
        """In the place of the pause after the first picture."""
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(status, "time", SimpleNamespace(sleep=interrupt))
    code, out, _ = cli("status", "--watch", "--study", "digits", "--every", "0.1")
    assert code == 0
    assert "digits: 0 of 2 trials, running; no best yet" in out


def test_options_that_contradict_each_other_are_refused(cli: Cli) -> None:
    cli(*DIGITS, "--trials", "1", "--no-work")
    for options in (("--json", "--watch"), ("--watch", "--every", "0")):
        code, _, err = cli("status", *options)
        assert code == 2
        assert err.startswith("error: --")
