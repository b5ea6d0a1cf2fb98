from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optuna_layerwise.data import floor_split, nested_subset

counts = st.lists(st.integers(1, 60), min_size=1, max_size=10)
seeds = st.integers(0, 2**32)
fractions = st.floats(0.01, 1)


def labels_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


@given(counts, fractions, fractions, seeds)
def test_a_smaller_share_is_among_a_larger_one(
    counts: list[int], one: float, other: float, seed: int
) -> None:
    labels = labels_of(counts)
    small, large = (nested_subset(labels, share, seed=seed) for share in sorted((one, other)))
    assert set(small) <= set(large)


@given(counts, fractions, seeds)
def test_a_share_is_stratified_and_has_every_class(
    counts: list[int], share: float, seed: int
) -> None:
    labels = labels_of(counts)
    chosen = nested_subset(labels, share, seed=seed)
    assert chosen.tolist() == sorted(set(chosen))
    per_class = np.bincount(labels[chosen], minlength=len(counts))
    assert (per_class >= 1).all()
    assert len(chosen) == max(int(share * len(labels) + 1e-9), len(counts))
    rare = sum(count * share < 1 for count in counts)  # these take from the others
    assert np.abs(per_class - share * np.array(counts)).max() <= 1.5 + rare


def test_the_whole_share_is_everything_and_another_seed_chooses_others() -> None:
    labels = labels_of([30, 30])
    assert nested_subset(labels, 1.0, seed=0).tolist() == list(range(60))
    first, again, other = (nested_subset(labels, 0.5, seed=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_fraction_that_is_no_share_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="train_fraction must be above 0 and at most 1, got"):
        nested_subset(labels_of([3, 3]), fraction, seed=0)


TEST_SIZES = {  # data set's size to the sizes of the test split that REVO-Tune's tables imply
    780: {0.05: 585, 0.2: 468, 0.4: 312, 0.6: 156},
    609: {0.05: 458, 0.2: 367, 0.4: 245, 0.6: 123},
    409: {0.05: 308, 0.2: 247, 0.4: 165, 0.6: 83},
    10015: {0.05: 7512, 0.2: 6009, 0.4: 4006, 0.6: 2003},  # predicted
}
VAL_SIZES = {780: 156, 609: 121, 409: 81, 10015: 2003}
TRAIN_SIZES = {
    780: {0.05: 39, 0.2: 156, 0.4: 312, 0.6: 468},
    609: {0.05: 30, 0.2: 121, 0.4: 243, 0.6: 365},
    409: {0.05: 20, 0.2: 81, 0.4: 163, 0.6: 245},
    10015: {0.05: 500, 0.2: 2003, 0.4: 4006, 0.6: 6009},
}


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("n", TEST_SIZES)
def test_the_floor_split_has_the_sizes_of_revo_tunes_tables(n: int, share: float) -> None:
    train, val, test = floor_split(n, share, 0.2, seed=0)
    assert len(train) == TRAIN_SIZES[n][share]
    assert len(val) == VAL_SIZES[n]
    assert len(test) == TEST_SIZES[n][share]
    assert sorted([*train, *val, *test]) == list(range(n))


def test_the_floor_split_follows_its_seed() -> None:
    first, again, other = (floor_split(100, 0.4, 0.2, seed=seed)[0] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("train", "val"), [(1.0, 0.2), (0.8, 0.2), (0.001, 0.2), (0.5, 0), (-1, 1)]
)
def test_a_floor_split_with_an_empty_split_is_refused(train: float, val: float) -> None:
    with pytest.raises(ValueError, match=r"paper's split needs .* of 100 images: .* to test"):
        floor_split(100, train, val, seed=0)
