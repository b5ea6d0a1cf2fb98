"""What a source reads before anything is decoded: items, labels and names, whole or split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Item
from optuna_layerwise.data.splits import stratified_split

DECODING = 1
"""Raise it when `decode` or this fingerprint changes: older caches and studies then differ."""


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled items that are not decoded yet, with one name each."""

    items: Sequence[Item]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Part:
        """The items at ``indices``, in that order."""
        return Part(
            [self.items[index] for index in indices],
            self.labels[indices],
            tuple(self.names[index] for index in indices),
        )


@dataclass(frozen=True, eq=False)
class RawData:
    """A data set as its source has it: a ``pool``, or ``train``, ``test`` and perhaps ``val``."""

    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    least_size: int = 1  # smallest image_size that makes sense


def split(raw: RawData, *, val: float, test: float, seed: int) -> dict[str, Part]:
    """Train, val and test, keeping the source's own; ``val`` is a share of what it is cut from."""
    parts = dict(raw.parts)
    if "pool" in parts:
        parts = _cut(parts["pool"], {"train": 1 - val - test, "val": val, "test": test}, seed)
    elif "val" not in parts:
        parts |= _cut(parts["train"], {"train": 1 - val, "val": val}, seed)
    return {name: parts[name] for name in ("train", "val", "test")}


def fingerprint(
    classes: tuple[str, ...], parts: Mapping[str, Part], parameters: Mapping[str, float]
) -> str:
    """SHA-256 over the parameters, and each image's split, relative name, label and content.

    A file that cannot be read counts by its error: the decoder is the one to report it.
    """
    digest = hashlib.sha256(json.dumps([DECODING, classes, sorted(parameters.items())]).encode())
    with ThreadPoolExecutor() as pool:
        for name, part in parts.items():
            contents = pool.map(_content_digest, part.items)
            for image in zip(part.names, part.labels.tolist(), contents, strict=True):
                digest.update(json.dumps([name, *image]).encode())
    return digest.hexdigest()


def _cut(part: Part, fractions: Mapping[str, float], seed: int) -> dict[str, Part]:
    if not all(0 < fraction < 1 for fraction in fractions.values()):
        raise ValueError(
            "val and test must be above 0 and leave something to train on, got shares "
            + ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
        )
    indices = stratified_split(part.labels, tuple(fractions.values()), seed=seed)
    return {name: part.take(chosen) for name, chosen in zip(fractions, indices, strict=True)}


def _content_digest(item: Item) -> str:
    if not isinstance(item, Path):
        return hashlib.sha256(repr(item.shape).encode() + item.tobytes()).hexdigest()
    try:
        return hashlib.sha256(item.read_bytes()).hexdigest()
    except OSError as error:
        return type(error).__name__
