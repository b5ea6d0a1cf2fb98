from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optuna_layerwise.data import stratified_folds, stratified_split

counts = st.lists(st.integers(1, 40), min_size=1, max_size=12)
seeds = st.integers(0, 2**32)
shares = st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.2), (0.5, 0.3, 0.2), (0.34, 0.33, 0.33)])


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@given(counts, shares, seeds)
def test_split_is_a_stratified_partition(
    counts: list[int], shares: tuple[float, ...], seed: int
) -> None:
    assume(max(counts) >= 10)  # otherwise train may need every image
    labels = labels_of(counts)
    parts = stratified_split(labels, shares, seed=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    per_class = np.array([np.bincount(labels[part], minlength=len(counts)) for part in parts])
    assert (per_class[0] >= 1).all()
    assert np.abs(per_class - np.outer(shares, counts)).max() <= 1 + 1e-6
    small = sum(count < 1 / shares[0] for count in counts)  # train takes these beyond its share
    assert np.abs(per_class.sum(axis=1) - np.multiply(shares, len(labels))).max() <= 2 + small


@given(counts, st.integers(1, 6), seeds)
def test_folds_partition_the_images_and_spread_every_class(
    counts: list[int], n_folds: int, seed: int
) -> None:
    counts = [count + n_folds - 1 for count in counts]
    labels = labels_of(counts)
    folds = stratified_folds(labels, n_folds, seed=seed)
    assert len(folds) == n_folds
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(labels)))
    per_class = np.array([np.bincount(labels[fold], minlength=len(counts)) for fold in folds])
    assert (np.ptp(per_class, axis=0) <= 1).all()
    assert np.ptp([len(fold) for fold in folds]) <= 1
    assert (per_class >= 1).all()


def test_class_smaller_than_the_folds_sits_in_every_fold_with_one_warning() -> None:
    labels = np.repeat([0, 1, 2], [9, 2, 1])
    with pytest.warns(UserWarning) as caught:
        folds = stratified_folds(labels, 3, seed=0, classes=("many", "two", "one"))
    assert len(caught) == 1
    assert "two, one" in str(caught[0].message) and "many" not in str(caught[0].message)
    for fold in folds:
        assert set(labels[fold]) == {0, 1, 2}
        assert len(set(fold)) == len(fold)
    assert set(np.concatenate(folds)) == set(range(12))
    large = np.concatenate(folds)[labels[np.concatenate(folds)] == 0]
    assert sorted(large) == list(range(9))


def test_warning_names_the_label_without_class_names() -> None:
    with pytest.warns(UserWarning, match="several folds: 7$"):
        stratified_folds(np.array([3, 3, 3, 7]), 2, seed=0)


def test_one_fold_holds_everything() -> None:
    (fold,) = stratified_folds(np.array([0, 1, 1]), 1, seed=0)
    assert fold.tolist() == [0, 1, 2]


def test_same_seed_repeats_and_another_seed_differs() -> None:
    labels = labels_of([30, 30])
    for build in (
        lambda seed: stratified_split(labels, (0.6, 0.2, 0.2), seed=seed),
        lambda seed: stratified_folds(labels, 3, seed=seed),
    ):
        for first, again, other in zip(build(1), build(1), build(2), strict=True):
            np.testing.assert_array_equal(first, again)
            assert first.tolist() != other.tolist()


@pytest.mark.parametrize("n_folds", [0, 4])
def test_more_folds_than_images_or_none_are_refused(n_folds: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to the number of images \(3\), got {n_folds}"):
        stratified_folds(np.array([0, 1, 1]), n_folds, seed=0)


def test_too_few_images_to_split_are_refused() -> None:
    with pytest.raises(ValueError, match="not enough images to split: 2 images of 2 classes"):
        stratified_split(np.array([0, 1]), (0.6, 0.2, 0.2), seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.0, 0.0), (1.2, -0.2)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        stratified_split(np.arange(10) % 2, fractions, seed=0)
