from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optuna_layerwise.data import grouped_split

SHARES = (0.7, 0.15, 0.15)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(20, 80), st.integers(2, 4))
def test_no_group_is_in_two_parts(seed: int, n_groups: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 6, n_groups))
    labels = rng.integers(0, n_classes, len(groups))
    parts = grouped_split(labels, [f"g{group}" for group in groups], SHARES, seed=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    for one in range(3):
        for other in range(one):
            assert not set(groups[parts[one]]) & set(groups[parts[other]])


def test_groups_of_one_image_are_split_as_the_shares_say() -> None:
    labels = np.repeat([0, 1, 2], [200, 100, 20])
    parts = grouped_split(labels, [str(i) for i in range(320)], SHARES, seed=0)
    found = np.array([np.bincount(labels[part], minlength=3) for part in parts])
    assert np.abs(found - np.outer(SHARES, [200, 100, 20])).max() <= 1


def test_lesions_and_patients_keep_their_classes_shares() -> None:
    """As in HAM10000 (1 to 6 images a lesion) and ISIC 2020 (16 a patient, 1.8 % positive)."""
    rng = np.random.default_rng(0)
    of_lesion = rng.choice(7, 3000, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.015, 0.015])
    lesions = np.repeat(np.arange(3000), rng.choice([1, 2, 3, 6], 3000, p=[0.75, 0.2, 0.04, 0.01]))
    patients = np.repeat(np.arange(1000), np.minimum(rng.geometric(1 / 16, 1000), 115))
    for labels, groups in (
        (of_lesion[lesions], lesions),
        ((rng.random(len(patients)) < 0.018).astype(int), patients),
    ):
        parts = grouped_split(labels, groups.astype(str), SHARES, seed=0)
        for part, share in zip(parts, SHARES, strict=True):
            expected = share * np.bincount(labels)
            found = np.bincount(labels[part], minlength=labels.max() + 1)
            assert (np.abs(found - expected) <= 2 + 0.02 * expected).all()


def test_the_parts_sizes_are_the_shares_too() -> None:
    """Each class's 3 of 30 are 2 or 4 images of its pairs; together they are 6 of 60."""
    labels = np.repeat(np.arange(30) % 2, 2)
    groups = np.repeat(np.arange(30), 2).astype(str)
    parts = grouped_split(labels, groups, (0.8, 0.1, 0.1), seed=0)
    assert [len(part) for part in parts] == [48, 6, 6]


def test_large_and_small_groups_are_spread() -> None:
    groups = np.repeat(np.arange(150), np.repeat([20, 1], [50, 100]))
    parts = grouped_split(np.zeros(len(groups), int), groups.astype(str), (0.6, 0.2, 0.2), seed=0)
    assert [len(set(groups[part]) & set(range(50))) for part in parts] == [30, 10, 10]


def test_same_seed_repeats_and_another_seed_differs() -> None:
    labels, groups = np.arange(60) % 2, [str(i // 2) for i in range(60)]
    first, again, other = (grouped_split(labels, groups, SHARES, seed=s)[1] for s in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="not enough groups .* 9 images in 2 groups"):
        grouped_split(np.arange(9) % 2, ["a"] * 5 + ["b"] * 4, SHARES, seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.0, 0.0), (1.2, -0.2)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        grouped_split(np.arange(10) % 2, list("abcdefghij"), fractions, seed=0)
