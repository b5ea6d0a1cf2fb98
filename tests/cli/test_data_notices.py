"""What loading the data warned about is published wherever the result is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import DIGITS, Cli, load
from PIL import Image

from optuna_layerwise.storage import DATA_KEY

SMALL = ("--model", "digits_cnn", "--image-size", "8", "--trials", "1", "--no-live")
COPIES = "2 of 4 test images have the same content as one to train or validate on"


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Train and test folders of two colours; two test images are copies of training images."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 2)):
        for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
            folder = tmp_path / "leaves" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.clip(rng.normal(colour, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    for label in ("red", "blue"):
        shutil.copy(tmp_path / "leaves/train" / label / "3.png", tmp_path / "leaves/test" / label)
        (tmp_path / "leaves/test" / label / "1.png").unlink()
    return tmp_path / "leaves"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_warnings_about_the_data_stand_once_in_report_and_model_card(
    cli: Cli, leaking: Path
) -> None:
    with pytest.warns(UserWarning, match=COPIES):
        assert cli(*DIGITS, *SMALL, "--data", "leaves", "--no-work")[0] == 0
    assert len(load("leaves").user_attrs[DATA_KEY]["notices"]) == 1
    (leaking.parent / "moved").mkdir()
    shutil.move(leaking, leaking.parent / "moved" / "leaves")
    again = ("resume", "--study", "leaves", "--trials", "2", "--data", "moved/leaves")
    with pytest.warns(UserWarning, match=COPIES):
        assert cli(*again)[0] == 0
    (stored,) = load("leaves").user_attrs[DATA_KEY]["notices"]
    assert COPIES in stored and str(leaking.parent) not in stored
    cli("export", "--study", "leaves", "--to", "exported")
    for format in ("html", "md"):
        cli("report", "--study", "leaves", "--format", format, "-o", f"report.{format}")
    for page in ("report.html", "report.md", "exported/README.md"):
        assert Path(page).read_text().count(COPIES) == 1, page


@pytest.mark.filterwarnings("default")
def test_random_weights_are_said_where_the_result_is_published(cli: Cli) -> None:
    with pytest.warns(UserWarning, match="random weights of digits_cnn"):
        code, out, err = cli(*DIGITS, "--weights", "none", "--trials", "1", "--no-live")
    assert code == 0, err
    assert "about the network: the search starts from random weights" in out
    cli("export", "--study", "digits", "--to", "exported")
    cli("report", "--study", "digits", "--format", "md", "-o", "report.md")
    for page in ("report.md", "exported/README.md"):
        assert Path(page).read_text().count("starts from random weights of digits") == 1, page


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_warnings_about_folds_are_published_too_and_status_counts_them(
    cli: Cli, leaking: Path
) -> None:
    for label in ("red", "blue"):
        (leaking / "test" / label / "3.png").unlink()
    for index in range(4, 10):
        (leaking / "train" / "red" / f"{index}.png").unlink()
    search = (*DIGITS, *SMALL, "--data", "leaves", "--val", "0.5")
    with pytest.warns(UserWarning, match="fewer images than the 3 folds"):
        assert cli(*search, "--folds", "3")[0] == 0
    (stored,) = load("leaves").user_attrs[DATA_KEY]["notices"]
    assert stored.endswith("several folds: red")
    cli("export", "--study", "leaves", "--to", "exported")
    for format in ("html", "md"):
        cli("report", "--study", "leaves", "--format", format, "-o", f"report.{format}")
    for page in ("report.html", "report.md", "exported/README.md"):
        assert Path(page).read_text().count(stored) == 1, page
    out = cli("status")[1]
    assert "warnings about the data: leaves has 1; read them: optuna-layerwise report" in out
    assert json.loads(cli("status", "--json")[1])["notices"] == 1
