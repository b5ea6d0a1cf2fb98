"""The tour of the command line in docs/commands.md runs, on the digits in the place of leaves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pages import PAGES, blocks, commands
from PIL import Image

from optuna_layerwise.cli import main

LEAVES = [
    "--data",
    "leaves/",
    "--model",
    "resnet18",
    "--epochs",
    "10",
    "--study",
    "leaves",
]
DIGITS = [
    "--data",
    "digits",
    "--epochs",
    "1",
    "--trials",
    "4",
    "--finalists",
    "1",
    "--final-seeds",
    "2",
    "--threads",
    "1",
]
SERVERS = ("launch", "dashboard", "bench")
"""Start processes, listen, or take minutes; their own tests run them."""


def _tour() -> list[list[str]]:
    page = PAGES["docs/commands.md"]
    [tour] = [b for b in blocks(page) if "optuna-layerwise tune --data" in b.text]
    return [words for words in commands(tour.text) if words[0] not in SERVERS]


def test_the_tour_begins_with_the_leaves_and_passes_every_command() -> None:
    first, *others = _tour()
    assert first == ["tune", *LEAVES]
    asked = [words[0] for words in others]
    assert set(asked) == {
        *(
            "blocks",
            "status",
            "pause",
            "resume",
            "finalize",
            "report",
            "compare",
            "export",
            "predict",
            "replay",
            "doctor",
        ),
    }


@pytest.mark.slow
def test_the_tour_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTUNA_LAYERWISE_STORAGE", "sqlite:///tune.db")

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["optuna-layerwise", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, (words, capsys.readouterr().err)

    (tmp_path / "new").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "new" / "leaf.png")
    for seed in "01":  # other methods and seeds, to compare
        run("tune", *DIGITS, "--study", f"leaves-{seed}", "--seed", seed)
        run("tune", *DIGITS, "--study", f"tpe-{seed}", "--seed", seed, "--sampler", "tpe")
    for words in [["tune", *DIGITS, "--study", "leaves"], *_tour()[1:]]:
        run(*words)
    assert (tmp_path / "leaves.html").stat().st_size > 4_000_000
    assert "new/leaf.png" in (tmp_path / "predictions.csv").read_text()
