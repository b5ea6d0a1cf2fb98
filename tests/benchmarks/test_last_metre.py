"""The benchmark of a search's end, shortened: few images and trials."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_search_is_ended_in_several_ways_and_the_table_has_them(
    shared_data: Path, tmp_path: Path
) -> None:
    for name in ("black_spot", "canker", "greening"):
        for path in sorted((shared_data / "citrus" / name).glob("*"))[::6]:
            link = tmp_path / "citrus" / name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    weights = shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth"
    command = [sys.executable, ROOT / "benchmarks/last_metre.py", "--data", tmp_path / "citrus"]
    command += [
        "--weights",
        weights,
        "--shares",
        "0.4",
        "--splits",
        "1",
        "--trials",
        "2",
        "--epochs",
        "1",
    ]
    command += ["--output", tmp_path / "last_metre.jsonl"]
    for _ in range(2):  # the second time nothing is left to do
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    fitted, random = map(json.loads, (tmp_path / "last_metre.jsonl").read_text().splitlines())
    assert (fitted["head_start"], random["head_start"]) == ("fitted", "random")
    ends = fitted["ends"]
    assert ends["as in the papers"]["folds"] == 1 and ends["and folds"]["folds"] == 5
    assert ends["and refit"]["networks"] == 1 < ends["and a team: our default"]["networks"]
    table = (tmp_path / "last_metre.md").read_text()
    assert all(f"| head fitted: {name} |" in table for name in ends)
    assert "logistic regression on the frozen features" in table
