"""Stratified splits and folds.

Both are pure functions of the labels and a seed (numpy's ``Generator(Philox(seed))``), and give
sorted indices. numpy may change a generator's stream between versions; a data set's fingerprint
covers the resulting assignment, so that such a change is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.notices import notice


def stratified_split(
    labels: NDArray[np.int64], fractions: Sequence[float], *, seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Partition the images so that each class has its share in each part.

    Each class's count is at most one from its exact share, rounded so that the parts' totals stay
    near theirs. The first part gets at least one image of each class, also of the smallest.

    Args:
        labels: int64 [N].
        fractions: The parts' shares, which add up to 1.
        seed: Seed of the shuffle.

    Raises:
        ValueError: if a share is not positive, they do not add up to 1, or a part stays empty.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions must be above 0 and add up to 1, got {list(fractions)}")
    shares /= shares.sum()
    rng = np.random.Generator(np.random.Philox(seed))
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    owed = np.zeros(len(shares))  # images that each part still lacks of its exact share
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        counts = np.floor(len(members) * shares + 1e-9).astype(np.int64)
        owed += len(members) * shares - counts
        extra = np.argsort(-owed, kind="stable")[: len(members) - counts.sum()]
        counts[extra] += 1
        owed[extra] -= 1
        if counts[0] == 0:
            move = np.zeros_like(counts)
            move[0], move[counts.argmax()] = 1, -1
            counts += move
            owed -= move
        for part, chosen in zip(parts, np.split(members, np.cumsum(counts)[:-1]), strict=True):
            part.append(chosen)
    if not len(labels) or any(sum(map(len, part)) == 0 for part in parts):
        raise ValueError(
            f"not enough images to split: {len(labels)} images of {len(np.unique(labels))} "
            f"classes into the shares {list(fractions)} leave a split empty; add images or "
            "change the shares"
        )
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def stratified_folds(
    labels: NDArray[np.int64], n_folds: int, *, seed: int, classes: Sequence[str] = ()
) -> tuple[NDArray[np.int64], ...]:
    """Partition the images into folds with each class spread evenly, for BioTune's rotation.

    Per class a seeded shuffle and ``np.array_split``, the longer pieces going round the folds so
    that fold sizes differ by at most one. (BioTune's code cuts in data set order with the size of
    the first class, which is right for balanced data only.) Of a class with fewer images than
    folds an image sits in several folds, so that no fold lacks the class; one warning names such
    classes.

    Args:
        labels: int64 [N].
        n_folds: Number of folds; 1 gives everything in one.
        seed: Seed of the shuffle.
        classes: Class names for the warning; default the labels.

    Raises:
        ValueError: if there are fewer images than folds, or no fold.
    """
    if not 1 <= n_folds <= len(labels):
        raise ValueError(
            f"n_folds must be 1 to the number of images ({len(labels)}), got {n_folds}"
        )
    rng = np.random.Generator(np.random.Philox(seed))
    folds: list[list[NDArray[np.int64]]] = [[] for _ in range(n_folds)]
    small, first = [], 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < n_folds:
            small.append(classes[label] if classes else str(label))
            pieces = [members[[fold % len(members)]] for fold in range(n_folds)]
        else:
            pieces = np.array_split(members, n_folds)
        for offset, piece in enumerate(pieces):
            folds[(first + offset) % n_folds].append(piece)
        first += len(members) % n_folds
    if small:
        notice(
            f"these classes have fewer images than the {n_folds} folds, so that some of their "
            f"images sit in several folds: {', '.join(small)}",
        )
    return tuple(np.sort(np.concatenate(fold)) for fold in folds)
