"""The command doctor: files, repairs, exit codes, JSON, draws."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from commands import Cli, load
from optuna.trial import TrialState

from optuna_layerwise.cli.replaying import stored_encoding, stored_sampler
from optuna_layerwise.cli.settings import Settings
from optuna_layerwise.training import Checkpoint
from optuna_layerwise.trial_files import TrialFiles


def test_damaged_and_needless_files_are_found_and_removed(cli: Cli) -> None:
    assert cli("tune", "--no-work")[0] == 0
    study = load("digits")
    for _ in range(2):
        study.enqueue_trial({})
    folder = TrialFiles(Path(Settings.from_study(study).output) / "trials").folder(study)
    damaged, sound, needless = (folder / f"trial-{n}.checkpoint" for n in (0, 1, 99))
    for path in (damaged, sound, needless):
        Checkpoint(path, {}).save({"epoch": 1})
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    code, out, err = cli("doctor")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith("study 'digits': warning: nobody needs the file")
    assert "trial-99.checkpoint" in lines[0]
    assert lines[1].startswith("study 'digits': error: the checkpoint of trial 0 is damaged")
    assert lines[2:] == ["2 findings"]
    code, out, _ = cli("doctor", "--study", "digits", "--repair")
    assert code == 0
    assert out.splitlines()[-1] == "healthy, 2 repaired"
    assert [path.exists() for path in (damaged, sound, needless)] == [False, True, False]
    assert cli("doctor") == (0, "healthy\n", "")
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 2


def test_what_cannot_be_read_is_removed_and_what_does_not_re_derive_is_told(cli: Cli) -> None:
    assert cli("tune", "--no-work", "--sampler", "biotune")[0] == 0
    study = load("digits")
    study.sampler, encoding = stored_sampler(study), stored_encoding(Settings.from_study(study))
    study.optimize(lambda trial: float(len(encoding.suggest(trial).trained)), n_trials=2)
    insert = "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (2, 'k', '{')"
    with sqlite3.connect("optuna-layerwise.db") as database:
        database.execute(insert)
    database.close()
    code, out, _ = cli("doctor", "--json")
    [finding] = json.loads(out)["findings"]
    assert code == 1
    assert finding["problem"] == "attribute 'k' of trial 1 cannot be read: it is no JSON: '{'"
    assert (finding["trial"], finding["repair"], finding["repaired"]) == (1, True, False)
    code, out, _ = cli("doctor", "--json", "--repair")
    assert code == 0
    assert json.loads(out)["findings"][0]["repaired"] is True
    with sqlite3.connect("optuna-layerwise.db") as database:
        database.execute("UPDATE trial_params SET param_value = 0.125 WHERE trial_id = 2")
    database.close()
    assert cli("doctor") == (0, "healthy\n", "")
    code, out, _ = cli("doctor", "--replay")
    assert code == 1
    assert "error: trials 1 do not re-derive: parameter 'imp/" in out


def test_a_result_that_was_cut_off_is_told_and_never_removed(cli: Cli) -> None:
    assert cli("tune", "--no-work")[0] == 0
    insert = "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, ?, ?)"
    cut = ("olw:final", '{"v": 1, "chosen": {"na')
    with sqlite3.connect("optuna-layerwise.db") as database:
        database.execute(insert, cut)
    database.close()
    code, out, err = cli("doctor", "--repair")
    assert (code, err) == (1, "")
    assert "attribute 'olw:final' of the study cannot be read: it is no JSON" in out
    assert "restore it from a backup" in out
    with sqlite3.connect("optuna-layerwise.db") as database:
        stored = database.execute("SELECT key, value_json FROM study_user_attributes").fetchall()
    database.close()
    assert cut in stored
