"""The command line's options for data: by name, from tables, in shares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import DIGITS, Cli, load
from PIL import Image
from torchvision import datasets

from optuna_layerwise.cli.worker import Worker
from optuna_layerwise.experiments.repeating import tune_command_of
from optuna_layerwise.experiments.settings import SETTINGS_KEY, Settings

SMALL = ("--model", "digits_cnn", "--image-size", "8", "--trials", "1")


@pytest.fixture
def ham(tmp_path: Path) -> Path:
    """HAM10000 in miniature: 30 lesions of two colours, with two images each."""
    root, rng = tmp_path / "ham", np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    lines = ["lesion_id,image_id,dx"]
    for image in range(60):
        dx, colour = (("nv", (200, 40, 40)), ("mel", (40, 40, 200)))[image // 2 % 2]
        pixels = np.clip(rng.normal(colour, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"ISIC_{image}.png")
        lines.append(f"HAM_{image // 2},ISIC_{image},{dx}")
    (root / "HAM10000_metadata.csv").write_text("\n".join([*lines, ""]))
    return root


@pytest.mark.slow
def test_a_data_set_by_name_is_found_in_its_root_wherever_that_is_now(cli: Cli, ham: Path) -> None:
    named = ("--data", "ham10000", "--data-root", "ham")
    code, out, err = cli(*DIGITS, *SMALL, *named)
    assert (code, err) == (0, "")
    assert "36 training, 12 validation and 12 test images of 2 classes" in out
    stored = json.loads(load("ham10000").user_attrs[SETTINGS_KEY])
    assert stored["data"] == "ham10000"
    assert stored["data_root"] == str(ham)
    assert "download" not in stored
    ham.rename(ham.parent / "moved")
    resume = ("resume", "--study", "ham10000", "--trials", "2")
    code, _, err = cli(*resume)
    assert code == 2
    assert f"ham10000 is not in {ham}" in err
    assert cli(*resume, "--data-root", "moved")[0] == 0
    assert len(load("ham10000").trials) == 2


@pytest.mark.slow
def test_a_table_with_its_columns_groups_share_and_resize(cli: Cli, ham: Path) -> None:
    text = (ham / "HAM10000_metadata.csv").read_text()
    lines = [line.replace("ISIC", "images/ISIC") for line in text.splitlines()]
    lines = [line.replace(",nv", ".png,nv").replace(",mel", ".png,mel") for line in lines]
    (ham / "mine.csv").write_text("\n".join([*lines, ""]))
    table = ("--data", "ham/mine.csv", "--column", "image=image_id", "--column", "label=dx")
    shares = ("--val", "0.1", "--test", "0.1", "--train-fraction", "0.5", "--resize", "9")
    code, out, err = cli(*DIGITS, *SMALL, *table, *shares, "--group-by", "lesion_id")
    assert (code, err) == (0, "")
    assert "24 training, 6 validation and 6 test" in out
    settings = Settings.from_study(load("mine"))
    assert settings.columns == {"image": "image_id", "label": "dx"}
    assert (settings.group_by, settings.train_fraction, settings.resize) == ("lesion_id", 0.5, 9)
    assert settings.load().fingerprint == settings.data_fingerprint
    code, _, err = cli(*DIGITS, *SMALL, *table, *shares, "--group-by", "none")
    assert code == 2
    assert "--group-by is lesion_id there and None here" in err


@pytest.mark.slow
def test_images_of_a_table_are_found_in_their_roots_wherever_these_are_now(
    cli: Cli, ham: Path
) -> None:
    for part in ("part_1", "part_2"):
        (ham / part).mkdir()
    for index, image in enumerate(sorted((ham / "images").iterdir())):
        image.rename(ham / f"part_{index % 2 + 1}" / image.name)
    table = ("--data", "ham/HAM10000_metadata.csv", "--column", "image=image_id")
    table += ("--column", "label=dx", "--group-by", "lesion_id", "--study", "ham")
    code, _, err = cli(*DIGITS, *SMALL, *table)
    assert code == 2 and "--image-root" in err
    roots = ("--image-root", "ham/part_1", "--image-root", "ham/part_2")
    code, out, err = cli(*DIGITS, *SMALL, *table, *roots)
    assert (code, err) == (0, "")
    assert "36 training, 12 validation and 12 test images of 2 classes" in out
    settings = Settings.from_study(load("ham"))
    assert settings.image_root == (str(ham / "part_1"), str(ham / "part_2"))
    repeated = tune_command_of(settings, "sqlite:///x.db", "again")
    assert f"--image-root {ham}/part_1 --image-root {ham}/part_2" in repeated
    moved = ham.parent / "moved"
    moved.mkdir()
    for part in ("part_1", "part_2"):
        (ham / part).rename(moved / part)
    code, _, err = cli("resume", "--study", "ham", "--trials", "2")
    assert code == 2 and "no such folder of images" in err
    worker = Worker(study="ham", storage="sqlite:///x.db", image_root=["moved", "b"])
    assert {"--image-root=moved", "--image-root=b"} < set(worker.arguments())
    assert cli("resume", "--study", "ham", "--trials", "2", "--image-root", "moved")[0] == 0
    assert len(load("ham").trials) == 2
    assert Settings.from_study(load("ham")).image_root == (str(moved),)


@pytest.mark.slow
def test_launch_tells_its_workers_where_the_images_are_now(cli: Cli, ham: Path) -> None:
    table = ("--data", "ham/HAM10000_metadata.csv", "--column", "image=image_id")
    table += ("--column", "label=dx", "--group-by", "lesion_id", "--image-root", "ham/images")
    assert cli(*DIGITS, *SMALL, *table, "--study", "ham", "--no-work")[0] == 0
    (ham / "images").rename(ham.parent / "moved")
    launch = ("launch", "--study", "ham", "--workers", "1", "--restarts", "0", "--no-finalize")
    code, out, _ = cli(*launch, "--image-root", "moved")
    assert code == 0, out
    assert [trial.state.name for trial in load("ham").trials] == ["COMPLETE"]


@pytest.mark.slow
def test_the_papers_split_and_a_changed_one(cli: Cli, ham: Path) -> None:
    paper = ("--data", "ham10000", "--data-root", "ham", "--paper-split")
    code, out, _ = cli(*DIGITS, *SMALL, *paper, "--train-fraction", "0.4")
    assert code == 0
    assert "24 training, 12 validation and 24 test" in out
    code, _, err = cli(*DIGITS, *SMALL, *paper, "--train-fraction", "0.2")
    assert code == 2
    assert "--train-fraction is 0.4 there and 0.2 here" in err


@pytest.mark.slow
def test_a_study_of_before_these_options_goes_on(cli: Cli, ham: Path) -> None:
    cli(*DIGITS, "--trials", "1")
    study = load("digits")
    stored = json.loads(study.user_attrs[SETTINGS_KEY])
    later = ("data_root", "columns", "group_by", "train_fraction", "paper_split", "resize")
    earlier = {name: value for name, value in stored.items() if name not in later}
    assert len(earlier) == len(stored) - len(later)
    study.set_user_attr(SETTINGS_KEY, json.dumps(earlier))
    assert cli("resume", "--study", "digits", "--trials", "2")[0] == 0
    assert len(load("digits").trials) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_study_of_before_groups_were_found_keeps_its_splits_and_a_new_one_finds_them(
    cli: Cli, ham: Path
) -> None:
    text = (ham / "HAM10000_metadata.csv").read_text().replace("image_id,dx", "image,label")
    text = text.replace("ISIC", "images/ISIC").replace(",nv", ".png,nv")
    (ham / "mine.csv").write_text(text.replace(",mel", ".png,mel"))
    table = (*DIGITS, *SMALL, "--data", "ham/mine.csv")
    assert cli(*table, "--study", "new")[0] == 0
    assert cli(*table, "--study", "old", "--group-by", "none")[0] == 0
    new, old = (Settings.from_study(load(name)) for name in ("new", "old"))
    assert (new.group_by, new.group_rule) == ("auto", 2)
    assert old.data_fingerprint != new.data_fingerprint
    study = load("old")
    stored = {**json.loads(study.user_attrs[SETTINGS_KEY]), "group_by": "auto"}
    del stored["group_rule"]
    study.set_user_attr(SETTINGS_KEY, json.dumps(stored))
    code, _, err = cli("resume", "--study", "old", "--trials", "2")
    assert code == 0, err
    code, _, err = cli(*table, "--study", "old", "--trials", "3")
    assert code == 0, err
    assert Settings.from_study(load("old")).data_fingerprint == old.data_fingerprint
    assert cli("resume", "--study", "new", "--trials", "2")[0] == 0


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--data", "cifar10"), "cifar10 needs root (--data-root)"),
        (("--data", "cifar10", "--data-root", "here"), "--download"),
        (("--data", "cifar10", "--data-root", "here", "--download"), "cannot download cifar10"),
        (("--data", "gone.csv"), "no such file"),
        (("--data-root", "here"), "--data-root="),
        (("--train-fraction", "0"), "--train-fraction must be above 0"),
        (("--resize", "7"), "--resize must be at least --image-size"),
        (("--paper-split",), "--paper-split cuts one pool"),
    ],
)
def test_a_mistake_with_data_is_one_line(
    arguments: tuple[str, ...], expected: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/nothing-listens.tar.gz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    code, _, err = cli(*DIGITS, *SMALL, *arguments)
    assert code == 2
    assert err.startswith("error: ") and expected in err
    assert len(err.strip().splitlines()) == 1
