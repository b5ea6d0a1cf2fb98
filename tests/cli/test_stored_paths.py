"""A path that only the database names is neither read, nor written to, nor downloaded from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import DIGITS, Cli, copy_database, load

from optuna_layerwise.cli.options import default_output
from optuna_layerwise.io.texts import file_name
from optuna_layerwise.reporting.dashboard_server import ARTIFACTS
from optuna_layerwise.storage import FINAL_KEY, SETTINGS_KEY

TRAINED = (*DIGITS, "--study", "a", "--trials", "1")
CREATED = (*TRAINED, "--no-work")


def rewrite(name: str, **changes: Any) -> None:
    study = load(name)
    stored = json.loads(study.user_attrs[SETTINGS_KEY])
    study.set_user_attr(SETTINGS_KEY, json.dumps({**stored, **changes}))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the user of the command has not named."""
    return tmp_path_factory.mktemp("elsewhere")


COMMANDS = [("resume",), ("worker",), ("launch", "--workers", "1"), ("finalize",)]


@pytest.mark.sweep(3)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data", "FOLDER"),
        ("data_root", "FOLDER"),
        ("weights", "FOLDER/weights.pth"),
        ("output", "FOLDER/runs"),
        ("model", "transformers/somebody/some-network"),
    ],
)
def test_a_path_that_somebody_wrote_to_the_database_is_refused_in_a_line(
    cli: Cli, elsewhere: Path, command: tuple[str, ...], setting: str, value: str
) -> None:
    cli(*CREATED)
    path = value.replace("FOLDER", str(elsewhere))
    rewrite("a", **{setting: path})
    code, _, errors = cli(*command, "--study", "a")
    assert code == 2
    assert errors.count("\n") == 1
    option = f"--{setting.replace('_', '-')}"
    for said in (f" {path!r}, which you", f"Give {option} yourself, or add --trust-paths"):
        assert said in errors
    assert not any(elsewhere.iterdir())
    assert load("a").trials == []


def test_a_network_that_the_database_names_is_not_fetched_to_draw_again(cli: Cli) -> None:
    cli(*CREATED)
    rewrite("a", model="transformers/somebody/some-network")
    code, _, errors = cli("replay", "--study", "a")
    assert code == 2
    assert "somebody/some-network" in errors
    assert "Add --trust-paths" in errors
    code, out, _ = cli("doctor", "--study", "a", "--replay")
    assert "nothing to draw again: study 'a': its database names model" in out


@pytest.mark.slow
def test_a_study_goes_on_from_any_folder_without_a_word_of_its_paths(
    cli: Cli, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "digits.safetensors"
    cli(*CREATED, "--output", str(elsewhere / "runs"))
    from optuna_layerwise.training.pretrained_digits import pretrained_digits

    shutil.copy(pretrained_digits(), weights)
    storage = f"sqlite:///{tmp_path}/other.db"
    given = ("--weights", str(weights), "--output", str(elsewhere / "runs"))
    assert cli(*TRAINED, "--no-work", *given, "--storage", storage)[0] == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    code, _, errors = cli("resume", "--study", "a", "--storage", storage)
    assert (code, errors) == (0, "")
    assert (elsewhere / "runs" / "best.safetensors").is_file()


@pytest.mark.sweep
@pytest.mark.parametrize("way", ["--output", "--trust-paths"])
def test_who_is_asked_for_a_path_is_asked_once(cli: Cli, elsewhere: Path, way: str) -> None:
    cli(*CREATED)
    output = str(elsewhere / "runs")
    rewrite("a", output=output)
    assert cli("resume", "--study", "a")[0] == 2
    given = (way, output) if way == "--output" else (way,)
    assert cli("resume", "--study", "a", *given)[0] == 0
    assert (elsewhere / "runs" / "best.safetensors").is_file()
    assert cli("resume", "--study", "a")[0] == 0
    rewrite("a", output=f"{output}2")
    assert cli("resume", "--study", "a")[0] == 2


@pytest.mark.slow
def test_what_nobody_can_note_is_said_and_asked_for_again(
    cli: Cli, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "file").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(elsewhere / "file"))
    code, _, errors = cli(*CREATED, "--output", str(elsewhere / "runs"))
    assert code == 0
    assert "which paths you have chosen" in errors
    assert cli("resume", "--study", "a")[0] == 2
    assert cli("resume", "--study", "a", "--output", str(elsewhere / "runs"))[0] == 0


