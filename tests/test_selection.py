"""Which candidates become a team, and what is promised of the best, against plain loops."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from optuna_layerwise.objective.selection import (
    LEAST_IN_A_BAG,
    bias_corrected,
    lead,
    select_members,
)
from optuna_layerwise.recipe import Metric
from optuna_layerwise.tasks import Classification
from optuna_layerwise.tasks.classification_metrics import classification_metrics, weighted_scores

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
METRICS: tuple[Any, ...] = Classification().choices


def candidates(
    k: int, n: int, classes: int, seed: int, skill: float = 1.0
) -> tuple[Floats, Labels]:
    """Probabilities that know something of the labels, with ties among them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(k, n, classes))
    logits[:, np.arange(n), labels] += skill
    logits[:, -2:] = logits[:, :2]
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), labels


def log_loss(probabilities: list[list[float]], labels: Labels) -> float:
    return sum(-math.log(row[y]) for row, y in zip(probabilities, labels, strict=True)) / len(
        labels
    )


def mean_of(team: list[Floats]) -> list[list[float]]:
    return [
        [sum(p) / len(team) for p in zip(*rows, strict=True)] for rows in zip(*team, strict=True)
    ]


def plainly_selected(
    probabilities: Floats, labels: Labels, n_rounds: int, start: int, bags: list[list[int]]
) -> list[float]:
    weights = [0.0] * len(probabilities)
    for bag in bags:
        alone = {i: log_loss(probabilities[i].tolist(), labels) for i in bag}
        team = sorted(bag, key=alone.__getitem__)[:start]
        best = (log_loss(mean_of([probabilities[i] for i in team]), labels), list(team))
        for _ in range(n_rounds):
            tried = [
                (log_loss(mean_of([probabilities[i] for i in [*team, new]]), labels), new)
                for new in bag
            ]
            loss, new = min(tried)
            team.append(new)
            best = min(best, (loss, list(team)), key=lambda found: found[0])
        for i in best[1]:
            weights[i] += 1 / len(best[1]) / len(bags)
    return weights


@pytest.mark.parametrize(("k", "start"), [(4, 5), (12, 2)])
def test_selection_is_the_plain_loop_over_bags(k: int, start: int) -> None:
    probabilities, labels = candidates(k, 20, 3, seed=k)
    rng = np.random.default_rng(7)
    size = min(k, max(LEAST_IN_A_BAG, (k + 1) // 2))
    bags = [sorted(rng.permutation(k)[:size].tolist()) for _ in range(6)]
    expected = plainly_selected(probabilities, labels, 8, start, bags)
    found = select_members(probabilities, labels, n_rounds=8, start=start, n_bags=6, seed=7)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert found.sum() == pytest.approx(1) and np.count_nonzero(found) > 1


def test_a_selected_team_is_better_than_its_best_member() -> None:
    probabilities, labels = candidates(12, 300, 4, seed=1)
    weights = select_members(probabilities, labels)
    team = np.tensordot(weights, probabilities, axes=1)[np.arange(300), labels]
    alone = probabilities[:, np.arange(300), labels]
    assert -np.log(team).mean() < -np.log(alone).mean(axis=1).min() - 0.1


def test_of_equal_candidates_the_earlier_is_chosen_and_a_broken_one_never() -> None:
    probabilities, labels = candidates(1, 30, 3, seed=0)
    [good] = probabilities
    broken = good.copy()
    broken[3, 1] = np.nan
    worse = np.full_like(good, 1 / 3)
    found = select_members(np.array([broken, worse, good, good]), labels, start=1, n_bags=1)
    assert found[[0, 1]].tolist() == [0, 0] and found[2:].sum() == 1
    both = np.array([broken, good, good])
    assert select_members(both, labels, start=2, n_rounds=0).tolist() == [0, 0.5, 0.5]
    assert select_members(both, labels, start=1).tolist() == [0, 1, 0]
    everyone = select_members(both[[1, 2]], labels, start=2, n_rounds=3)
    assert everyone.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="none of 1 candidates"):
        select_members(broken[None], labels)


def test_a_probability_of_zero_is_no_infinite_loss() -> None:
    sure = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.6, 0.4], [0.4, 0.6]]])
    weights = select_members(sure, np.array([0, 1]), n_rounds=30, start=1, n_bags=40)
    assert np.isfinite(weights).all() and weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.filterwarnings("ignore:classes .* have no image")
