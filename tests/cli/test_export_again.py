"""``export`` of what was not handed over: trained again, usable, and said to be untested."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import DIGITS, Cli
from safetensors.torch import load_file

from optuna_layerwise import load_data
from optuna_layerwise.prediction import load_exported


@pytest.mark.slow
def test_a_trial_and_a_baseline_are_trained_again_and_classify(cli: Cli, tmp_path: Path) -> None:
    assert cli(*DIGITS, "--trials", "2", "--epochs", "5")[0] == 0
    for to in ("one", "two"):
        words = ("--trial", "1", "--train", "--baseline", "full", "--to", to, "--threads", "1")
        code, out, _ = cli("export", "--study", "digits", *words)
        assert code == 0
        assert f"{to}/trial-1/model.safetensors" in out
    test = load_data("digits", image_size=8).test.open()
    for name in ("trial-1", "full"):
        folder = tmp_path / "one" / name
        exported = load_exported(folder)
        said = exported.predict_proba(list(test.batch())).argmax(axis=1)
        assert (said == test.labels).mean() > 0.6
        assert 0 < exported.network.plausible < 1  # type: ignore[operator]
        assert "**This network was not tested.**" in (folder / "README.md").read_text()
        first, second = (
            load_file(tmp_path / to / name / "model.safetensors") for to in ("one", "two")
        )
        assert all(first[tensor].equal(second[tensor]) for tensor in first)
    code, out, _ = cli("export", "--study", "digits", "--all-finalists", "--to", "all")
    assert code == 0
    assert {"full", "lp-ft", "probe-fitted"} < {path.name for path in (tmp_path / "all").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train"], "--train is for --trial N"),
        (["--baseline", "fulll"], "--baseline must be one of"),
        (["--baseline", "full", "--result", "1"], "--result is for the network that was found"),
        (["--trial", "7", "--train"], "has no trial 7 that trained something; it has 1 trials"),
        (["--device", "cpu"], "--device is for networks that are trained again"),
        (["--all-finalists"], "has no finalists yet; finalize it first"),
        (["--trial", "0", "--format", "onnx"], "the plan alone is written, unless --train"),
    ],
)
def test_what_cannot_be_trained_again_is_one_line(
    cli: Cli, words: list[str], message: str
) -> None:
    cli(*DIGITS, "--trials", "1", "--no-finalize")
    code, _, err = cli("export", "--study", "digits", *words)
    assert code == 2
    assert message in err
