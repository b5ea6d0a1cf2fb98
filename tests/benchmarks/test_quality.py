"""The benchmark of time to quality, shortened: few images, trials, epochs and pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from benchmarks.training import quality, quality_table
from optuna_layerwise import FinetuneObjective, Recipe, load_data
from optuna_layerwise.records.final import PUBLISHED_ENDING
from optuna_layerwise.training import pretrained_digits as digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, and finished runs on it."""
    folder = tmp_path_factory.mktemp("quality")
    for name in ("benign", "malignant"):
        for path in sorted((shared_data / "busi" / name).glob("*"))[::12]:
            link = folder / "busi" / name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    start(folder, "--methods", "procedure", "--budgets", "2:1", weights=shared_data)
    start(
        folder,
        "--methods",
        "ours",
        "--seeds",
        "0",
        "1",
        "--budgets",
        "1:1",
        "3:2",
        weights=shared_data,
    )
    start(folder, "--time", weights=shared_data)
    return folder


def start(folder: Path, *more: str, weights: Path) -> None:
    arguments = ["--data", str(folder / "busi"), "--epochs", "1"]
    arguments += ["--weights", str(weights / "weights/mobilenet_v2_w035_imagenet_notop.pth")]
    arguments += ["--image-size", "32", "--output", str(folder / "out")]
    quality.main([*arguments, "--studies", str(folder / "studies"), *more])


def cell(folder: Path, name: str) -> Any:
    return json.loads((folder / "out" / f"{name}.json").read_text())


