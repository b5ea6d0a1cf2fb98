"""The command `replay`: an intact study, and edited ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest
import torch
from commands import DIGITS, Cli

from optuna_layerwise import Encoding
from optuna_layerwise.models import ModelSpec
from optuna_layerwise.samplers import BioTuneSampler
from optuna_layerwise.storage import open_storage

STUDY = ("--study", "digits")
OWN = ("replay", "--storage", "sqlite:///own.db", "--study", "own")
BLOCKS = ["stem", "middle", "head"]


def edit(statement: str, path: str = "optuna-layerwise.db") -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


@pytest.mark.sweep
@pytest.mark.parametrize(("sampler", "genes"), [("biotune", 36), ("set-ga", 30)])
def test_an_intact_study_of_tune_is_drawn_again_without_its_weights(
    cli: Cli, sampler: str, genes: int
) -> None:
    weights = Path("weights.pth")
    torch.save(
        ModelSpec(name="digits_cnn", weights=None).build(num_classes=5).state_dict(), weights
    )
    options = ("--sampler", sampler, "--sampler-option", "population=4", "--weights", str(weights))
    assert cli(*DIGITS, *options, "--trials", "6")[0] == 0
    weights.unlink()
    code, out, err = cli("replay", *STUDY)
    assert (code, err) == (0, "")
    assert out == f"6 trials, {genes} genes: every suggestion re-derives\n"


@pytest.mark.slow
def test_edits_of_a_study_are_told_with_their_trial(cli: Cli) -> None:
    options = ("--sampler", "biotune", "--sampler-option", "population=4")
    assert cli(*DIGITS, *options, "--trials", "6")[0] == 0
    edit("UPDATE trial_values SET value = 0.99 WHERE trial_id = 3")
    code, out, _ = cli("replay", *STUDY)
    assert code == 1
    assert "first cause: value of trial 2 was changed: its trainings gave 0." in out
    assert "but 0.99 is stored" in out
    edit(
        "UPDATE trial_params SET param_value = 0.5 WHERE trial_id = 2 AND param_name = 'imp/stem'"
    )
    code, out, _ = cli("replay", *STUDY)
    assert code == 1
    assert "first cause: parameter 'imp/stem' of trial 1 was changed" in out
    rows = [line for line in out.splitlines() if "│" in line]
    assert any("imp/stem" in row and " 0.5 " in row for row in rows)


@pytest.mark.slow
def test_a_study_of_a_users_own_is_replayed_with_the_sampler_and_encoding_that_are_named(
    cli: Cli,
) -> None:
    encoding = Encoding.preset("biotune", BLOCKS)
    study = optuna.create_study(
        storage=open_storage("sqlite:///own.db"),
        study_name="own",
        sampler=BioTuneSampler(seed=3, encoding=encoding, population=4, elites=1),
    )
    study.optimize(lambda trial: sum(encoding.suggest(trial).values()), n_trials=8)
    options = ("--sampler-option", "population=4", "--sampler-option", "elites=1")
    named = ("--encoding", "biotune", "--blocks", ",".join(BLOCKS))
    code, out, _ = cli(*OWN, "--sampler", "biotune", *options, *named)
    assert (code, out) == (0, "8 trials, 32 genes: every suggestion re-derives\n")
    for arguments, expected in (
        ((), "was not created by `optuna-layerwise tune`: name its sampler"),
        (("--sampler", "biotune"), "no trial of study 'own' was drawn by 'biotune/1/"),
        (("--sampler", "tpe"), "--sampler must be one of"),
        (("--sampler", "biotune", "--encoding", "biotune"), "are given together"),
    ):
        code, _, err = cli(*OWN, *arguments)
        assert code == 2
        assert expected in err


def test_a_study_of_one_of_optunas_samplers_is_refused(cli: Cli) -> None:
    assert cli(*DIGITS, "--sampler", "tpe", "--trials", "1")[0] == 0
    code, _, err = cli("replay", *STUDY)
    assert code == 2
    assert "TPESampler keeps no record of its draws" in err
