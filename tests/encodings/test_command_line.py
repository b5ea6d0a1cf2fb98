"""Every encoding through the command line, on the digits and on real images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import optuna
import pytest

from optuna_layerwise.cli import main
from optuna_layerwise.encodings import ENCODINGS, Encoding
from optuna_layerwise.records.final import stored_final
from optuna_layerwise.records.run import RUN_KEY
from optuna_layerwise.storage import open_storage

Tune = Callable[..., optuna.Study]


@pytest.fixture
def tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tune:
    """Runs `optuna-layerwise tune` in an empty folder, without an error; gives its study."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> optuna.Study:
        options = ("--finalists", "1", "--final-seeds", "1", "--threads", "1", "--study", "s")
        options += ("--no-compete", "--final-folds", "1")
        monkeypatch.setattr(sys, "argv", ["optuna-layerwise", "tune", *options, *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
        storage = open_storage("sqlite:///optuna-layerwise.db")
        return optuna.load_study(study_name="s", storage=storage)

    return run


def assert_searched_and_finalized(study: optuna.Study, encoding: str, lr: float) -> None:
    """Each trial trained what its parameters mean at the recipe's rate, and one was tested."""
    blocks = study.trials[0].user_attrs[RUN_KEY]["policy"]
    meaning = Encoding.preset(encoding, blocks, lr=lr)
    for trial in study.trials:
        assert trial.distributions == meaning.search_space
        assert trial.user_attrs[RUN_KEY]["policy"] == dict(meaning.decode(trial.params))
    final = stored_final(study)
    assert final is not None
    assert final.chosen.policy in [t.user_attrs[RUN_KEY]["policy"] for t in study.trials]
    assert 0 < final.chosen.mean("accuracy", split="test") <= 1


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("encoding", "sampler"), [*zip(ENCODINGS, cycle(("tpe", "random")), strict=False)]
)
def test_every_encoding_is_searched_by_optunas_samplers(
    tune: Tune, encoding: str, sampler: str
) -> None:
    quick = ("--epochs", "1", "--trials", "3")
    study = tune("--encoding", encoding, "--sampler", sampler, *quick)
    assert_searched_and_finalized(study, encoding, lr=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["continuous", "binary", "profile"])
def test_real_images_are_searched_with_tpe(tune: Tune, encoding: str, shared_data: Path) -> None:
    study = tune(
        *("--data", str(shared_data / "citrus"), "--model", "mobilenet_v2"),
        *("--model-arg", "width_mult=0.35", "--mean", "0.5", "--std", "0.5"),
        *("--weights", str(shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth")),
        *("--image-size", "48", "--encoding", encoding, "--sampler", "tpe"),
        *("--trials", "2", "--epochs", "1"),
    )
    assert_searched_and_finalized(study, encoding, lr=1e-3)
    assert [t.user_attrs[RUN_KEY]["images_seen"] for t in study.trials] == [365, 365]
