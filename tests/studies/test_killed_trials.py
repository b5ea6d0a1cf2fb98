"""A trial that is killed or stopped inside an epoch ends with the weights of one that was not."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import lives
import optuna
import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import load_file

from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.studies import open_study

EPOCHS, TIMES = 150, 20


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    """Of the one trial, which has left no other file."""
    [path] = folder.glob("*/*")
    assert path.name == "trial-0.safetensors"
    return load_file(path)


def result(study: optuna.Study) -> tuple[object, ...]:
    """What a trial found, and all of its cost that is no time."""
    [trial] = study.trials
    run = trial.user_attrs[RUN_KEY]
    names = ("metrics", "best_epochs", "images_seen", "flops", "outcome", "policy")
    return trial.params, trial.value, trial.intermediate_values, *(run[name] for name in names)


@pytest.fixture(scope="module")
def uninterrupted(
    digits_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[object, ...], dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    url = f"sqlite:///{folder}/study.db"
    lives.train_one(url, digits_weights, folder / "files", EPOCHS)
    return result(open_study(url, study_name="s")), weights_in(folder / "files")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_trial_interrupted_inside_its_epochs_ends_with_the_same_weights(
    number: signal.Signals,
    url: str,
    tmp_path: Path,
    digits_weights: Path,
    start: lives.Start,
    uninterrupted: tuple[tuple[object, ...], dict[str, torch.Tensor]],
) -> None:
    """At random moments: in a step, in an evaluation, while a checkpoint is written, ..."""
    moments, files = random.Random(0), tmp_path / "files"
    study = open_study(url, study_name="s")

    def has_saved(since: float) -> bool:
        saved = files.glob("*/trial-0.checkpoint")
        return any(path.stat().st_mtime > since for path in saved)

    for _ in range(TIMES):
        before = time.time()
        life = start(lives.train_one, url, digits_weights, files, EPOCHS)
        lives.until(lambda before=before: has_saved(before))  # type: ignore[misc]
        time.sleep(moments.uniform(0.0, 0.1))
        assert life.pid is not None and life.exitcode is None, "it ended before it was killed"
        os.kill(life.pid, number)
        life.join(60)
        assert life.exitcode == (lives.STOPPED if number == signal.SIGTERM else -number)
        [trial] = study.trials
        killed = number == signal.SIGKILL
        assert trial.state == (TrialState.RUNNING if killed else TrialState.WAITING)
    assert len(trial.intermediate_values) > TIMES  # no life began at the beginning
    last = start(lives.train_one, url, digits_weights, files, EPOCHS)
    last.join(120)
    assert last.exitcode == 0
    whole, weights = uninterrupted
    assert result(study) == whole
    ours = weights_in(files)
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[name], weights[name]) for name in ours)
