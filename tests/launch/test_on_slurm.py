"""submitit's local executor: a job that is preempted in a trial is queued again, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from optuna_layerwise.storage import all_trials, open_storage, owner_of

pytestmark = pytest.mark.slow

CLI = [sys.executable, "-m", "optuna_layerwise.cli"]
CREATE = ("tune", "--epochs", "60", "--patience", "0", "--finalists", "1", "--final-seeds", "1")


@pytest.fixture(scope="module", autouse=True)
def _submitit() -> None:
    try:
        import submitit  # noqa: F401
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("submitit is not installed: pip install 'optuna-layerwise[slurm]'")


def test_a_preempted_job_is_queued_again_and_continues_the_same_trial(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    subprocess.run(
        [*CLI, *CREATE, "--trials", "2", "--checkpoint-seconds", "0", "--no-work"],
        cwd=tmp_path,
        env={**os.environ, "OPTUNA_LAYERWISE_STORAGE": url},
        check=True,
    )
    study = optuna.load_study(study_name="digits", storage=open_storage(url))
    command = [*CLI, "launch", "--study", "digits", "--engine", "slurm", "--cluster", "local"]
    launched = subprocess.Popen(
        [*command, "--storage", url, "--workers", "1", "--minutes", "60"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while not (pids := trains_at(study, epoch=5)):
            assert launched.poll() is None, launched.communicate()[0]
            time.sleep(0.01)
        [(number, first)] = pids
        params = study.trials[number].params
        os.kill(first, signal.SIGUSR2)  # what Slurm sends, at submitit's request
        out, _ = launched.communicate(timeout=900)
    finally:
        launched.kill()
    assert launched.returncode == 0, out
    trials = study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert trials[number].params == params
    assert list(trials[number].intermediate_values) == list(range(60))
    assert owner_of(trials[number]).pid != first  # type: ignore[union-attr]
    [log] = (tmp_path / "optuna-layerwise-runs/digits/workers").glob("*_0_log.out")
    text = log.read_text()
    assert "interrupted after" in text  # the worker ended its step and gave its trial back
    assert "Requeued job" in text
    assert "olw:final" in study.user_attrs


def trains_at(study: optuna.Study, *, epoch: int) -> list[tuple[int, int]]:
    """Trials that run and have reported an epoch, and their processes."""
    return [
        (trial.number, owner.pid)
        for trial in all_trials(study)
        if trial.state == TrialState.RUNNING
        and (owner := owner_of(trial))
        and max(trial.intermediate_values, default=-1) >= epoch
    ]
