"""scikit-learn's embedded 8 x 8 digits: a transfer task that needs no download.

Digits 0 to 4 are the source task to pretrain on, digits 5 to 9 the target task with few images.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from optuna_layerwise.data.decode import Decoding
from optuna_layerwise.data.images import Images
from optuna_layerwise.data.raw import Part, RawData
from optuna_layerwise.data.splits import stratified_split
from optuna_layerwise.data.store import decode_in_memory

SIDE = 8
TRAIN_PER_CLASS, VAL_PER_CLASS = 10, 20


def read_digits(seed: int) -> RawData:
    """Digits 5 to 9: 10 training and 20 validation images per class, the rest (about 750) test."""
    pool = _pool(range(5, 10))
    rng = np.random.Generator(np.random.Philox(seed))
    cuts = (TRAIN_PER_CLASS, TRAIN_PER_CLASS + VAL_PER_CLASS)
    pieces = [
        np.split(rng.permutation(np.flatnonzero(pool.labels == label)), cuts) for label in range(5)
    ]
    parts = {
        name: pool.take(np.sort(np.concatenate(chosen)))
        for name, chosen in zip(("train", "val", "test"), zip(*pieces, strict=True), strict=True)
    }
    return RawData(tuple("56789"), parts, least_size=SIDE)


def digits_source(*, image_size: int = SIDE) -> tuple[Images, Images]:
    """Digits 0 to 4 as training (80 %) and validation images, to pretrain on.

    Raises:
        ValueError: if ``image_size`` is below 8.

    Examples:
        >>> train, val = digits_source()
        >>> len(train), len(val), train.classes
        (721, 180, ('0', '1', '2', '3', '4'))
    """
    if image_size < SIDE:
        raise ValueError(f"image_size of the digits must be at least {SIDE}, got {image_size}")
    pool = _pool(range(5))
    pixels, _ = decode_in_memory({"pool": pool}, Decoding(image_size))["pool"]
    images = Images(pixels, pool.labels, tuple("01234"), pool.names)
    train, val = stratified_split(pool.labels, (0.8, 0.2), seed=0)
    return images.subset(train), images.subset(val)


def _pool(digits: range) -> Part:
    images, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(np.isin(labels, digits))
    grey = np.round(images[rows].reshape(-1, SIDE, SIDE) * (255 / 16)).astype(np.uint8)
    return Part(
        list(grey),
        labels[rows].astype(np.int64) - digits.start,
        tuple(f"digits/{row}" for row in rows),
    )
