"""MedMNIST-style ``.npz`` files: ``{train,val,test}_{images,labels}``, read whole into memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.raw import Part, RawData


def read_npz(path: Path) -> RawData:
    """Read ``path``; val may be missing. Classes are named "0", "1" and so on.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such archive, or keys, types, shapes or labels are not as expected.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {str(path)!r} (looked for {path.absolute()})")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise ValueError(
            f"{path} is not a readable .npz archive of number arrays: {error}"
        ) from error
    has_val = "val_images" in arrays or "val_labels" in arrays
    splits = ["train", "val", "test"] if has_val else ["train", "test"]
    needed = [f"{split}_{kind}" for split in splits for kind in ("images", "labels")]
    if missing := [key for key in needed if key not in arrays]:
        raise ValueError(f"{path} lacks the arrays {missing}; it has {sorted(arrays)}")
    parts = {split: _part(path, split, arrays) for split in splits}
    count = _count_classes(path, parts["train"].labels)
    for split, part in parts.items():
        if (low := part.labels.min()) < 0 or part.labels.max() >= count:
            raise ValueError(
                f"{split}_labels in {path} must be 0 to {count - 1} as in train_labels, "
                f"got {low} to {part.labels.max()}"
            )
    return RawData(tuple(map(str, range(count))), parts)


def _part(path: Path, split: str, arrays: Mapping[str, NDArray[np.generic]]) -> Part:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.dtype.kind not in "biuf" or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    ):
        raise ValueError(
            f"{split}_images in {path} must be numbers [N, H, W] or [N, H, W, 3], such as uint8, "
            f"got {images.dtype} {list(images.shape)}"
        )
    if labels.dtype.kind not in "iu" or labels.shape not in (
        (len(images),),
        (len(images), 1),
    ):
        raise ValueError(
            f"{split}_labels in {path} must be integers [{len(images)}] or [{len(images)}, 1], "
            f"one class per image, got {labels.dtype} {list(labels.shape)}"
        )
    if images.size == 0:
        raise ValueError(f"{split}_images in {path} has no pixel, got {list(images.shape)}")
    if images.dtype.kind == "b":
        images = images * np.uint8(255)  # black and white, as in a bilevel image file
    names = tuple(f"{split}/{index}" for index in range(len(images)))
    return Part(list(images), labels.reshape(-1).astype(np.int64), names)


def _count_classes(path: Path, labels: NDArray[np.int64]) -> int:
    found = np.unique(labels)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise ValueError(
            f"train_labels in {path} must be 0 to C - 1, each class present and C at least 2, "
            f"got {len(found)} classes: {shown}"
        )
    return len(found)
