"""A file of settings: what ``init`` writes, and what ``tune --config`` reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from commands import Cli
from PIL import Image

from optuna_layerwise.cli import searching
from optuna_layerwise.experiments.settings import SETTINGS, Settings
from optuna_layerwise.experiments.settings_file import read_settings

Calls = list[tuple[Settings, str, str]]
EVERYTHING = """
study: leaves
preset: biotune
data: photos/leaves     # beside this file
image-root: [photos, /elsewhere]
column: {label: "1", image: file}
model: resnet18
model-arg: {zero_init_residual: true}
weights: none
mean: [0.5, 0.25, 1]
std: 0.5
tune: [batch_size, weight_decay]
sampler-option: {amplitude: 0.5, rates: [.5, 1e-3], norm: "2", deep: True, act: null}
seeds-per-trial: 2
lr: 1e-2
patience: 0
final-folds: auto
paper-split: True
"""
TYPED = [
    *("--study", "leaves", "--preset", "biotune", "--data", "{here}/photos/leaves"),
    *("--image-root", "{here}/photos", "--image-root", "/elsewhere"),
    *("--column", "label=1", "--column", "image=file", "--model", "resnet18"),
    *("--model-arg", "zero_init_residual=true", "--weights", "none"),
    *("--mean", "0.5,0.25,1", "--std", "0.5", "--tune", "batch_size,weight_decay"),
    *("--sampler-option", "amplitude=0.5", "--sampler-option", 'rates=[".5", 0.001]'),
    *("--sampler-option", 'norm="2"', "--sampler-option", "deep=true"),
    *("--sampler-option", "act=null", "--seeds-per-trial", "2", "--lr", "0.01"),
    *("--patience", "0", "--final-folds", "auto", "--paper-split"),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What ``tune`` would run: its settings, storage and study."""
    found: Calls = []

    def run(settings: Settings, stored: Any, storage: str, name: str, **more: Any) -> None:
        found.append((settings, storage, name))

    monkeypatch.setattr(searching, "run", run)
    return found


def test_a_file_with_every_line_uncommented_gives_the_defaults(
    cli: Cli, calls: Calls, tmp_path: Path
) -> None:
    assert cli("init", "project")[0] == 0
    path = tmp_path / "project" / "tune.yaml"
    text = path.read_text()
    keys = re.findall(r"(?m)^#([a-z-]+):", text)
    assert sorted(keys) == sorted(
        ["study", "storage", "preset", *(each.option[2:] for each in SETTINGS.values())]
    )
    assert cli("tune", "--config", str(path))[0] == 0
    path.write_text(re.sub(r"(?m)^#(?=[a-z-]+:)", "", text))
    assert cli("tune", "--config", str(path)) == cli("tune")
    commented, uncommented, nothing = calls
    assert commented == nothing
    assert uncommented[0] == nothing[0]
    assert uncommented[2] == nothing[2]