def test_weighted_scores_are_the_metrics_of_the_images_that_often(classes: int) -> None:
    probabilities, labels = candidates(3, 25, classes, seed=classes)
    labels[:2], labels[2:] = 0, np.maximum(labels[2:], 1)
    weights = np.random.default_rng(0).integers(0, 4, size=(6, 25)).astype(float)
    weights[0], weights[1, :2] = 1, 0  # all of them; none of class 0
    for metric in METRICS:
        found = weighted_scores(probabilities, labels, metric, weights)
        for row, counts in zip(found, weights.astype(int), strict=True):
            rows = np.repeat(np.arange(25), counts)
            for value, candidate in zip(row, probabilities, strict=True):
                expected = classification_metrics(np.log(candidate[rows]), labels[rows])[metric]
                assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.filterwarnings("ignore:classes .* have no image")
def test_the_promise_is_the_plain_loop_over_resamples(metric: Metric) -> None:
    probabilities, labels = candidates(5, 40, 3, seed=3)
    groups = np.random.default_rng(4).integers(15, size=40)
    names = np.unique(groups)
    rng, scores = np.random.default_rng(9), []
    sign = -1 if metric == "loss" else 1
    for _ in range(30):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))
        times = drawn[np.searchsorted(names, groups)]

        def score(candidate: Floats, rows: NDArray[np.intp]) -> float:
            return classification_metrics(np.log(candidate[rows]), labels[rows])[metric]

        rows, left_out = np.repeat(np.arange(40), times), np.flatnonzero(times == 0)
        inside = [sign * score(candidate, rows) for candidate in probabilities]
        scores.append(score(probabilities[int(np.argmax(inside))], left_out))
    found = bias_corrected(probabilities, labels, metric, groups=groups, n_resamples=30, seed=9)
    expected = (np.mean(scores), *np.percentile(scores, [2.5, 97.5]))
    assert found and dataclasses.astuple(found) == pytest.approx(expected)


def test_the_promise_takes_the_luck_out_of_the_best_of_many() -> None:
    """Candidates that guess: the best of 200 looks good on 60 images, and is promised a guess."""
    promised, looks = [], []
    for seed in range(20):
        probabilities, labels = candidates(200, 60, 2, seed=seed, skill=0.0)
        looks.append((probabilities.argmax(axis=2) == labels).mean(axis=1).max())
        found = bias_corrected(probabilities, labels, "accuracy", seed=seed)
        assert found is not None
        promised.append(found.value)
        assert found.low < found.value < found.high
    assert np.mean(looks) > 0.65
    assert np.mean(promised) == pytest.approx(0.5, abs=0.08)


def test_there_is_no_promise_where_nothing_can_be_said() -> None:
    probabilities, _ = candidates(2, 6, 2, seed=0)
    ones = np.ones(6, dtype=int)
    assert bias_corrected(probabilities, ones, "auc") is None
    assert bias_corrected(probabilities, ones, "loss", groups=["one"] * 6) is None


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_lead_is_a_difference_of_means_with_the_luck_of_the_images(metric: Metric) -> None:
    probabilities, labels = candidates(3, 400, 3, seed=4)
    scores = [classification_metrics(np.log(p), labels)[metric] for p in probabilities]
    found = lead(probabilities[0], probabilities[1:], labels, metric)
    sign = -1 if metric == "loss" else 1
    assert found is not None
    assert found.value == pytest.approx(sign * (scores[0] - (scores[1] + scores[2]) / 2))
    assert found.low < found.value < found.high
    same = lead(probabilities[0], probabilities[:1], labels, metric)
    assert same is not None and (same.low, same.value, same.high) == (0, 0, 0)


def test_what_does_not_fit_is_refused() -> None:
    probabilities, labels = candidates(2, 6, 3, seed=0)
    with pytest.raises(ValueError, match=r"got shapes \(2, 6, 3\) and \(5,\)"):
        select_members(probabilities, labels[:5])
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        bias_corrected(probabilities, labels + 1, "loss")
    with pytest.raises(ValueError, match="a group for each of 6 images, got 2"):
        bias_corrected(probabilities, labels, "loss", groups=[1, 2])
    with pytest.raises(ValueError, match="start and n_bags at least 1"):
        select_members(probabilities, labels, start=0)
