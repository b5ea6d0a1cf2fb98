"""The BUSI benchmark, shortened: few images, trials, epochs and pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
METHODS = ["biotune", "full tuned", "probe tuned"]
METRICS = {"accuracy", "balanced_accuracy", "auc", "loss", "macro_f1", "ece"}


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def finished(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Callable[[], str]]:
    """The output of a finished run, and how to start it again."""
    folder = tmp_path_factory.mktemp("benchmark")
    for path in sorted((shared_data / "busi").glob("*/*"))[::10]:
        link = folder / "busi" / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    arguments: dict[str, object] = {
        "data": folder / "busi",
        "weights": shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth",
        "splits": 3,
        "trials": 2,
        "epochs": 1,
        "image-size": 48,
        "finalists": 1,
        "seeds": 1,
        "device": "cpu",
        "output": folder / "busi.jsonl",
    }

    def start() -> str:
        flags = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        return run("busi.py", *flags)

    start()
    return folder / "busi.jsonl", start


def cells(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_each_method_leaves_one_line_with_results_and_provenance(
    finished: tuple[Path, Callable[[], str]],
) -> None:
    assert [cell["method"] for cell in cells(finished[0])] == METHODS
    for cell in cells(finished[0]):
        chosen = cell["finalists"][0]
        assert set(chosen["val"][0]) == set(chosen["test"][0]) == METRICS
        assert all(np.isfinite(list(chosen["test"][0].values())))
        assert cell["provenance"]["packages"]["torch"]
        assert str(ROOT.parent) not in json.dumps(cell)


def test_baselines_are_tuned_with_the_work_of_the_search(
    finished: tuple[Path, Callable[[], str]],
) -> None:
    searched, *tuned = cells(finished[0])
    images = searched["search"]["images_seen"]
    assert images == 2 * searched["data"]["images"][0]
    assert [cell["search"]["images_seen"] for cell in tuned] == [images, images]
    for cell in tuned:
        [chosen] = cell["finalists"]
        assert chosen["policy"]["head"] not in (0.0, 1.0)  # of the recipe's rate
        assert 1e-6 <= chosen["recipe"]["weight_decay"] <= 1e-2


def test_a_restart_runs_what_is_missing_to_the_same_result_and_then_adds_nothing(
    finished: tuple[Path, Callable[[], str]],
) -> None:
    output, start = finished
    whole = output.read_bytes()
    output.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    said = start()
    assert "probe tuned: trial 0" in said and "full tuned: trial" not in said
    before, after = json.loads(whole.splitlines()[2]), cells(output)[2]
    assert output.read_bytes().startswith(b"".join(whole.splitlines(keepends=True)[:2]))
    for cell in (before, after):
        cell["finalists"] = [{**f, "seconds": 0} for f in cell["finalists"]]
    assert after["finalists"] == before["finalists"]
    whole = output.read_bytes()
    start()
    assert output.read_bytes() == whole


def test_the_table_shows_the_test_results_of_every_method(
    finished: tuple[Path, Callable[[], str]],
) -> None:
    output, _ = finished
    run("table.py", output)
    table = output.with_suffix(".md").read_text()
    assert "too few splits to tell" in table
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    titles = ["BioTune search", "full fine-tuning, tuned", "linear probe, tuned"]
    for title, cell in zip(titles, cells(output), strict=True):
        row = next(row for row in rows if row[0] == f"| {title}")
        accuracy = 100 * cell["finalists"][0]["test"][0]["accuracy"]
        assert row[1].startswith(f"{accuracy:.1f} [")
    assert any(row[0].startswith("| from scratch") for row in rows)


def test_intervals_cover_splits_and_seeds_and_pair_methods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from table import bootstrap

    interval = bootstrap(8, 3)
    splits = np.repeat(np.arange(8.0)[:, None], 3, axis=1)
    low, high = interval(splits)
    # Quantiles of the mean of 8 draws from 0 ... 7: 3.5 +- 1.96 * 2.29 / sqrt(8)
    assert low == pytest.approx(3.5 - 1.59, abs=0.15) and high == pytest.approx(5.09, abs=0.15)
    seeds = np.tile([0.0, 1.0, 2.0], (8, 1))
    low, high = interval(seeds)
    # 24 draws from 0, 1, 2: 1 +- 1.96 * 0.816 / sqrt(24)
    assert low == pytest.approx(0.67, abs=0.06) and high == pytest.approx(1.33, abs=0.06)
    assert interval((splits + seeds + 2) - (splits + seeds)) == (2.0, 2.0)
