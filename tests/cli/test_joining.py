"""Who may work on a study: the same data, weights, packages and code, or whoever is told to."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest
import torch
from commands import DIGITS, Cli, load

from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.records.attributes import VERSION_FIELD
from optuna_layerwise.records.fingerprint import FINGERPRINT_KEY, used_fingerprints
from optuna_layerwise.records.run import readable_runs


def made_with_numpy(version: str) -> None:
    """Rewrite what the only study of the database was trained with."""
    [(digest, fingerprint)] = used_fingerprints(load("digits")).items()
    packages = {**fingerprint.packages, "numpy": version}
    theirs = dataclasses.replace(fingerprint, packages=packages)
    content = json.dumps({VERSION_FIELD: 1, **dataclasses.asdict(theirs)})
    with sqlite3.connect("optuna-layerwise.db") as database:
        database.execute(
            "UPDATE study_user_attributes SET key = ?, value_json = ? WHERE key = ?",
            (FINGERPRINT_KEY + theirs.digest, content, FINGERPRINT_KEY + digest),
        )
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["tune", "resume", "worker"])
def test_another_package_version_is_refused_by_name_and_joins_when_told(
    cli: Cli, command: str
) -> None:
    tune = (*DIGITS, "--trials", "1")
    assert cli(*tune)[0] == 0
    made_with_numpy("1.2.3")
    study = load("digits")
    before = study.user_attrs
    again = tune if command == "tune" else (command, "--study", "digits")
    code, _, err = cli(*again)
    assert code == 2
    assert "error: study 'digits' was trained with another setup: numpy is 1.2.3 there and" in err
    assert err.count("\n") == 1
    assert study.user_attrs == before
    assert cli(*again, "--allow-different")[0] == 0
    assert len(used_fingerprints(study)) == 2
    assert cli(*again)[0] == 0


@pytest.mark.slow
def test_other_weights_join_when_told_and_the_study_stays_what_it_is(
    cli: Cli, tmp_path: Path
) -> None:
    model = ModelSpec(name="digits_cnn", weights=None).build(num_classes=5)
    torch.save(model.state_dict(), "weights.pth")
    assert cli(*DIGITS, "--weights", "weights.pth", "--trials", "1")[0] == 0
    with torch.no_grad():
        next(model.parameters()).add_(1)
    torch.save(model.state_dict(), "others.pth")
    resume = ("resume", "--study", "digits", "--trials", "2", "--weights", "others.pth")
    code, _, err = cli(*resume)
    assert code == 2
    assert "model_digest is" in err
    assert "join all the same with --allow-different" in err
    before = Settings.from_study(load("digits"))
    assert cli(*resume, "--allow-different")[0] == 0
    study = load("digits")
    assert Settings.from_study(study) == dataclasses.replace(before, trials=2)
    first, second = readable_runs(study, study.trials).values()
    used = used_fingerprints(study)
    assert set(used[first.fingerprint].differences(used[second.fingerprint])) == {"weights"}
    assert "devices" in cli("compare", "digits")[1]


@pytest.mark.slow
def test_another_number_of_threads_is_told_as_another_device_is(cli: Cli) -> None:
    """Sums are added up in another order, which can change the last digits of a result."""
    assert cli(*DIGITS, "--trials", "1")[0] == 0
    resume = ("resume", "--study", "digits", "--trials", "2", "--threads")
    assert "trials so far ran" not in cli(*resume[:3], "--threads", "1")[1]
    code, out, _ = cli(*resume, "2")
    torch.set_num_threads(1)
    assert code == 0
    assert "trials so far ran on" in out
    assert "with 1 thread, and those of this process run on" in out
    study = load("digits")
    ones, twos = (run.device_name for run in readable_runs(study, study.trials).values())
    assert ones.endswith(" with 1 thread")
    assert twos == ones.replace("1 thread", "2 threads")
    assert "note: trials ran on several devices" in cli("doctor", "--study", "digits")[1]
    assert "Trials ran on different devices" in cli("report", "--study", "digits", "-o", "-")[1]
