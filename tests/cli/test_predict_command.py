"""The command ``predict``: any images to a table, and no image is lost."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from commands import Cli
from exports import export_of, photos

from optuna_layerwise import ModelSpec
from optuna_layerwise.prediction import load_exported


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return export_of(ModelSpec(name="digits_cnn", weights=None), tmp_path / "exported")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_folders_and_tables_become_rows(cli: Cli, folder: Path, tmp_path: Path) -> None:
    images = photos(tmp_path / "new" / "deep", 6)
    (tmp_path / "new" / "notes.txt").write_text("no image")
    (tmp_path / "table.csv").write_text("file,age\nnew/deep/01.jpg,3\n00.png,4\n")
    code, out, _ = cli(
        *("predict", "new", str(images[0]), "table.csv", "--column", "file"),
        *("--image-root", "new/deep", "--output", "found.csv", "--threads", "1"),
    )
    rows = rows_of(tmp_path / "found.csv")
    names = [f"new/deep/{image.name}" for image in images]
    assert [row["image"] for row in rows] == [*names, str(images[0]), "00.png"]
    assert code == 0
    assert "wrote found.csv: 8 images" in out
    exported = load_exported(folder)
    probabilities = exported.predict_proba(images)
    classes, every = exported.predict(images), exported.plausible(probabilities)
    for row, said, name, plausible in zip(rows, probabilities, classes, every, strict=False):
        assert row["class"] == name
        assert float(row["probability"]) == pytest.approx(said.max(), abs=1e-6)
        assert row["plausible"] == "; ".join(plausible)
        assert row["unsure"] == ("no" if len(plausible) == 1 else "yes")
        own = [float(row[f"p({each})"]) for each in exported.classes]
        assert own == pytest.approx(said, abs=1e-6)


def test_without_a_plausible_class_the_network_is_unsure(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    export_of(ModelSpec(name="digits_cnn", weights=None), folder, plausible=1.0)
    photos(tmp_path / "new", 2)
    assert cli("predict", "new", "--output", "found.csv")[0] == 0
    rows = rows_of(tmp_path / "found.csv")
    assert [(row["unsure"], row["plausible"]) for row in rows] == [("yes", "")] * 2


def test_an_image_that_cannot_be_decoded_keeps_its_row(
    cli: Cli, folder: Path, tmp_path: Path
) -> None:
    images = photos(tmp_path / "new", 3)
    images[1].write_bytes(images[1].read_bytes()[:200])
    code, out, err = cli("predict", "new", "--top", "2")
    header, *lines = out.splitlines()
    assert header == "image,class,probability,unsure,plausible,error,class_2,probability_2"
    assert [line.split(",")[0] for line in lines] == ["new/00.png", "new/01.jpg", "new/02.png"]
    assert lines[1].startswith("new/01.jpg,,,,,")
    assert "truncated" in lines[1].lower()
    assert {line.count(",") for line in lines} == {7}
    assert code == 1
    assert "1 of 3 images cannot be decoded" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.png"], "no such image, folder or table: 'nowhere.png'"),
        (["empty"], "the folder empty has no image"),
        (["table.csv"], "has no column 'image'"),
        (["table.csv", "--column", "file"], "1 of 1 images of table.csv are not there"),
        (["new", "--top", "6"], "--top must be at most 5, got 6"),
        (["new", "--output", "found.xlsx"], "--output must end with .csv"),
        (["new", "--model", "empty"], "found no such file in empty"),
        (["new", "--device", "tpu"], "device must be"),
    ],
)
def test_a_mistake_is_one_line(
    cli: Cli, folder: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    photos(tmp_path / "new", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("file\ngone.png\n")
    code, out, err = cli("predict", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
