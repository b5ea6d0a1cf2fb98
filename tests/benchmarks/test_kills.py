"""The benchmark of kills, shortened: one kill, two epochs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_killed_trial_is_continued_and_the_loss_is_written_down(
    shared_data: Path, tmp_path: Path
) -> None:
    arguments = ["--kills", "1", "--epochs", "2", "--longest", "0.01", "--every", "0"]
    command = [sys.executable, "-m", "benchmarks.training.kills", *arguments]
    output = ["--output", str(tmp_path / "kills.json")]
    result = subprocess.run([*command, *output], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "kills.json").read_text())
    assert record["equal_weights"] and record["equal_curves"] and record["equal_images_seen"]
    [kill] = record["kills"]
    assert kill["epochs_found"] == 0 and 0 < kill["epochs_lost"] <= 1
    assert record["commit"] and record["packages"]["torch"]


def test_what_is_committed_has_20_kills_and_equal_weights() -> None:
    record = json.loads((ROOT / "benchmarks/training/results/kills.json").read_text())
    assert len(record["kills"]) == 20
    assert record["equal_weights"] and record["equal_curves"] and record["equal_images_seen"]
    assert not record["dirty"]
