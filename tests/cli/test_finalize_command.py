"""The command ``finalize``, and commands that leave the last test to it or wait for another's."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from commands import DIGITS, Cli, load
from forking import Command

from optuna_layerwise.launch import INTERRUPTED
from optuna_layerwise.records.final import claim_of, count_finals, openings, stored_final
from optuna_layerwise.storage import LEASE_SECONDS, Lease, all_trials

FINALIZE = ("finalize", "--study", "digits", "--finalists", "1", "--final-seeds", "1")
AGAIN = "optuna-layerwise finalize --storage sqlite:///optuna-layerwise.db --study digits --again"
Start = Callable[..., Command]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command in the test's folder; none is left over."""
    started: list[Command] = []

    def begin(*arguments: str) -> Command:
        started.append(Command([*arguments, "--study", "digits"], tmp_path))
        return started[-1]

    yield begin
    for process in started:
        process.end()


def until(condition: Callable[[], Any], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} seconds"
        time.sleep(0.05)


def weights_of(study: optuna.Study, number: int) -> Path:
    """The file that a result names, which is as it was saved."""
    final = stored_final(study, number)
    assert final is not None and final.weights is not None
    path = Path(final.weights["path"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == final.weights["sha256"]
    return path


@pytest.mark.slow
def test_a_study_is_finalized_before_its_target_and_once_more_when_told(
    cli: Cli, tmp_path: Path
) -> None:
    assert cli(*DIGITS, "--trials", "9", "--no-work")[0] == 0
    study = load("digits")
    assert "has no complete trial" in cli(*FINALIZE)[2]
    assert cli("resume", "--study", "digits", "--trials", "2", "--no-finalize")[0] == 0
    assert cli(*DIGITS, "--trials", "9", "--no-work")[0] == 0
    code, out, err = cli(*FINALIZE)
    assert code == 0, err
    assert "On the test split, opened once" in out
    assert len(all_trials(study)) == 2
    code, out, _ = cli(*FINALIZE)
    assert code == 0
    assert "found (trial" in out and "No trial finished after the choice." in out
    assert AGAIN in out
    assert len(openings(study)) == 1
    cli("resume", "--study", "digits", "--trials", "3", "--no-finalize")
    code, out, _ = cli(*FINALIZE)
    assert (code, "1 trial finished after the choice" in out, AGAIN in out) == (0, True, True)
    code, out, err = cli(*FINALIZE, "--again", "--final-seeds", "2")
    assert code == 0, err
    assert "opened 2 times" in out and "no longer untouched" in out
    first, second = (stored_final(study, number) for number in (1, 2))
    assert first is not None and second is not None and stored_final(study) == second
    assert (first.trials, second.trials, len(second.chosen.test)) == (2, 3, 2)
    assert weights_of(study, 1) != weights_of(study, 2)
    assert cli("export", "--study", "digits", "--to", "latest")[0] == 0
    assert cli("export", "--study", "digits", "--to", "first", "--result", "1")[0] == 0
    for folder, number in (("latest", 2), ("first", 1)):
        assert json.loads((tmp_path / folder / "policy.json").read_text())["result"] == number
        weights = (tmp_path / folder / "model.safetensors").read_bytes()
        assert weights == weights_of(study, number).read_bytes()
    [line] = cli("status", "--json")[1].splitlines()
    assert json.loads(line).items() >= {"state": "finalized", "opened": 2, "later": 0}.items()


@pytest.mark.slow
def test_a_search_without_the_last_test_ends_with_the_command_that_makes_it(cli: Cli) -> None:
    command = AGAIN.removesuffix(" --again")
    for arguments in (DIGITS, ("resume", "--study", "digits")):
        code, out, _ = cli(*arguments, "--trials", "1", "--no-finalize")
        assert code == 0
        assert "The test split was not opened." in out
        assert out.rstrip().endswith(command)
    study = load("digits")
    assert openings(study) == []
    assert "searched" in cli("status")[1]
    assert cli(*FINALIZE)[0] == 0
    code, out, _ = cli("resume", "--study", "digits", "--trials", "2", "--no-finalize")
    assert (code, count_finals(study)) == (0, 1)
    assert "1 trial finished after the choice" in out
    assert out.rstrip().endswith(AGAIN)
    for command in (("worker",), ("launch", "--workers", "1", "--no-finalize")):
        code, out, _ = cli(*command, "--study", "digits")
        assert code == 0
        assert "1 trial finished after the choice" in out
        assert out.rstrip().endswith(AGAIN)


def test_a_study_from_python_is_finalized_there(cli: Cli) -> None:
    optuna.create_study(study_name="digits", storage="sqlite:///optuna-layerwise.db")
    code, _, err = cli(*FINALIZE)
    assert (code, err.count("\n")) == (2, 1)
    assert "finalize it in Python: objective.finalize(study)" in err


@pytest.mark.sweep
@pytest.mark.parametrize("option", ["--finalists", "--final-seeds"])
def test_nothing_to_train_is_refused(cli: Cli, option: str) -> None:
    cli(*DIGITS, "--trials", "1", "--no-finalize")
    code, _, err = cli(*FINALIZE, option, "0")
    assert code == 2
    assert option in err


@pytest.mark.slow
def test_commands_that_come_second_wait_and_show_the_result_of_the_first(
    cli: Cli, start: Start
) -> None:
    cli(*DIGITS, "--trials", "1", "--no-finalize", "--final-seeds", "10")
    study = load("digits")
    first = start("worker", "--finalize")
    until(lambda: claim_of(study))
    first.send_signal(signal.SIGSTOP)  # until the others have seen its claim
    others = [start("resume"), start("worker", "--finalize")]
    for process in others:
        until(lambda process=process: "\n" in process.errors)  # type: ignore[misc]
        line = process.errors
        assert line.startswith(f"study 'digits' is being finalized by process {first.pid} on ")
        assert line.endswith("waiting for its result, and at most 60 s for a sign of life\n")
    first.send_signal(signal.SIGCONT)
    for process in (first, *others):
        out, err = process.communicate(300)
        assert (process.returncode, err.count("\n")) == (0, process is not first)
        assert "On the test split, opened once" in out
    assert [opening.pid for opening in openings(study)] == [first.pid]


@pytest.mark.sweep
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_waiting_for_another_is_one_line(
    cli: Cli, start: Start, number: signal.Signals
) -> None:
    cli(*DIGITS, "--trials", "1", "--no-finalize")
    study = load("digits")
    lease = Lease.of_this_process(LEASE_SECONDS)
    study.set_user_attr("olw:finalizing", {**lease.as_json(), "since": "2026-01-01T00:00:00"})
    process = start("finalize")
    until(lambda: "\n" in process.errors)
    process.send_signal(number)
    assert process.wait(120) == INTERRUPTED
    out, err = process.output, process.errors
    assert f"process {os.getpid()} on" in err and err.count("\n") == 1
    [line] = [line for line in out.splitlines() if "interrupted" in line]
    assert "go on with `optuna-layerwise finalize --storage" in line
    assert claim_of(study) is not None, "the claim of the other is left alone"
    assert openings(study) == []
