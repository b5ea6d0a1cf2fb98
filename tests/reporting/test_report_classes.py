"""Single classes and images in a report: the numbers of a small file, or that it is gone."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import optuna
import pytest
from markdown_it import MarkdownIt
from report_studies import (
    HOSTILE,
    a_hostile_study,
    a_study,
    keep_predictions,
    predictions_of_a_team,
)
from test_report import Page

from optuna_layerwise.analysis.history import read
from optuna_layerwise.analysis.per_class import calibration, per_class
from optuna_layerwise.records.predictions import Predictions
from optuna_layerwise.reporting.report import report
from optuna_layerwise.reporting.report_blocks import blocks_section
from optuna_layerwise.reporting.report_facts import facts
from optuna_layerwise.visualization.block_importance import freeze_effects

LABELS = [0] * 40 + [1] * 40 + [2] * 4
ANSWERS = [0] * 38 + [1] * 2 + [1] * 40 + [1] * 3 + [2]


def small() -> Predictions:
    """Ten images of the last class to learn from, and three of four called another one."""
    probabilities = np.full((len(LABELS), 3), 0.05, np.float32)
    probabilities[np.arange(len(LABELS)), ANSWERS] = 0.9
    return Predictions(
        classes=np.array(["good", "ill", "rare"]),
        names=np.array([f"{i}.png" for i in range(len(LABELS))]),
        labels=np.array(LABELS),
        probabilities=probabilities,
        labelled=np.array([100, 90, 10]),
        pictured=np.array([38]),
        thumbnails=np.zeros((1, 8, 8, 3), np.uint8),
    )


def said(predictions: Predictions, folder: Path, **options: bool) -> str:
    study = a_study()
    keep_predictions(study, predictions, folder / "best.predictions.npz")
    return Page(report(study, **options)).words


def test_recall_precision_and_f1_are_those_of_the_counts() -> None:
    results = per_class(small())
    assert results.recall.values == pytest.approx([38 / 40, 1, 1 / 4])
    assert results.precision.values == pytest.approx([1, 40 / 45, 1])
    assert results.f1.values == pytest.approx([76 / 78, 80 / 85, 2 / 5])
    assert results.taken_for(2) == (1, 3)
    assert results.mistaken_for_it(1) == (2, 3)
    rare = results.recall.at(2)
    assert rare is not None
    assert (rare.low, rare.high) == pytest.approx((0.0456, 0.6994), abs=1e-4)  # Wilson's tables
    for shares in (results.recall, results.precision, results.f1):
        assert (shares.low < shares.high).all()
        assert ((shares.low <= shares.values) & (shares.values <= shares.high)).all()


def test_the_calibration_error_is_the_gap_between_words_and_deeds() -> None:
    found = calibration(small())
    assert [each.images for each in found.bins] == [84]
    assert found.error == pytest.approx(0.9 - 79 / 84, abs=1e-6) or found.error == pytest.approx(
        79 / 84 - 0.9, abs=1e-6
    )


def test_a_weak_class_has_a_sentence_that_says_what_it_lacks(tmp_path: Path) -> None:
    text = said(small(), tmp_path)
    for expected in (
        "“rare” is found too rarely: 1 of its 4 test images, recall 0.250 (0.046 to 0.699); the "
        "most frequent wrong answer is “ill” (3).",
        "It has 10 labelled images, and the median class has 90: more of them",
        "“ill” is answered too often: 5 of 45 such answers are wrong",
        "Little can be said of classes with fewer than 10 test images: rare (4).",
        "90.0% on average, and 94.0% of them are right: these images cannot tell the two apart.",
        "5 of 84 test images are answered wrong.",
        "38.png",
    ):
        assert expected in text
    even = dataclasses.replace(small(), labels=np.array(ANSWERS))
    assert "No class is weak" in said(even, tmp_path)


def test_large_numbers_of_classes_stay_readable(tmp_path: Path) -> None:
    text = said(predictions_of_a_team(200, 900), tmp_path)
    assert "The 20 of 200 classes that take part in most mistakes are shown." in text
    assert "The 160 classes with larger F1 are left out." in text
    assert re.search(r"\d+ more classes are weak", text)


def test_a_file_that_is_gone_or_has_changed_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    study, path = a_study(), tmp_path / "best.predictions.npz"
    keep_predictions(study, small(), path)
    path.write_bytes(path.read_bytes() + b" ")
    for _ in range(2):
        text = Page(report(study)).words
        assert "The predictions of the test images are not where they were saved" in text
        assert "Test results: found policy and baselines" in text
        assert "38.png" not in text
        path.unlink(missing_ok=True)


def test_images_are_shown_only_where_they_may_be(tmp_path: Path) -> None:
    study = a_study()
    keep_predictions(study, small(), tmp_path / "best.predictions.npz")
    with_images, without = report(study), report(study, images=False)
    [picture] = [attrs for tag, attrs in Page(with_images).tags if tag == "img"]
    assert (picture["src"] or "").startswith("data:image/png;base64,")
    assert "<img" not in without and "data:image" not in report(study, format="md")
    assert "38.png" in without and "38.png" in report(study, format="md")


def test_names_in_the_file_are_text(tmp_path: Path) -> None:
    study = a_hostile_study()
    names = {"class_name": HOSTILE[:40], "image_name": HOSTILE[:40]}
    keep_predictions(study, predictions_of_a_team(30, 300, **names), tmp_path / "p.npz")
    page = Page(report(study))
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    sources = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    scripts = [attrs for tag, attrs in page.tags if tag == "script" and not attrs.get("type")]
    assert len(scripts) == 2  # plotly and ours
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(report(study, format="md"))
    kinds = {child.type for token in tokens for child in [token, *(token.children or [])]}
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "em_open"})


def test_a_block_is_told_only_where_its_interval_leaves_zero_out() -> None:
    study = optuna.create_study(direction="maximize")
    trials = a_study(40, final=False).get_trials()
    rng = np.random.default_rng(0)
    for trial in trials:
        policy = trial.user_attrs["olw:run"]["policy"]
        trial.value = 0.5 + 0.3 * (policy["stem"] > 0) + 0.01 * float(rng.normal())
    study.add_trials(trials)
    section = blocks_section(facts(study))
    [grid] = section.grids
    told = {row[0]: row[1] for row in grid.rows}
    assert told["stem"] == "better trained"
    assert told["head"] == "cannot be told", "it is never frozen"
    for block, (change, half) in freeze_effects(read(study)).items():
        assert (told[block] == "cannot be told") == (half >= abs(change))
    assert section.paragraphs[0].startswith("Trials that train stem are better")


def test_trials_of_one_value_tell_nothing_of_any_block() -> None:
    """Means of equal values differ in their last bits."""
    study = optuna.create_study(direction="maximize")
    trials = a_study(30, final=False).get_trials()
    for trial in trials:
        trial.value = 0.7540983606557377
    study.add_trials(trials)
    [words] = blocks_section(facts(study)).paragraphs
    assert (
        words == "These trials cannot tell for any block whether it is better trained or frozen."
    )
