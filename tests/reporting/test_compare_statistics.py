"""The statistics agree with published examples, with scipy, and with counting by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from optuna_layerwise.analysis.statistics import (
    FEW,
    alike,
    binomial_margin,
    holm,
    nemenyi,
    paired,
    ranking,
    summary,
)

# J. Demsar, 2006, Table 6: AUC of C4.5 as it is, with parameter m, with cf, with both. Two are
# printed as 0.975 and ranked 2 and 3.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_friedman_and_nemenyi_are_those_of_demsars_example() -> None:
    found = ranking(DEMSAR)
    assert np.round(found.mean_ranks, 3).tolist() == [3.143, 2.0, 2.893, 1.964]
    n, k = DEMSAR.shape
    uncorrected = 12 * n / (k * (k + 1)) * (sum(r**2 for r in found.mean_ranks) - k * 25 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.005)  # the paper does not correct for ties
    assert found.statistic > uncorrected
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(k: int, q: float) -> None:
    assert nemenyi(k, 6) / np.sqrt(k * (k + 1) / 36) == pytest.approx(q, abs=0.001)


def test_wilcoxon_is_that_of_demsars_example() -> None:
    found = paired(DEMSAR[:, 1], DEMSAR[:, 0])
    assert (found.wins, found.ties, found.losses) == (10, 2, 2)
    assert found.p == pytest.approx(0.012, abs=0.005)  # the paper: T = 12, below 21 at 5 %
    assert found.effect > 0.7


def test_without_ties_the_signed_rank_test_is_scipys_exact_one() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 5, 8, 20):
        a, b = rng.normal(size=(2, n))
        assert paired(a, b).p == pytest.approx(stats.wilcoxon(a, b, method="exact").pvalue)


def test_with_ties_the_signed_rank_test_counts_all_signs() -> None:
    differences = np.array([1, 1, 2, -1, 3, 3, -2.0])
    ranks = stats.rankdata(abs(differences))
    half = ranks.sum() / 2
    observed = abs(ranks[differences > 0].sum() - half)
    sums = [np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(ranks))]
    share = np.mean([abs(s - half) >= observed for s in sums])
    assert paired(differences, np.zeros(7)).p == pytest.approx(share)


def test_many_pairs_use_the_normal_approximation() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(0.3, size=80)
    assert paired(a, np.zeros(80)).p == pytest.approx(
        stats.wilcoxon(a, method="approx").pvalue, rel=1e-9
    )


def test_fewer_pairs_than_few_cannot_reach_five_percent() -> None:
    assert paired(range(1, FEW), [0] * (FEW - 1)).p > 0.05
    assert paired(range(1, FEW + 1), [0] * FEW).p < 0.05


def test_differences_of_one_image_tie_whatever_their_last_bits() -> None:
    a, b = np.array([0.9, 0.8, 0.3]), np.array([0.8, 0.7, 0.4])
    assert len(set(a - b)) > 2  # in floating point
    assert paired(a, b).effect == pytest.approx(1 / 3)
    assert ranking([[0.1 + 0.2, 0.3, 0.2]] * 2).mean_ranks == (1.5, 1.5, 3)
    assert paired([1e300], [-1e300]).wins == 1


def test_swapping_two_methods_flips_every_sign() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 9))
    one, other = paired(a, b), paired(b, a)
    assert one.p == other.p
    assert one.effect == pytest.approx(-other.effect)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert one.difference.mean == -other.difference.mean


def test_equal_methods_are_alike_for_certain() -> None:
    found = paired([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.p, found.effect, found.difference.interval) == (1.0, 0.0, (0.0, 0.0))
    assert ranking([[1, 1, 1], [2, 2, 2]]).p == 1.0


def test_an_interval_is_scipys_bca_and_needs_three_values() -> None:
    values = [0.70, 0.72, 0.75, 0.81, 0.90]
    assert summary([1.0]).deviation is None
    assert summary([1.0, 2.0]).interval is None
    low, high = summary(values).interval or (0, 0)
    expected = stats.bootstrap((values,), np.mean, method="BCa", rng=1).confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)
    assert summary(values) == summary(values)


@pytest.mark.slow
def test_intervals_cover_the_mean_nearly_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        low, high = summary(rng.normal(size=25), seed=seed).interval or (0, 0)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_sets_of_methods_that_are_alike_are_as_large_as_can_be() -> None:
    assert alike([3.0, 1.0, 1.4, 1.8], 0.6) == [(1, 2), (2, 3)]
    assert alike([1.0, 2.0, 3.0], 0.5) == []
    assert alike([1.0, 1.1, 1.2], 1.0) == [(0, 1, 2)]


def test_holm_is_monotone_and_at_most_one() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_margin_of_a_share_is_wilsons() -> None:
    found = stats.binomtest(80, 100).proportion_ci(method="wilson")
    assert binomial_margin(0.8, 100) == pytest.approx((found.high - found.low) / 2)
    assert binomial_margin(1.0, 10) > 0.1  # all correct of ten says little


@pytest.mark.parametrize("values", [[], [float("nan")], [[1.0]]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        summary(values)


def test_pairs_of_different_lengths_and_tables_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired([1, 2], [1])
    with pytest.raises(ValueError, match=r"got \[2, 2\]"):
        ranking([[1, 2], [1, 2]])
