"""What a classifier says of every test image, with thumbnails of those that people should see."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from optuna_layerwise.data import Examples, Images
from optuna_layerwise.records.predictions import (
    LARGEST_PICTURE,
    MOST_OF_MEMBERS,
    Predictions,
    most_confident_mistakes,
    most_disputed,
)


def per_image(
    test: Examples,
    trained_on: Examples,
    probabilities: NDArray[np.floating],
    members: NDArray[np.float32] | None,
) -> Predictions | None:
    """The predictions to store; ``None`` if a probability is not finite.

    Args:
        test: The n test images.
        trained_on: What the classifier was trained on.
        probabilities: Its own, [n, classes].
        members: Those of the members of a team, [m, n, classes].
    """
    if not np.isfinite(probabilities).all():
        return None
    if members is not None and members.nbytes > MOST_OF_MEMBERS:
        members = None
    found = Predictions(
        classes=np.array(test.classes),
        names=np.array(test.names),
        labels=test.labels,
        probabilities=probabilities.astype(np.float32),
        labelled=np.bincount(trained_on.labels, minlength=len(test.classes)).astype(np.int64),
        pictured=np.zeros(0, np.int64),
        thumbnails=np.zeros((0, 1, 1, 3), np.uint8),
        members=members,
    )
    pictured = np.union1d(most_confident_mistakes(found), most_disputed(found))
    if not (len(pictured) and isinstance(test, Images)):
        return found
    thumbnails = np.stack([_thumbnail(pixels) for pixels in test.batch(pictured)])
    return dataclasses.replace(found, pictured=pictured, thumbnails=thumbnails)


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, made smaller where a side is longer than `LARGEST_PICTURE`."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE), Image.Resampling.LANCZOS)
    return np.asarray(picture)
