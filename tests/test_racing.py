"""Who drops out of a race between finalists."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from optuna_layerwise.objective.racing import CHANCE, still_in_the_race

Scores = NDArray[np.float64]
SCORES = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 4)),
    elements=st.integers(0, 156).map(lambda hits: hits / 156),
)


def race(scores: object, n_seeds: int, **options: float) -> list[bool]:
    return still_in_the_race(np.array(scores, dtype=float), n_seeds, **options).tolist()


@given(SCORES)
def test_whoever_leads_goes_on(scores: Scores) -> None:
    means = scores.mean(axis=1)
    assert race(scores, scores.shape[1] + 2)[int(means.argmax())]


@given(SCORES, st.integers(1, 3))
def test_nobody_is_dropped_who_is_ahead_of_one_that_goes_on(scores: Scores, more: int) -> None:
    going_on = still_in_the_race(scores, scores.shape[1] + more)
    means = scores.mean(axis=1)
    assert means[going_on].min() >= means[~going_on].max(initial=-math.inf) - 1e-12


@given(SCORES, st.permutations(range(6)))
def test_what_all_have_in_common_the_scale_and_the_order_do_not_matter(
    scores: Scores, order: list[int]
) -> None:
    order = [i for i in order if i < len(scores)]
    easy_seeds = np.arange(scores.shape[1])
    n_seeds = scores.shape[1] + 1
    going_on = race(scores, n_seeds)
    assert race(4 * (scores[order] + easy_seeds), n_seeds) == [going_on[i] for i in order]


@given(SCORES)
def test_a_smaller_chance_keeps_all_that_a_larger_one_keeps(scores: Scores) -> None:
    n_seeds = scores.shape[1] + 1
    careful = still_in_the_race(scores, n_seeds, chance=0.01)
    assert (careful | ~still_in_the_race(scores, n_seeds, chance=0.3)).all()


def test_the_bound_is_the_predictive_probability_of_being_ahead_in_the_end() -> None:
    """By drawing the end: a true lead given the mean lead, and the seeds that are to come."""
    scores = np.array([[0.80, 0.82], [0.78, 0.79], [0.81, 0.80]])
    k, r, n = 3, 2, 5
    sd = math.sqrt(((scores - scores.mean(axis=0)) ** 2).sum() / (r * (k - 1)))
    lead = float(scores[0].mean() - scores[1].mean())
    rng = np.random.default_rng(0)
    sds = math.sqrt(2) * sd / np.sqrt(rng.chisquare(r * (k - 1), 10**6) / (r * (k - 1)))
    true_leads = rng.normal(lead, sds / math.sqrt(r))
    to_come = rng.normal(true_leads, sds / math.sqrt(n - r))
    chance = float(np.mean(r * lead + (n - r) * to_come < 0))
    assert race(scores, n, chance=chance - 0.003) == [True, True, True]
    assert race(scores, n, chance=chance + 0.003) == [True, False, True]


def test_who_is_far_behind_the_others_after_the_first_seed_drops_out() -> None:
    assert race([[0.80], [0.79], [0.81], [0.78], [0.50]], 3) == [True] * 4 + [False]


def test_of_two_none_drops_out_after_one_seed_and_a_steady_lead_is_clear_after_two() -> None:
    assert race([[0.9], [0.1]], 3) == [True, True], "one difference says nothing of its noise"
    assert race([[0.9, 0.9], [0.8, 0.8]], 3) == [True, False]
    assert race([[0.9, 0.8], [0.7, 0.9]], 3) == [True, True]


def test_equal_scores_stay_and_after_the_last_seed_only_the_best_do() -> None:
    assert race([[0.8], [0.8], [0.8]], 3) == [True] * 3
    assert race([[0.8, 0.9], [0.9, 0.8], [0.8, 0.8]], 2) == [True, True, False]


def test_a_diverged_seed_ends_the_race_and_somebody_always_goes_on() -> None:
    assert race([[0.8, 0.8], [0.9, math.nan], [0.7, 0.9]], 3) == [True, False, True]
    assert race([[math.nan], [0.1]], 3) == [False, True]
    assert race([[math.nan], [math.nan]], 3) == [True, False]
    assert race([[0.3]], 3) == [True]


def test_the_first_seed_drops_those_that_t_says() -> None:
    scores = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    bound = float(stats.t.isf(CHANCE, 4)) * math.sqrt(2 * 2.5 * 2 / 3)
    assert race(scores, 3) == [4 - score <= bound for [score] in scores.tolist()]
    assert 2 < bound < 3 or pytest.fail("the example shall be one that decides")
