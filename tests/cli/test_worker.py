"""The command ``worker``, in processes of its own, as a user starts it."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from commands import DIGITS, Cli, load
from forking import Command
from optuna.trial import TrialState

from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings
from optuna_layerwise.launch import INTERRUPTED
from optuna_layerwise.records.final import CLAIM_KEY, openings
from optuna_layerwise.storage import all_trials
from optuna_layerwise.studies import pause, resume

Worker = Callable[..., Command]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Starts a worker in the test's folder; none is left over."""
    started: list[Command] = []

    def start(*options: str) -> Command:
        words = ["worker", "--study", "digits", *options]
        started.append(Command(words, tmp_path, merged=True))
        return started[-1]

    yield start
    for process in started:
        process.end()


def until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} seconds"
        time.sleep(0.05)


def create(cli: Cli, *options: str) -> optuna.Study:
    code, _, err = cli(*DIGITS, "--no-work", *options)
    assert code == 0, err
    return load("digits")


def trains(study: optuna.Study) -> bool:
    return any(t.state == TrialState.RUNNING and t.intermediate_values for t in all_trials(study))


LONG = ("--epochs", "100000", "--patience", "0", "--trials", "2")


def test_two_workers_reach_the_target_exactly_and_leave_the_test_to_whoever_asked(
    cli: Cli, worker: Worker
) -> None:
    study = create(cli, "--trials", "6")
    assert study.trials == []
    workers = [worker("--threads", "1"), worker("--threads", "1")]
    outputs = [process.communicate(300)[0] for process in workers]
    assert [process.returncode for process in workers] == [0, 0], outputs
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 6
    assert sum(output.count("\ntrial ") for output in outputs) == 6
    assert "olw:final" not in study.user_attrs
    assert cli("resume", "--study", "digits")[0] == 0
    assert len(study.trials) == 6
    assert "olw:final" in study.user_attrs


@pytest.mark.slow
def test_a_worker_may_differ_in_place_and_device_but_not_in_data(
    cli: Cli, worker: Worker, tmp_path: Path, digits_weights: Path
) -> None:
    study = create(cli, "--trials", "1", "--weights", str(digits_weights), "--keep-weights", "1")
    before = dict(study.user_attrs)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(digits_weights.read_bytes())
    options = ("--weights", str(moved), "--device", "cpu", "--output", "elsewhere")
    assert cli("worker", "--study", "digits", *options)[0] == 0
    assert study.user_attrs.items() >= before.items()  # its own places are not stored
    assert len(study.trials) == 1
    assert [p.name for p in (tmp_path / "elsewhere").rglob("*.safetensors")]
    with pytest.warns(UserWarning, match="random weights"):
        code, _, err = cli("worker", "--study", "digits", "--weights", "none")
    assert code == 2
    assert "model_digest" in err


@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_signals_of_batch_systems_give_the_trial_back(
    cli: Cli, worker: Worker, tmp_path: Path, number: signal.Signals
) -> None:
    study = create(cli, *LONG)
    process = worker()
    until(lambda: trains(study))
    process.send_signal(number)
    output, _ = process.communicate(300)
    assert process.returncode == 130, output
    assert "interrupted after 0 finished trials, nothing is lost" in output
    assert [t.state for t in study.trials] == [TrialState.WAITING]
    runs = tmp_path / "optuna-layerwise-runs" / "digits" / "trials"
    assert [path.name for path in runs.glob("*/*")] == ["trial-0.checkpoint"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["pause", "stop"])
def test_an_order_to_halt_at_once_is_noticed_in_a_long_trial(
    cli: Cli, worker: Worker, order: str
) -> None:
    study = create(cli, *LONG)
    process = worker()
    until(lambda: trains(study))
    before = time.monotonic()
    assert cli(order, "--now", "--study", "digits")[0] == 0
    output, _ = process.communicate(300)
    assert time.monotonic() - before < 10
    assert process.returncode == 3, output
    assert {"pause": "paused", "stop": "stopped"}[order] in output
    assert [t.state for t in study.trials] == [TrialState.WAITING]
    code, _, _ = cli("worker", "--study", "digits")
    assert code == 3


@pytest.mark.slow
def test_a_worker_that_waits_goes_on_after_a_pause_and_ends_at_a_stop(
    cli: Cli, worker: Worker
) -> None:
    study = create(cli, *LONG)
    process = worker("--wait")
    until(lambda: trains(study))
    cli("pause", "--now", "--study", "digits")
    until(lambda: study.trials[0].state == TrialState.WAITING)
    assert process.poll() is None
    assert cli("resume", "--study", "digits", "--no-work")[0] == 0
    until(lambda: study.trials[0].state == TrialState.RUNNING)
    cli("stop", "--now", "--study", "digits")
    process.communicate(300)
    assert process.returncode == 3
    assert [t.state for t in study.trials] == [TrialState.WAITING]