def test_each_cell_is_one_file_with_every_training_and_its_provenance(folder: Path) -> None:
    names = [f"busi-{name}-0" for name in ("ours", "procedure", "timing")]
    names.insert(1, "busi-ours-1")
    assert [path.stem for path in sorted((folder / "out").iterdir())] == names
    for name in names:
        assert cell(folder, name)["provenance"]["packages"]["torch"]
        assert str(folder) not in json.dumps(cell(folder, name))
    published, ours = (cell(folder, f"busi-{method}-0") for method in quality.METHODS)
    for trial in published["trials"]:
        assert [t["seed"] for t in trial["trainings"]] == [684, 559, 629]
        assert {t["images"] for t in trial["trainings"]} == {(published["images"][0] + 1) // 2}
    for trial in ours["trials"]:
        [training] = trial["trainings"]
        assert training["images"] == ours["images"][0]
        assert training["policy"] == trial["policy"]
        assert training["cpu_seconds"] > 0
    assert [len(final["trainings"]) for final in ours["finals"]] == [3, 6]


def test_ours_begins_with_full_fine_tuning_and_the_head_alone(folder: Path) -> None:
    first, second, _ = cell(folder, "busi-ours-0")["trials"]
    assert first["policy"] == pytest.approx([1.0] * 7)
    assert second["policy"] == pytest.approx([0.0] * 6 + [1.0])


def test_a_cell_that_is_finished_is_not_run_again(folder: Path, shared_data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    start(folder, "--budgets", "2:1", weights=shared_data)
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()} == before


def test_an_interrupted_cell_continues_to_the_same_result(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    whole = cell(folder, "busi-ours-0")
    shutil.copytree(folder / "busi", tmp_path / "busi", symlinks=True)
    arguments = ["--methods", "ours", "--data", str(tmp_path / "busi"), "--budgets"]
    start(tmp_path, *arguments, "1:1", weights=shared_data)
    (tmp_path / "out/busi-ours-0.json").unlink()
    start(tmp_path, *arguments, "3:2", weights=shared_data)
    again = cell(tmp_path, "busi-ours-0")
    assert [t["value"] for t in again["trials"]] == [t["value"] for t in whole["trials"]]
    assert again["finals"][0]["chosen"]["test"] == whole["finals"][1]["chosen"]["test"]


@pytest.mark.filterwarnings("ignore:the search starts from random weights")
def test_what_is_measured_is_what_the_objective_itself_does() -> None:
    """And a prefix is finalized alike after a longer one, from which it takes its trainings."""

    def finals(kind: type[FinetuneObjective]) -> list[Any]:
        objective = kind(
            model=digits.SPEC,
            data=load_data("digits", image_size=8),
            recipe=Recipe(epochs=1),
            device="cpu",
        )
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
        study.optimize(objective, 2)
        found = []
        for trials in (study.trials, study.trials[:1]):
            copy = optuna.create_study(direction="maximize")
            copy.add_trials(trials)
            final = objective.finalize(
                copy,
                top=2,
                seeds=(1, 2),
                references=("full", "probe", "scratch"),
                ending=PUBLISHED_ENDING,
            )
            found.append((final.chosen.policy, final.chosen.val, final.chosen.test))
            found += [(b.name, b.val, b.test) for b in final.baselines]
        return found

    assert finals(quality.Measured) == finals(FinetuneObjective)


def test_work_is_what_the_package_counts_but_for_the_cache(folder: Path) -> None:
    published, ours = (cell(folder, f"busi-{method}-0") for method in quality.METHODS)
    flops = ours["flops"]
    assert list(flops) == ours["blocks"]
    for trainings in (
        quality_table.trainings_of(published),
        ours["trials"][0]["trainings"],  # full fine-tuning
    ):
        counted = quality_table.work(flops, trainings)
        assert counted == pytest.approx(quality_table.work(flops, trainings, cached=False))
    [head] = ours["trials"][1]["trainings"]
    assert quality_table.work(flops, [head]) == head["flops"]
    train, val, _ = ours["images"]
    uncached = (train + val) * sum(flops.values()) + train * flops["head"]
    assert quality_table.work(flops, [head], cached=False) == pytest.approx(uncached)


def test_the_table_shows_the_difference_at_every_budget(folder: Path, shared_data: Path) -> None:
    start(folder, "--table", weights=shared_data)
    text = (folder / "out.md").read_text()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines()]
    by_title = {row[0]: row for row in rows if row}
    for k, title in enumerate(("1, 1", "3, 2")):
        values = [
            accuracy(cell(folder, f"busi-ours-{seed}")["finals"][k])
            - accuracy(cell(folder, "busi-procedure-0")["finals"][0])
            for seed in (0, 1)
        ]
        assert by_title[title][6].startswith(f"{np.mean(values):+.1f} [")
    assert all(name in text for name in ("on busi", "from 5 trainings", "by turns"))


def accuracy(final: Any) -> float:
    return 100 * float(np.mean([test["accuracy"] for test in final["chosen"]["test"]]))


def test_intervals_cover_what_varies_and_pair_by_set() -> None:
    sets = np.array([10.0, 50.0, 90.0])
    same = np.tile(sets[:, None, None], (1, 5, 3))
    exact = quality_table.difference(same + 2, np.tile(sets[:, None], (1, 3)))
    assert exact == pytest.approx((2, 2, 2))
    searches = same + np.arange(5.0)[:, None]
    at, low, high = quality_table.difference(searches, np.tile(sets[:, None], (1, 3)))
    # 15 draws from 0 ... 4: 2 +- 1.96 * 1.414 / sqrt(15)
    assert (at, low, high) == pytest.approx((2, 2 - 0.716, 2 + 0.716), abs=0.08)
    narrow = quality_table.fixed_sets(searches, np.tile(sets[:, None], (1, 3)))
    # Welch: standard error sqrt(2.5 / 5 * 3) / 3, 12 degrees of freedom
    assert narrow == pytest.approx((2 - 2.179 * 0.408, 2 + 2.179 * 0.408), abs=0.002)
    spread = quality_table.difference(same + sets[:, None, None], np.tile(sets[:, None], (1, 3)))
    assert spread[1] < 25 and spread[2] > 75, "sets are drawn as well"
