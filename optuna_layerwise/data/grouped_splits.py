"""Splits that keep groups together, such as all images of one lesion or patient.

scikit-learn's ``StratifiedGroupKFold`` cuts equal folds only, and no class may have fewer images
than there are folds; shares such as 0.7, 0.15 and 0.15 of a set with rare classes need neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def grouped_split(
    labels: NDArray[np.int64], groups: Sequence[str], fractions: Sequence[float], *, seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Partition the images so that no group is in two parts and each class has near its share.

    The groups go to the parts one by one, large ones first, each to the part where it adds least
    to the chi-square distance of the counts from the shares, classes weighted alike and all images
    together like one more class:
    ``sum over parts p and classes k of (count[p, k] - share[p] n[k])^2 / (share[p] n[k]^2)``.

    Args:
        labels: int64 [N].
        groups: One name per image.
        fractions: The parts' shares, which add up to 1.
        seed: Seed of the order among groups of one size.

    Returns:
        The sorted indices of each part.

    Raises:
        ValueError: if a share is not positive, they do not add up to 1, or a part stays empty.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions must be above 0 and add up to 1, got {list(fractions)}")
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    found, class_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(found) + 1))
    np.add.at(counts, (group_of, class_of), 1)
    counts[:, -1] = counts.sum(axis=1)
    totals, wanted = counts.sum(axis=0), np.outer(shares, counts.sum(axis=0))
    have = np.zeros_like(wanted)
    part_of = np.empty(len(names), dtype=np.int64)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(names))
    for group in order[np.argsort(-counts[order, -1], kind="stable")]:
        added = counts[group] * (2 * (have - wanted) + counts[group]) / totals**2
        part_of[group] = np.argmin(added.sum(axis=1) / shares)
        have[part_of[group]] += counts[group]
    parts = tuple(np.flatnonzero(part_of[group_of] == part) for part in range(len(shares)))
    if any(len(part) == 0 for part in parts):
        raise ValueError(
            f"not enough groups to split: {len(labels)} images in {len(names)} groups into the "
            f"shares {list(fractions)} leave a split empty; add groups, change the shares, or "
            "pass group_by=None (--group-by none)"
        )
    return parts


def refuse_leaks(groups: Mapping[str, Sequence[str]], column: str, where: str) -> None:
    """Raise if a group of one split is also in another.

    Raises:
        ValueError: with their number and the first three.
    """
    seen: dict[str, set[str]] = {}
    for split, names in groups.items():
        for name in names:
            seen.setdefault(name, set()).add(split)
    if leaks := [f"{name!r} in {', '.join(ins)}" for name, ins in _several(seen)]:
        raise ValueError(
            f"{len(leaks)} of {len(seen)} groups of the column {column!r} are in several splits "
            f"of {where}: {'; '.join(leaks[:3])}{'; ...' if len(leaks) > 3 else ''}. Correct the "
            "split column, or pass group_by=None (--group-by none) if the groups may be shared"
        )


def _several(seen: Mapping[str, set[str]]) -> list[tuple[str, list[str]]]:
    return [(name, sorted(splits)) for name, splits in seen.items() if len(splits) > 1]
