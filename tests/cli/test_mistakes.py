"""Messages that name arguments of Python, as the command line says them."""

from __future__ import annotations

import itertools

import pytest
import typer

from optuna_layerwise.cli.app import app
from optuna_layerwise.cli.mistakes import as_typed

TUNE = typer.main.get_command(app).get_command(None, "tune")  # type: ignore[attr-defined]
FOLDERS = (
    "data_root of mine",
    "my data_root here",
    "my lr",
    "lr and val",
    "lr must be",
    "x=lr of",
)


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("n_folds must be at least 1, got 0", "--folds must be at least 1, got 0"),
        ("lr and val must be above 0", "--lr and --val must be above 0"),
        ("resize must be at least image_size (8)", "--resize must be at least --image-size (8)"),
        ("image_size of the digits must be 8", "--image-size of the digits must be 8"),
        ("unknown model 'x'", "unknown --model 'x'"),
        ("init_from: study 'x' has none", "--init-from: study 'x' has none"),
        (
            "look at it, or pass group_by=None (--group-by none)",
            "look at it, or pass --group-by none",
        ),
        ("correct image_root (--image-root)", "correct --image-root"),
        ("correct image_root (--image-size)", "correct image_root (--image-size)"),
    ],
)
def test_arguments_are_the_options_that_set_them(said: str, typed: str) -> None:
    assert as_typed(said, TUNE, ["--lr", "1"]) == typed


@pytest.mark.parametrize(
    "said",
    [
        "{}/a.csv, line 2: expected 3 cells",
        "{} must be a folder",
        "{}/a.csv must be a folder",
        "Permission denied: {}",
        "no space left for the decoded images in {}: they take 3 MB",
        "3 of 9 images are not there, got {} instead",
    ],
)
@pytest.mark.parametrize("folder", FOLDERS)
def test_words_of_a_path_are_never_translated(said: str, folder: str) -> None:
    for before, typed in itertools.product(
        ("", "../", "/home/", "/home/a b/"), ("--data={}", "{}", "--weights={}/a.csv")
    ):
        path = f"{before}{folder}"
        message = said.format(path)
        assert as_typed(message, TUNE, ["--data", typed.format(path)]) == message
