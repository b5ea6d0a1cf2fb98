from __future__ import annotations

import math
import warnings
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from optuna_layerwise.data import Images
from optuna_layerwise.recipe import Metric
from optuna_layerwise.tasks import Classification
from optuna_layerwise.tasks.classification_metrics import METRICS, classification_metrics
from optuna_layerwise.training import higher_is_better
from optuna_layerwise.training.metrics import check_metric, improves

# Three classes by hand: argmax is 0, 1, 0, 2, 2 for the labels 0, 1, 1, 2, 2.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]
)
LABELS = np.array([0, 1, 1, 2, 2])


def test_values_equal_those_by_hand() -> None:
    metrics = classification_metrics(np.log(PROBABILITIES), LABELS)
    assert tuple(metrics) == METRICS
    assert metrics["accuracy"] == pytest.approx(4 / 5)
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert metrics["loss"] == pytest.approx(-np.log([0.7, 0.8, 0.3, 0.6, 0.8]).mean())
    # Every class's images outrank the others in that class's column.
    assert metrics["auc"] == pytest.approx(1.0)
    # Of one image each: answered with .7, .8 and .6 twice (once in vain), and with .8.
    assert metrics["ece"] == pytest.approx((0.3 + 2 * 0.2 + abs(1 - 2 * 0.6)) / 5)


@pytest.mark.parametrize("seed", range(5))
def test_values_equal_those_of_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(60, 4)).round(seed), np.arange(60) % 4  # 0: many ties
    probabilities = torch.as_tensor(logits).softmax(dim=1).numpy()
    metrics = classification_metrics(torch.as_tensor(logits), torch.as_tensor(labels))
    assert metrics["loss"] == pytest.approx(log_loss(labels, probabilities))
    assert metrics["auc"] == pytest.approx(
        roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )
    assert metrics["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels, logits.argmax(axis=1))
    )
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(labels, logits.argmax(axis=1), average="macro")
    )
    kept = labels != 2  # still answered: the mean is over the classes that occur
    with pytest.warns(UserWarning, match=r"classes \[2\] have no image"):
        metrics = classification_metrics(logits[kept], labels[kept])
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(labels[kept], logits[kept].argmax(axis=1), average="macro", labels=[0, 1, 3])
    )


def test_the_calibration_error_is_the_gap_in_each_of_15_bins_weighted_by_its_images() -> None:
    rng = np.random.default_rng(0)
    positive = rng.uniform(0.5, 1, 400)
    hits = rng.random(400) < positive**2  # overconfident
    logits = np.log(np.stack([1 - positive, positive], axis=1))
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (positive > low) & (positive <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(hits[inside].mean() - positive[inside].mean())
    assert expected > 0.1
    assert classification_metrics(logits, hits.astype(int))["ece"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_binary_auc_equals_that_of_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(40, 2)).round(seed), np.arange(40) % 3 % 2
    positive = torch.as_tensor(logits).softmax(dim=1).numpy()[:, 1]
    auc = classification_metrics(logits, labels)["auc"]
    assert auc == pytest.approx(roc_auc_score(labels, positive))


def test_binary_auc_is_the_plain_one() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    positive = np.array([0.1, 0.6, 0.5, 0.7, 0.9])
    metrics = classification_metrics(np.log(np.stack([1 - positive, positive], axis=1)), labels)
    assert metrics["auc"] == pytest.approx(5 / 6)  # one of the 6 pairs is in the wrong order


def test_one_hot_accuracy_of_an_unbalanced_split_is_not_balanced_accuracy() -> None:
    logits = np.tile([1.0, 0.0], (10, 1))
    metrics = classification_metrics(logits, np.array([0] * 9 + [1]))
    assert metrics["accuracy"] == pytest.approx(0.9)
    assert metrics["balanced_accuracy"] == pytest.approx(0.5)
    assert metrics["auc"] == pytest.approx(0.5)


def test_absent_classes_are_skipped_with_one_warning() -> None:
    keep = LABELS != 0
    with pytest.warns(UserWarning, match=r"classes \[0\] have no image") as record:
        metrics = classification_metrics(np.log(PROBABILITIES[keep]), LABELS[keep])
    assert len(record) == 1
    assert metrics["balanced_accuracy"] == pytest.approx(3 / 4)
    # Class 1 scores .8 and .3 against .2 and .1, class 2 .6 and .8 against .1 and .1.
    assert metrics["auc"] == pytest.approx(1.0)


def test_auc_of_one_class_is_nan_and_the_rest_is_not() -> None:
    with pytest.warns(UserWarning, match="auc is NaN") as record:
        metrics = classification_metrics(np.log(PROBABILITIES[3:]), LABELS[3:])
    assert len(record) == 1
    assert math.isnan(metrics["auc"])
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_logit_that_is_not_finite_makes_every_metric_nan(bad: float) -> None:
    logits = np.log(PROBABILITIES)
    logits[2, 1] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = classification_metrics(logits, LABELS)
    assert all(math.isnan(value) for value in metrics.values())


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, dtype=np.int64), "at least one"),
        (np.zeros((4, 3)), np.zeros(5, dtype=np.int64), r"\(4, 3\) and \(5,\)"),
        (np.zeros((4, 3)), np.full(4, 3), r"0\.\.2 for 3 logits, got 3\.\.3"),
    ],
)
def test_what_does_not_fit_is_named(logits: object, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(logits, labels)  # type: ignore[arg-type]


def test_only_losses_are_minimised_and_ties_and_nan_do_not_improve() -> None:
    assert {*Classification().choices} == set(METRICS) - {"ece"} < set(get_args(Metric))
    assert [m for m in get_args(Metric) if not higher_is_better(m)] == ["loss", "mae"]
    assert improves("loss", 0.1, 0.2) and not improves("loss", 0.2, 0.1)
    assert improves("auc", 0.2, 0.1) and not improves("auc", 0.1, 0.2)
    assert improves("auc", 0.0, None) and not improves("auc", math.nan, None)
    assert not improves("accuracy", 0.5, 0.5) and not improves("loss", 0.5, 0.5)


def test_classes_without_an_image_are_named_before_a_training() -> None:
    def val(*labels: int) -> Images:
        pixels = np.zeros((len(labels), 2, 2, 3), np.uint8)
        names = tuple(map(str, range(len(labels))))
        return Images(pixels, np.array(labels), ("oak", "elm", "yew"), names)

    with pytest.warns(UserWarning, match=r"no image of the classes \['yew'\]: auc skips them"):
        check_metric("auc", val(0, 1))
    with pytest.raises(ValueError, match=r"needs at least two classes .* got only \['elm'\]"):
        check_metric("auc", val(1, 1))
    check_metric("accuracy", val(1))
    with pytest.warns(UserWarning, match=r"classes \['yew'\] have no image here: auc skips"):
        classification_metrics(np.eye(3)[:2], np.array([0, 1]), ("oak", "elm", "yew"))
