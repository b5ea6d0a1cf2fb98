"""The benchmark of encodings, shortened: few images, trials, epochs and pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHODS = ["biotune", "binary", "continuous", "profile-default"]
PROBE = "logistic regression on the frozen features, recipe's rate"
pytestmark = pytest.mark.slow


def start(folder: Path, shared_data: Path, *more: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks/encodings.py"), "--data", folder / "citrus"]
    command += ["--weights", shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth"]
    command += ["--seeds", "3", "--trials", "2", "--epochs", "1", "--image-size", "48"]
    command += ["--final-seeds", "1", "--output", folder / "encodings.jsonl"]
    command += ["--studies", folder / "studies", "--methods", *METHODS, *more]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def finished(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    for name in ("black_spot", "canker", "greening"):
        for path in sorted((shared_data / "citrus" / name).glob("*"))[::8]:
            link = folder / "citrus" / name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    start(folder, shared_data)
    return folder


def cells(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "encodings.jsonl").read_text().splitlines()]


def test_each_method_leaves_one_line_with_results_and_provenance(finished: Path) -> None:
    assert [cell["method"] for cell in cells(finished)] == METHODS
    for cell in cells(finished):
        [finalist], search = cell["finalists"], cell["search"]
        assert len(finalist["val"]) == len(finalist["test"]) == 1
        assert len(search["values"]) == search["outcomes"]["complete"] == 2
        assert cell["provenance"]["packages"]["torch"]
        assert str(finished) not in json.dumps(cell) and str(ROOT.parent) not in json.dumps(cell)


def test_methods_see_equally_many_images_and_have_the_same_references(finished: Path) -> None:
    first, *others = cells(finished)
    for cell in others:
        assert cell["search"]["images_seen"] == first["search"]["images_seen"] > 0
        assert cell["data_fingerprint"] == first["data_fingerprint"]
        assert [r["test"] for r in cell["references"]] == [r["test"] for r in first["references"]]


def test_known_recipes_come_first_where_they_are_added(finished: Path) -> None:
    shares = [cell["search"]["trained_share"] for cell in cells(finished)]
    assert shares[3][0] == 1.0 and shares[3][1] < 0.05, "full fine-tuning, then the head alone"
    assert shares[0][:2] != shares[3][:2] != shares[1][:2]


def test_a_restart_runs_what_is_missing_alone(finished: Path, shared_data: Path) -> None:
    output = finished / "encodings.jsonl"
    whole = output.read_text()
    output.write_text("".join(whole.splitlines(keepends=True)[:3]))
    said = start(finished, shared_data)
    assert "profile-default: done" in said and "binary: done" not in said
    assert (
        cells(finished)[3]["search"]["values"]
        == json.loads(whole.splitlines()[3])["search"]["values"]
    )
    whole = output.read_text()
    start(finished, shared_data)
    assert output.read_text() == whole


def test_the_table_compares_the_test_results_with_those_of_biotune(finished: Path) -> None:
    rows = [
        [part.strip() for part in line.split("|")[1:-1]]
        for line in (finished / "encodings.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    by_title = {row[0]: row for row in rows if len(row) == 5}
    accuracy = [100 * cell["finalists"][0]["test"][0]["accuracy"] for cell in cells(finished)]
    titles = ["BioTune", "CatCMAwM, plain, binary", "CatCMAwM, plain, continuous"]
    titles.append("CatCMAwM, profile")
    for title, value in zip(titles, accuracy, strict=True):
        assert by_title[title][1] == f"{value:.1f}"
    difference = accuracy[3] - accuracy[0]
    assert by_title[titles[3]][3].startswith(f"{difference:+.1f} [")
    assert {"full fine-tuning, recipe's rate", PROBE} <= by_title.keys()