@pytest.mark.slow
def test_workers_elsewhere_are_told_the_paths_that_were_chosen_here(
    cli: Cli, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers that ``launch`` starts have another user's folder of states."""
    cli(*CREATED, "--output", str(elsewhere / "runs"))
    started = tmp_path / "started.py"
    started.write_text(
        "import os, sys, pathlib\n"
        f"os.environ['XDG_STATE_HOME'] = {str(elsewhere / 'states')!r}\n"
        f"pathlib.Path({str(tmp_path / 'arguments')!r}).write_text(' '.join(sys.argv))\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {started} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    code, _, errors = cli("launch", "--study", "a", "--workers", "1")
    assert (code, errors) == (0, "")
    assert f"--output={elsewhere / 'runs'}" in (tmp_path / "arguments").read_text()
    assert (elsewhere / "runs" / "best.safetensors").is_file()


def test_doctor_repairs_no_files_where_only_the_database_says(cli: Cli, elsewhere: Path) -> None:
    cli(*CREATED)
    from optuna_layerwise.objective.trial_files import TrialFiles

    needless = TrialFiles(elsewhere / "trials").folder(load("a")) / "trial-9.checkpoint"
    needless.parent.mkdir(parents=True)
    needless.write_bytes(b"")
    rewrite("a", output=str(elsewhere))
    code, out, _ = cli("doctor", "--repair")
    assert code == 0
    assert "note: the files of its trials were not looked at" in out
    assert needless.exists()
    assert "repaired: nobody needs" in cli("doctor", "--repair", "--trust-paths")[1]
    assert not needless.exists()


@pytest.mark.slow
def test_doctor_on_a_copy_of_a_database_leaves_the_files_of_its_source(cli: Cli) -> None:
    assert cli(*TRAINED, "--keep-weights", "1")[0] == 0
    copy_database("optuna-layerwise.db", "backup.db")
    backup = load("a", "sqlite:///backup.db")
    backup._storage.delete_study(backup._study_id)
    assert cli(*CREATED, "--keep-weights", "1", "--storage", "sqlite:///backup.db")[0] == 0
    before = files(Path("optuna-layerwise-runs"))
    assert any("trial-0.safetensors" in path.name for path in before)
    copy_database("optuna-layerwise.db", "again.db")
    for storage in ("sqlite:///backup.db", "sqlite:///again.db"):
        code, out, _ = cli("doctor", "--repair", "--storage", storage)
        assert (code, out) == (0, "healthy\n")
    assert files(Path("optuna-layerwise-runs")) == before


@pytest.mark.slow
def test_a_copy_of_a_study_saves_its_weights_beside_those_of_its_source(cli: Cli) -> None:
    cli(*CREATED)
    saved = []
    for storage in ("sqlite:///optuna-layerwise.db", "sqlite:///b.db", "sqlite:///c.db"):
        if not saved:
            for copy in "bc":
                copy_database("optuna-layerwise.db", f"{copy}.db")
        assert cli("resume", "--study", "a", "--storage", storage)[0] == 0
        saved.append(load("a", storage).user_attrs[FINAL_KEY]["weights"]["path"])
    assert len(set(saved)) == 3
    assert [Path(path).is_file() for path in saved] == [True] * 3


def test_the_dashboard_serves_no_artifacts_from_where_only_the_database_says(
    cli: Cli, elsewhere: Path
) -> None:
    from optuna_layerwise.cli.dashboard import _outputs

    cli(*CREATED)
    storage = load("a")._storage
    assert _outputs(storage, trust=False) == ([default_output("a")], [])
    (elsewhere / ARTIFACTS).mkdir()
    rewrite("a", output=str(elsewhere / "runs"))
    assert _outputs(storage, trust=False) == ([], ["a"])
    assert _outputs(storage, trust=True) == ([str(elsewhere / "runs")], [])


NAMES = [
    *(
        "../../x",
        "..",
        ".",
        "/etc/x",
        "a/../../b",
        "a\\b",
        "-x",
        " ",
        "x ",
        "x.",
        "CON",
        "nul.txt",
    ),
    *("x" * 300, "葉" * 100, "Blätter 🌿", "a\nb", "a\x00b", "\x1b[2J", "a:b", "~", "$HOME", "*"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_of_any_name_has_a_folder_below_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(default_output(name))
    assert folder.parent == tmp_path / "optuna-layerwise-runs"
    folder.mkdir(parents=True)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert file_name(file_name(name)) == file_name(name)
    assert len({file_name(other) for other in NAMES}) == len(NAMES)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["../../x", "x" * 300])
def test_no_command_writes_outside_its_folder_for_the_sake_of_a_name(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inside = tmp_path / "one" / "two" / "three"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert cli(*DIGITS, "--study", name, "--trials", "1", "--keep-weights", "1")[0] == 0
    assert cli("report", "--study", name)[0] == 0
    assert cli("export", "--study", name)[0] == 0
    assert {path for path in files(tmp_path) if inside not in path.parents} == set()
    assert {path.name for path in inside.iterdir() if path.is_dir()} == {
        "exported",
        "optuna-layerwise-runs",
    }
