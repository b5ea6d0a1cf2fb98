"""The command doctor: files, repairs, exit codes, JSON, draws."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest
from commands import Cli, load
from optuna.trial import TrialState

from optuna_layerwise.experiments.replaying import stored_encoding, stored_sampler
from optuna_layerwise.experiments.settings import Settings
from optuna_layerwise.objective.trial_files import TrialFiles
from optuna_layerwise.storage import open_storage
from optuna_layerwise.training import Checkpoint


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


@pytest.mark.slow
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


def journal_of_two_trials(path: Path) -> bytes:
    study = optuna.create_study(study_name="s", storage=open_storage(str(path)))
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), 2.0)
    return path.read_bytes()


@pytest.mark.sweep
@pytest.mark.parametrize("torn", [False, True])
def test_the_end_of_a_journal_is_cut_off_after_a_copy_and_what_it_said_is_told(
    cli: Cli, torn: bool
) -> None:
    path = Path("study.log")
    sound = journal_of_two_trials(path)
    wrong = b'{"op_code":8,"worker_id":"w","trial_id":1,"user_attr":{"k":1'
    wrong = wrong if torn else wrong + b"\n" + b"\0" * 64 + b"hello\n"
    path.write_bytes(sound + wrong)
    code, out, err = cli("doctor", "--storage", "study.log")
    assert (code, err) == (1, "")
    assert out.startswith("warning: line 6" if torn else "error: line 6")
    assert "set trial user attr 'k' of trial 1 of study 's'" in out
    assert f"--repair cuts off the last {len(wrong)} bytes" in out
    assert path.read_bytes() == sound + wrong
    code, out, err = cli("doctor", "--storage", "study.log", "--repair")
    assert (code, err) == (0, "")
    assert "repaired: line 6" in out and "study.log.before-repair" in out
    assert path.read_bytes() == sound
    assert Path("study.log.before-repair").read_bytes() == sound + wrong
    assert cli("doctor", "--storage", "study.log")[0] == 0


@pytest.mark.sweep(2)
@pytest.mark.parametrize("content", [b"[1]\n", b"\n", b'{"op_code":3}\n', b"\xff\n"])
def test_wrong_lines_inside_a_journal_are_told_and_nothing_is_written(
    cli: Cli, content: bytes
) -> None:
    path = Path("study.log")
    lines = journal_of_two_trials(path).splitlines(keepends=True)
    path.write_bytes(before := b"".join([*lines[:3], content, *lines[3:], b"hello\n"]))
    for options in ((), ("--repair",)):
        code, out, err = cli("doctor", "--storage", "study.log", *options)
        assert (code, err) == (1, "")
        assert "error: line 4 of the journal cannot be used" in out
        assert "nothing is cut off" in out
        assert "error: line 7 of the journal cannot be used" in out
        assert path.read_bytes() == before
    assert [each.name for each in Path().iterdir()] == ["study.log"]


def test_the_doctor_says_that_a_file_is_no_journal(cli: Cli) -> None:
    Path("notes.log").write_bytes(b"milk\nbread\n")
    for options in ((), ("--repair",)):
        code, out, err = cli("doctor", "--storage", "notes.log", *options)
        assert (code, err) == (1, "")
        assert out.startswith("error: this is no journal of Optuna: line 1")
    assert Path("notes.log").read_bytes() == b"milk\nbread\n"


@pytest.mark.slow
def test_a_wrong_attribute_in_a_journal_is_taken_back_by_a_line_that_follows(cli: Cli) -> None:
    path = Path("study.log")
    journal_of_two_trials(path)
    deep = b"[" * 10_000 + b"]" * 10_000
    subjects = (b'2,"study_id":0,"user_attr":{"olw:control":', b'8,"trial_id":2,"user_attr":{"k":')
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":null}\n')
        for subject in subjects:
            file.write(b'{"worker_id":"w","op_code":%s%s}}\n' % (subject, deep))
        file.write(b'{"op_code":3,"worker_id":"w","study_id":0,"system_attr":{"sound":1}}\n')
    assert cli("status", "--storage", "study.log")[0] == 1
    before = path.read_bytes()
    _, out, _ = cli("doctor", "--storage", "study.log", "--repair")
    assert "repaired: attribute 'olw:control' of the study cannot be read: line 7" in out
    assert "repaired: attribute 'k' of trial 2 cannot be read: line 8" in out
    assert path.read_bytes().startswith(before)
    assert cli("status", "--storage", "study.log")[0] == 0
    assert cli("pause", "--study", "s", "--storage", "study.log")[0] == 0
