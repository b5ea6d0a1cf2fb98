"""Ray for real: a local cluster, two workers, one of them killed in a trial."""

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
CREATE = ("tune", "--epochs", "30", "--patience", "0", "--finalists", "1", "--final-seeds", "1")


@pytest.fixture(scope="module", autouse=True)
def _ray() -> None:
    try:
        import ray  # noqa: F401
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("Ray is not installed: pip install 'optuna-layerwise[ray]'")


def trial_in_training(study: optuna.Study, launched: subprocess.Popen[str]) -> tuple[int, int]:
    """A trial that trains and its process, waited for."""
    while launched.poll() is None:
        for trial in all_trials(study):
            owner = owner_of(trial)
            if trial.state == TrialState.RUNNING and trial.intermediate_values and owner:
                return trial.number, owner.pid
        time.sleep(0.01)
    raise AssertionError(launched.communicate()[0])


def test_an_actor_killed_in_a_trial_is_replaced_and_the_target_is_met_exactly(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    subprocess.run(
        [*CLI, *CREATE, "--trials", "6", "--no-work", "--storage", url], cwd=tmp_path, check=True
    )
    study = optuna.load_study(study_name="digits", storage=open_storage(url))
    launched = subprocess.Popen(
        [*CLI, "launch", "--study", "digits", "--engine", "ray", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "OPTUNA_LAYERWISE_STORAGE": "sqlite:///study.db"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        number, killed = trial_in_training(study, launched)
        os.kill(killed, signal.SIGKILL)
        out, _ = launched.communicate(timeout=900)
    finally:
        launched.kill()
    assert launched.returncode == 0, out
    assert "started again" in out
    trials = study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert all(len(trial.intermediate_values) == 30 for trial in trials)  # each once, to its end
    owner = owner_of(trials[number])
    assert owner is not None
    assert owner.pid != killed  # another actor has continued it
    assert "olw:final" in study.user_attrs


def test_more_workers_than_the_cluster_has_room_for_are_refused() -> None:
    code = (
        "from optuna_layerwise.launch import Cluster, connected\n"
        "with connected(Cluster(workers=1, gpus=0.5)):\n"
        "    pass\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 1
    assert "ValueError: 1 workers with 0.5 GPUs each need 0.5, but" in process.stderr
