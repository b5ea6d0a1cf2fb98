"""Folds in which every labelled image is held out once, for the trainings after a search."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from optuna_layerwise.data.examples import Examples
from optuna_layerwise.data.grouped_splits import grouped_split
from optuna_layerwise.data.targets import lacking, strata

MANY_IMAGES = 1000
"""From this number of labelled images on, one validation split says enough."""
N_FOLDS = 5
"""The number of folds of fewer images, if each class has at least as many images."""


def suggested_folds(images: Examples) -> int:
    """How many folds `held_out_folds` can make that are worth their trainings; 1 for none.

    Five below `MANY_IMAGES` images, fewer where a class has fewer images (or groups).
    """
    if len(images) >= MANY_IMAGES:
        return 1
    return max(1, min(N_FOLDS, *_units(images)))


def held_out_folds(
    images: Examples, n_folds: int, *, seed: int = 0
) -> list[tuple[Examples, Examples]]:
    """Pairs of images to train on and images held out; each image is held out once.

    Classes are spread evenly over the folds. Groups stay whole.

    Args:
        images: All that are labelled, but those of the test split.
        n_folds: From 2 to the number of images (or groups) of the smallest class.
        seed: It decides which images share a fold.

    Raises:
        ValueError: if there are too few images, or groups, of a class.
    """
    least = min(_units(images))
    if not 2 <= n_folds <= least:
        kind = "images" if images.groups is None else "groups"
        raise ValueError(
            f"the number of folds must be from 2 to {least}, the {kind} of the smallest class, "
            f"got {n_folds}; 1 validates on the validation split alone"
        )
    held: list[NDArray[np.int64]]
    if images.groups is None:
        cut = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        held = [part for _, part in cut.split(np.zeros(len(images)), strata(images.labels))]
    else:
        shares = [1 / n_folds] * n_folds
        held = [*grouped_split(strata(images.labels), images.groups, shares, seed=seed)]
        for part in held:
            rest = np.delete(images.labels, part, axis=0)
            known = lacking(images.labels, images.classes)
            if names := sorted(set(lacking(rest, images.classes)) - set(known)):
                raise ValueError(
                    f"{n_folds} folds that keep the groups together leave nothing to train on of "
                    f"{', '.join(names)}; choose fewer folds, or 1"
                )
    everything = np.arange(len(images))
    return [(images.subset(np.delete(everything, part)), images.subset(part)) for part in held]


def folds_for_finalists(images: Examples) -> list[tuple[Examples, Examples]]:
    """The folds of `suggested_folds`, fewer where groups need it; none where there are none."""
    for n_folds in range(suggested_folds(images), 1, -1):
        with contextlib.suppress(ValueError):  # of groups that cannot be cut so
            return held_out_folds(images, n_folds)
    return []


def _units(images: Examples) -> list[int]:
    """Per class that occurs, its images, or the groups that have one."""
    labels = strata(images.labels)
    if images.groups is None:
        return [int(n) for n in np.bincount(labels) if n]
    groups = np.asarray(images.groups)
    return [len(set(groups[labels == label])) for label in np.unique(labels)]