def test_a_study_made_from_a_file_equals_one_whose_options_were_typed(
    cli: Cli, calls: Calls, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    path = tmp_path / "team" / "leaves.yaml"
    path.write_text(EVERYTHING + "storage: sqlite:///leaves.db\n")
    assert cli("tune", "--config", "team/leaves.yaml")[0] == 0
    here = str(tmp_path / "team")
    words = [word.replace("{here}", here) for word in TYPED]
    assert cli("tune", *words, "--storage", f"sqlite:///{here}/leaves.db")[0] == 0
    from_file, typed = calls
    assert from_file[0].to_json() == typed[0].to_json()
    assert from_file == typed
    assert typed[0].recipe.patience is None and typed[0].final_folds is None


def test_typed_options_win_over_the_environment_and_that_over_the_file(
    cli: Cli, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tune.yaml").write_text(
        "storage: sqlite:///file.db\ntrials: 7\nrace: false\ntune: [bn]\nepochs: 4\nstudy: s\n"
    )
    monkeypatch.setenv("OPTUNA_LAYERWISE_STORAGE", "sqlite:///environment.db")
    typed = ("--epochs", "2", "--race", "--tune", "augment")
    assert cli("tune", "--config", "tune.yaml", *typed)[0] == 0
    [(settings, storage, study)] = calls
    assert (settings.recipe.epochs, settings.race, settings.tune) == (2, True, ("augment",))
    assert (settings.trials, storage, study) == (7, "sqlite:///environment.db", "s")
    monkeypatch.delenv("OPTUNA_LAYERWISE_STORAGE")
    assert cli("tune", "--config", "tune.yaml")[0] == 0
    assert calls[-1][1] == f"sqlite:///{tmp_path}/file.db"


MISTAKES = {
    "image_size: 64": "line 1: unknown key 'image_size'; did you mean 'image-size'?",
    "val: 0.1\nn_folds: 3": "line 2: unknown key 'n_folds'; did you mean 'folds'?",
    "epochs: many": "line 1: epochs must be a whole number, got 'many'",
    "epochs: 3.5": "line 1: epochs must be a whole number, got '3.5'",
    "final-folds: every": "final-folds must be a whole number or auto, got 'every'",
    "val: 2": "line 1: val must be at most 1, got 2.0",
    "lr: -1": "line 1: lr must be finite and above 0, got -1.0",
    "image-size: 0": "line 1: image-size must be at least 1, got 0",
    "metric: acuracy": "metric must be one of accuracy, balanced_accuracy, macro_f1, auc, loss, "
    "map, r2, mae, got 'acuracy'; did you mean 'accuracy'?",
    "race: yes": "line 1: race must be true or false, got 'yes'",
    "mean: [1, 2]": "line 1: mean must be one number or three with commas, got '1,2'",
    "preset: revolt": "line 1: preset must be one of default, biotune, revo, paper, got 'revolt'",
    "device: gpu": "line 1: device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got 'gpu'",
    "budget: 5 apples": "line 1: budget",
    "epochs: [3]": "line 1: epochs must be a single value, got [3]",
    "tune: {lr: 1}": "line 1: tune must be a single value, or a list of them, got {'lr': 1}",
    "column: label=dx": "column must have names and values, as in {name: value}, got 'label=dx'",
    "column: {a: 1, a: 2}": "line 1: column has a name twice, got ['a']; keep one",
    "weights: null": "line 1: weights must be a value, got null; leave out the line",
    "seed: 1\n# again\nseed: 2": "line 3: seed is set in line 1 already; keep one",
    "- epochs": "must have lines of key: value, got ['epochs']",
    "epochs 3": "must have lines of key: value, got 'epochs 3'",
    "a: b: c": "line 1: it is no YAML that can be read: mapping values are not allowed here",
    "tune: &t [bn]\ncolumn: *t": "line 2: it is no YAML that can be read: aliases are not read",
    "tune: " + "[" * 9999: "cannot be read: it is nested more than",
    "sampler-option: {seed: 3}": "say --seed 3 instead of --sampler-option seed=3",
    "storage: mysql://me:secret@host/db": "line 1: storage has a password, mysql://me:***@host",
    "study: \x00": "it is no YAML that can be read",
}


@pytest.mark.sweep(6)
@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:30])
def test_a_mistake_in_a_file_is_one_line_with_its_place(
    cli: Cli, calls: Calls, tmp_path: Path, text: str
) -> None:
    (tmp_path / "tune.yaml").write_text(text)
    code, out, err = cli("tune", "--config", "tune.yaml")
    assert (code, out, calls) == (2, "", [])
    assert err.startswith("error: tune.yaml") and err.count("\n") == 1
    assert MISTAKES[text] in err
    assert "secret" not in err and len(err) < 400


def test_a_file_that_is_none_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("study: Bäume".encode("latin-1"))
    for name, said in {
        "latin.yaml": "latin.yaml must be text in UTF-8, got the byte 0xe4 at 8",
        "absent.yaml": "--config must be a file of settings, but absent.yaml: No such file",
        ".": "--config must be a file of settings, but .: Is a directory",
    }.items():
        code, _, err = cli("tune", "--config", name)
        assert code == 2
        assert err.startswith(f"error: {said}") and err.count("\n") == 1


def test_a_data_folder_that_is_not_there_is_looked_for_beside_the_file(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "tune.yaml").write_text("data: leaves\n")
    _, _, err = cli("tune", "--config", "team/tune.yaml")
    assert f"no such folder: '{tmp_path}/team/leaves'" in err


def test_init_names_the_data_of_its_folder_and_overwrites_nothing(
    cli: Cli, calls: Calls, tmp_path: Path
) -> None:
    leaves = tmp_path / "leaves"
    for name in ("oak", "elm"):
        (leaves / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(leaves / name / "1.png")
    code, out, _ = cli("init", "leaves")
    assert code == 0 and "tune --config leaves/tune.yaml --model" in out
    text = (leaves / "tune.yaml").read_text()
    assert "\ndata: .\n" in text and "#lr: 0.001\n" in text
    assert cli("tune", "--config", "leaves/tune.yaml", "--model", "resnet18")[0] == 0
    [(settings, _, study)] = calls
    assert (settings.data, study) == (str(leaves), "leaves")
    code, _, err = cli("init", "leaves")
    assert code == 2 and "leaves/tune.yaml is there already" in err
    assert (leaves / "tune.yaml").read_text() == text
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a b.csv").write_text("image,label\n")
    assert cli("init", "tables")[0] == 0
    assert read_settings(tmp_path / "tables" / "tune.yaml") == {
        "data": str(tmp_path / "tables" / "a b.csv")
    }
    code, _, err = cli("init", "tables/a b.csv")
    assert code == 2 and "FOLDER must be a folder" in err