@pytest.mark.slow
def test_a_trial_failed_in_the_dashboard_is_cancelled_and_the_worker_goes_on(
    cli: Cli, worker: Worker
) -> None:
    study = create(cli, *LONG)
    process = worker()
    until(lambda: trains(study))
    study.tell(0, state=TrialState.FAIL)
    until(lambda: len(study.trials) == 2 and trains(study), seconds=120)
    assert process.poll() is None
    first = study.trials[0]
    assert first.state == TrialState.FAIL
    assert "olw:run" not in first.user_attrs


@pytest.mark.slow
def test_a_worker_whose_study_is_deleted_says_so_in_a_line(cli: Cli, worker: Worker) -> None:
    study = create(cli, *LONG)
    process = worker()
    until(lambda: trains(study))
    optuna.delete_study(study_name="digits", storage=study._storage)
    said = process.communicate(300)[0]
    assert process.returncode == 2
    assert "error: study 'digits' was deleted while it was worked on" in said
    assert "Traceback" not in said


def test_a_worker_needs_a_study_that_tune_created(cli: Cli) -> None:
    create(cli, "--trials", "1")
    code, _, err = cli("worker", "--study", "leaves")
    assert code == 2
    assert err.count("\n") == 1
    assert "no study 'leaves'" in err
    optuna.create_study(study_name="other", storage="sqlite:///optuna-layerwise.db")
    code, _, err = cli("worker", "--study", "other")
    assert code == 2
    assert "was not created by `optuna-layerwise tune`" in err


@pytest.mark.slow
def test_a_target_that_is_raised_meanwhile_is_worked_to(cli: Cli) -> None:
    study = create(cli, "--trials", "1")
    pause(study)

    def raise_it() -> None:
        time.sleep(1)
        settings = dataclasses.replace(Settings.from_study(study), trials=3)
        study.set_user_attr(SETTINGS_KEY, settings.to_json())
        resume(study)

    threading.Thread(target=raise_it).start()
    code, out, _ = cli("worker", "--study", "digits", "--wait")
    assert code == 0
    assert "has its 3 finished trials" in out
    assert len(study.trials) == 3


@pytest.mark.slow
def test_a_target_that_is_raised_meanwhile_is_worked_to_before_the_last_test(cli: Cli) -> None:
    """The test is made once: at the old target it would have been of half a search."""
    study = create(cli, "--trials", "1")

    def raise_it() -> None:
        until(lambda: all_trials(study))
        settings = dataclasses.replace(Settings.from_study(study), trials=3)
        study.set_user_attr(SETTINGS_KEY, settings.to_json())

    thread = threading.Thread(target=raise_it)
    thread.start()
    code, _, err = cli("resume", "--study", "digits")
    thread.join()
    assert code == 0, err
    assert len(study.trials) == 3


@pytest.mark.slow
def test_a_worker_that_is_told_to_be_patient_waits_for_a_database_at_its_start(
    worker: Worker,
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    assert worker("--storage", away).wait(120) == 2
    before = time.monotonic()
    process = worker("--storage", away, "--patience-seconds", "3")
    output, _ = process.communicate(120)
    assert time.monotonic() - before > 3
    assert "waiting up to 3 seconds" in output
    assert output.count("error: ") == 1
    assert "Traceback" not in output


@pytest.mark.sweep(2)
@pytest.mark.parametrize("option", ["--lease-seconds=0", "--lease-seconds=1e9"])
@pytest.mark.parametrize("command", [("worker",), ("launch", "--workers", "1")])
def test_a_lease_that_makes_no_sense_is_one_line(
    cli: Cli, command: tuple[str, ...], option: str
) -> None:
    create(cli, "--trials", "1")
    code, _, err = cli(*command, "--study", "digits", option)
    assert code == 2
    assert err.count("\n") == 1
    assert "--lease-seconds must be above 0 and at most 3600" in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_finalists_are_trained_gives_the_claim_back_and_says_how_to_go_on(
    cli: Cli, worker: Worker, number: signal.Signals
) -> None:
    study = create(cli, "--trials", "1", "--final-seeds", "1000")
    process = worker("--finalize")
    until(lambda: study.user_attrs.get(CLAIM_KEY))
    process.send_signal(number)
    output = process.communicate(300)[0]
    assert process.returncode == INTERRUPTED, output
    assert "optuna-layerwise resume --storage" in output
    assert study.user_attrs[CLAIM_KEY] is None
    assert openings(study) == []
