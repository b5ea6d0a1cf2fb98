"""MedMNIST-style ``.npz`` files: ``{train,val,test}_{images,labels}``, read whole into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.labels import MISSING
from optuna_layerwise.data.raw import Part, RawData


def read_npz(path: Path) -> RawData:
    """Read ``path``; val and test may be missing. Integer classes are named "0", "1" and so on.

    Raises:
        ValueError: if it is no such archive, or keys, types, shapes or labels are not as expected.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ValueError(
            f"{path} is not a readable .npz archive of number arrays: {error}"
        ) from error
    splits = [
        split
        for split in ("train", "val", "test")
        if split == "train" or f"{split}_images" in arrays or f"{split}_labels" in arrays
    ]
    needed = [f"{split}_{kind}" for split in splits for kind in ("images", "labels")]
    if missing := [key for key in needed if key not in arrays]:
        raise ValueError(f"{path} lacks the arrays {missing}; it has {sorted(arrays)}")
    images = {split: _images(path, split, arrays[f"{split}_images"]) for split in splits}
    labels = {
        split: _labels(path, split, arrays[f"{split}_labels"], len(images[split]))
        for split in splits
    }
    classes = _classes(path, labels["train"])
    parts = {}
    for split, found in labels.items():
        if unknown := sorted(set(found) - set(classes)):
            raise ValueError(
                f"{split}_labels in {path} must be {classes[0]} to {classes[-1]} as in "
                f"train_labels, got {min(found)} to {max(found)}: {unknown[0]} is unknown"
            )
        numbers = {name: number for number, name in enumerate(classes)}
        parts[split] = Part(
            list(images[split]),
            np.asarray([numbers[name] for name in found], dtype=np.int64),
            tuple(f"{split}/{index}" for index in range(len(found))),
        )
    return RawData(tuple(map(str, classes)), parts)


def _images(path: Path, split: str, images: NDArray[np.generic]) -> NDArray[np.generic]:
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    channels = images.shape[-1] if images.ndim == 4 else 0
    eight_bit = images.dtype == np.uint8
    if (
        images.dtype.kind not in "biuf"
        or images.ndim not in (3, 4)
        or channels not in ((0, 3, 4) if eight_bit else (0, 3))
    ):
        first = images.ndim == 4 and images.shape[1] in (1, 3, 4)
        raise ValueError(
            f"{split}_images in {path} must be numbers [N, H, W], [N, H, W, 1 or 3], or "
            f"[N, H, W, 4] of uint8, got {images.dtype} {list(images.shape)}"
            + ("; save images.transpose(0, 2, 3, 1)" if first else "")
        )
    if images.size == 0:
        raise ValueError(f"{split}_images in {path} has no pixel, got {list(images.shape)}")
    return images * np.uint8(255) if images.dtype.kind == "b" else images  # black and white


def _labels(path: Path, split: str, labels: NDArray[np.generic], n: int) -> list[Any]:
    """One integer or name for each image; of columns of zeros and a one, the column's number."""
    if labels.shape == (n, 1):
        labels = labels[:, 0]
    if labels.dtype.kind in "biuf" and labels.ndim == 2 and len(labels) == n:
        ones = labels.astype(np.float64)
        if np.isin(ones, (0, 1)).all() and (ones.sum(axis=1) == 1).all():
            labels = ones.argmax(axis=1)
    if labels.dtype.kind not in "biuUS" or labels.shape != (n,):
        raise ValueError(
            f"{split}_labels in {path} must be integers [{n}] or [{n}, 1], names, or [{n}, C] "
            f"with a single 1 in each row: one class per image, got {labels.dtype} "
            f"{list(labels.shape)}"
        )
    found: list[Any] = labels.tolist()
    if labels.dtype.kind in "US":
        found = [n.decode(errors="backslashreplace") if isinstance(n, bytes) else n for n in found]
        if empty := [place for place, name in enumerate(found) if name.lower() in MISSING]:
            raise ValueError(
                f"{len(empty)} of the {split}_labels in {path} are empty, such as that of image "
                f"{empty[0]}; fill them in, or leave these images out"
            )
    return found


def _classes(path: Path, labels: Sequence[Any]) -> list[Any]:
    found = sorted(set(labels))
    numbers = isinstance(found[0], int)
    if len(found) < 2 or (numbers and found != list(range(len(found)))):
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"train_labels in {path} must be names, or 0 to C - 1 with each class present, C at "
            f"least 2, got {len(found)} classes: {shown}"
        )
    return found
