"""How many images to train on: a nested share of the training split, or REVO-Tune's floor split.

Both are pure functions of their arguments and a seed, like those of `splits`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def nested_subset(labels: NDArray[np.int64], fraction: float, *, seed: int) -> NDArray[np.int64]:
    """Sorted indices of a stratified share; those of a smaller share are among a larger one's.

    All images stand in one order, of which the share is the start: one image of each class, then
    the j-th of a class of n by (j + 1/2) / n, which keeps each class within one image of its part.

    Args:
        labels: int64 [N].
        fraction: Above 0 and at most 1; floor(fraction N) images, but one of each class at least.
        seed: Seed of the order.

    Raises:
        ValueError: if the fraction is out of its range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"train_fraction must be above 0 and at most 1, got {fraction}")
    rng = np.random.Generator(np.random.Philox(seed))
    place = np.empty(len(labels))
    found = np.unique(labels)
    for label in found:
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        place[members[0]] = -1
    order = np.lexsort((rng.random(len(labels)), place))
    return np.sort(order[: max(_floor(fraction * len(labels)), len(found))])


def floor_split(
    n: int, train: float, val: float, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """REVO-Tune's split, as its tables imply: floor(train n), floor(val n) and all the rest.

    It is drawn from a plain permutation, so that a small class may be missing in a split, and
    every size of the training split has a test split of its own.

    Args:
        n: Number of images.
        train: Share to train on; the paper has 0.05, 0.2, 0.4 and 0.6.
        val: Share of the validation split; the paper has 0.2.
        seed: Seed of the permutation.

    Raises:
        ValueError: if one of the three splits would be empty.
    """
    sizes = _floor(train * n), _floor(val * n)
    if not (train > 0 < val) or min(*sizes, n - sum(sizes)) < 1:
        raise ValueError(
            "the paper's split needs train_fraction (--train-fraction) and val above 0 "
            f"and something left for test, got train_fraction {train:g} and val {val:g} of {n} "
            f"images: {sizes[0]} to train, {sizes[1]} to validate, {n - sum(sizes)} to test"
        )
    order = np.random.Generator(np.random.Philox(seed)).permutation(n)
    train_part, val_part, test_part = np.split(order, np.cumsum(sizes))
    return np.sort(train_part), np.sort(val_part), np.sort(test_part)


def _floor(images: float) -> int:
    return math.floor(images + 1e-9)  # 0.6 * 780 is 468, whichever way it is rounded
