"""The command ``launch`` on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from commands import DIGITS, Cli, load
from optuna.trial import TrialState

from optuna_layerwise.cli.launch import absolute_url
from optuna_layerwise.cli.worker import Worker
from optuna_layerwise.storage import all_trials, owner_of

LAUNCH = [sys.executable, "-m", "optuna_layerwise.cli", "launch", "--study", "digits"]


def create(cli: Cli, *options: str) -> optuna.Study:
    code, _, err = cli(*DIGITS, "--no-work", *options)
    assert code == 0, err
    return load("digits")


def pid_in_training(study: optuna.Study, seconds: float = 300.0) -> int:
    """The process of a trial that trains, waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for trial in all_trials(study):
            owner = owner_of(trial)
            if trial.state == TrialState.RUNNING and trial.intermediate_values and owner:
                return owner.pid
        time.sleep(0.1)
    raise AssertionError("no trial trains")


@pytest.mark.slow
def test_a_killed_worker_is_started_again_and_the_target_is_met_exactly(
    cli: Cli, tmp_path: Path
) -> None:
    study = create(cli, "--trials", "8", "--epochs", "40", "--patience", "0")
    killed = threading.Thread(target=lambda: os.kill(pid_in_training(study), signal.SIGKILL))
    killed.start()
    code, out, err = cli("launch", "--study", "digits", "--workers", "2")
    killed.join()
    assert code == 0, out + err
    assert "ended with exit code -9" in out
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 8
    assert sorted(line.split(":")[0] for line in out.splitlines() if line[:6] == "trial ") == [
        f"trial {n}" for n in range(8)
    ]
    assert "full fine-tuning" in out  # the last test
    assert "olw:final" in study.user_attrs
    logs = tmp_path / "optuna-layerwise-runs" / "digits" / "workers"
    assert {path.name for path in logs.iterdir()} == {"worker-0-cpu.log", "worker-1-cpu.log"}


@pytest.mark.slow
def test_ctrl_c_gives_the_trials_of_all_workers_back(cli: Cli, tmp_path: Path) -> None:
    study = create(cli, "--trials", "2", "--epochs", "100000", "--patience", "0")
    with subprocess.Popen(
        [*LAUNCH, "--workers", "1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            worker = pid_in_training(study)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130, out
    assert "asking the workers to give their trials back" in out
    assert [t.state for t in study.trials] == [TrialState.WAITING]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_paused_study_is_not_started(cli: Cli) -> None:
    study = create(cli, "--trials", "1")
    cli("stop", "--study", "digits")
    assert cli("launch", "--study", "digits", "--workers", "1")[0] == 3
    assert study.trials == []


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say either --gpus, such as 0,1, or --workers"),
        (("--gpus", "0", "--workers", "1"), "say either --gpus"),
        (("--workers", "0"), "--workers must be at least 1, got 0"),
        (("--workers", "1", "--restarts", "-1"), "--restarts must be at least 0, got -1"),
        (("--engine", "dask"), "--engine must be one of local, ray, slurm, got 'dask'"),
        (("--engine", "ray", "--gpus", "0"), "elsewhere say --gpus-per-worker"),
        (("--engine", "slurm"), "there is no sbatch in PATH"),
        (("--engine", "slurm", "--gpus-per-worker", "0.5"), "of Slurm is whole, got 0.5"),
    ],
)
def test_options_that_make_no_sense_are_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    create(cli, "--trials", "1")
    monkeypatch.setenv("PATH", "")
    code, _, err = cli("launch", "--study", "digits", *options)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("engine", "module", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")]
)
def test_an_engine_that_is_not_installed_says_what_to_install(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, engine: str, module: str, extra: str
) -> None:
    create(cli, "--trials", "1")
    monkeypatch.setitem(sys.modules, module, None)  # as if it were absent
    code, _, err = cli("launch", "--study", "digits", "--engine", engine)
    assert code == 2
    assert f"pip install 'optuna-layerwise[{extra}]'" in err


def test_the_database_of_a_file_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_url("sqlite:///a b.db?x=1") == f"sqlite:///{tmp_path}/a b.db?x=1"
    assert absolute_url("journal:///a.log") == f"journal:///{tmp_path}/a.log"
    assert absolute_url("a.log") == f"journal:///{tmp_path}/a.log"
    for url in ("sqlite://", f"sqlite:///{tmp_path}/a.db", "postgresql://u:p@h/d", "nonsense"):
        assert absolute_url(url) == url


@pytest.mark.parametrize("seconds", [0.0, 2.5])
def test_a_worker_is_told_its_patience_even_where_that_is_none(seconds: float) -> None:
    worker = Worker(study="s", storage="sqlite:///s.db", patience_seconds=seconds)
    assert f"--patience-seconds={seconds}" in worker.arguments()
