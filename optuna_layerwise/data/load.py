"""`load_data`: any source to three splits of decoded images.

A new kind of source is a function that returns `RawData` and one row of ``SOURCES``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import platformdirs

from optuna_layerwise.data.digits import read_digits
from optuna_layerwise.data.folder import read_folder
from optuna_layerwise.data.images import Images, SealedImages, Splits
from optuna_layerwise.data.npz import read_npz
from optuna_layerwise.data.raw import Part, RawData, fingerprint, split
from optuna_layerwise.data.store import Decoded, decode_in_memory, decode_to_disk

Source: TypeAlias = "str | os.PathLike[str]"

SOURCES: dict[str, tuple[Callable[[Source], bool], Callable[[Source, int], RawData]]] = {
    "digits": (lambda source: source == "digits", lambda source, seed: read_digits(seed)),
    "npz": (
        lambda source: Path(source).suffix.lower() == ".npz",
        lambda source, seed: read_npz(Path(source)),
    ),
    "folder": (lambda source: True, lambda source, seed: read_folder(Path(source))),
}
"""Kind of source to (does it serve this one, how to read it given the split seed), in order."""


def load_data(
    source: Source,
    *,
    image_size: int,
    val: float = 0.2,
    test: float = 0.2,
    split_seed: int = 0,
    skip_bad_images: bool = False,
    memory_budget: int = 4 * 1024**3,
    cache_dir: Source | None = None,
) -> Splits:
    """Load, split and decode a data set, each image once.

    Args:
        source: A folder of class folders; a folder with ``train``, ``test`` and perhaps ``val``
            folders of class folders; a MedMNIST-style ``.npz``; or the word ``digits`` (a folder
            of that name is ``./digits``).
        image_size: Side of the decoded images in pixels; see `decode`.
        val: Share of the validation split: of the pool, or of train where only a test split
            exists. Unused where the source has its own.
        test: Share of the pool's test split; unused where the source has its own.
        split_seed: Seed of the stratified splits.
        skip_bad_images: Leave out images that cannot be decoded, with one warning, instead of
            raising. The other images keep their splits.
        memory_budget: Bytes of pixels to hold in memory; larger data sets are memory-mapped.
        cache_dir: Where memory-mapped data sets lie, by fingerprint; default a folder of the
            user's cache directory.

    Raises:
        FileNotFoundError: if the source does not exist.
        ValueError: if the source is not as expected, has too few images or bad ones.

    Example:
        >>> splits = load_data("digits", image_size=8)
        >>> splits.classes, len(splits.train), len(splits.val)
        (('5', '6', '7', '8', '9'), 50, 100)
    """
    raw = next(read for serves, read in SOURCES.values() if serves(source))(source, split_seed)
    if image_size < raw.least_size:
        raise ValueError(
            f"image_size must be at least {raw.least_size} for {source}, got {image_size}"
        )
    parts = split(raw, val=val, test=test, seed=split_seed)
    parameters = {"image_size": image_size, "val": val, "test": test, "split_seed": split_seed}
    key = fingerprint(raw.classes, parts, parameters)
    if sum(map(len, parts.values())) * image_size**2 * 3 <= memory_budget:
        decoded = decode_in_memory(parts, image_size)
    else:
        cache = platformdirs.user_cache_path("optuna-layerwise") / "images"
        folder = (Path(cache_dir) if cache_dir is not None else cache) / key
        decoded = decode_to_disk(parts, image_size, folder=folder)
    _report_bad(parts, decoded, skip=skip_bad_images)
    train, val_images, test_images = (
        _images(raw.classes, parts[name], decoded[name]) for name in ("train", "val", "test")
    )
    _require_every_split(train, val_images, test_images)
    return Splits(
        train, val_images, SealedImages(test_images), key, os.fspath(source), raw.classes
    )


def _report_bad(parts: Mapping[str, Part], decoded: Mapping[str, Decoded], *, skip: bool) -> None:
    bad = [
        f"{parts[name].names[index]} ({reason})"
        for name, (_, reasons) in decoded.items()
        for index, reason in reasons.items()
    ]
    if not bad:
        return
    total = sum(map(len, parts.values()))
    shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
    message = f"{len(bad)} of {total} images cannot be decoded"
    if not skip:
        raise ValueError(
            f"{message}: {shown}; repair or remove them, or pass skip_bad_images=True"
        )
    warnings.warn(f"{message} and are left out: {shown}", stacklevel=3)


def _images(classes: tuple[str, ...], part: Part, decoded: Decoded) -> Images:
    pixels, bad = decoded
    good = [index for index in range(len(part)) if index not in bad]
    return Images(pixels, part.labels[good], classes, tuple(part.names[index] for index in good))


def _require_every_split(train: Images, val: Images, test: Images) -> None:
    counts = np.bincount(train.labels, minlength=len(train.classes))
    if lacking := [name for name, count in zip(train.classes, counts, strict=True) if not count]:
        raise ValueError(f"the training split has no image of the classes {lacking}; add images")
    for name, images in (("validation", val), ("test", test)):
        if not len(images):
            raise ValueError(f"the {name} split has no image that can be decoded; add images")
