"""What a source reads before anything is decoded: items, labels and names, whole or split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Item
from optuna_layerwise.data.grouped_splits import grouped_split
from optuna_layerwise.data.shares import floor_split, nested_subset
from optuna_layerwise.data.splits import stratified_split
from optuna_layerwise.data.targets import Labels, strata

DECODING = 1
"""Raise it when `decode` or this fingerprint changes: older caches and studies then differ."""


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled items that are not read yet, with one name each, and perhaps one group each.

    Items are files or arrays of images, arrays of other numbers, or tuples of one or two texts.

    ``perhaps_groups`` has the cells of the columns that look like groups.
    """

    items: Sequence[Any]
    labels: Labels
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    perhaps_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Part:
        """The items at ``indices``, in that order."""
        return Part(
            [self.items[index] for index in indices],
            self.labels[indices],
            tuple(self.names[index] for index in indices),
            None if self.groups is None else tuple(self.groups[index] for index in indices),
            {
                column: tuple(cells[index] for index in indices)
                for column, cells in self.perhaps_groups.items()
            },
        )


@dataclass(frozen=True, eq=False)
class RawData:
    """A data set as its source has it: a ``pool``, or ``train`` and perhaps ``val``, ``test``."""

    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    least_size: int = 1  # smallest image_size that makes sense


def cut(
    raw: RawData,
    *,
    val: float,
    test: float,
    seed: int,
    train_fraction: float = 1.0,
    paper_split: bool = False,
) -> tuple[dict[str, Part], list[str]]:
    """Train, val and test as `load_data` describes them, and what is to be said of them.

    Splits of the source's own are kept.
    """
    parts: dict[str, Part] = dict(raw.parts)
    said: list[str] = []
    if paper_split:
        if "pool" not in parts:
            raise ValueError(
                f"paper_split cuts one pool of images, and this data set has its own "
                f"{', '.join(parts)}; leave it out (--no-paper-split)"
            )
        chosen = floor_split(len(parts["pool"]), train_fraction, val, seed=seed)
        names = ("train", "val", "test")
        return {name: parts["pool"].take(i) for name, i in zip(names, chosen, strict=True)}, said
    whole = {"train": 1 - val - test, "val": val, "test": test}
    if "pool" in parts:
        parts = _cut(parts["pool"], whole, seed)
    elif parts.keys() == {"train"}:
        parts = _cut(parts["train"], whole, seed)
        said.append("the data have a train split only: val and test are cut from it")
    else:
        if "test" not in parts:
            parts |= _cut(parts["train"], {"train": 1 - test, "test": test}, seed)
            said.append(
                f"the data have no test split: {len(parts['test'])} of their training images "
                "were set aside for the test"
            )
        if "val" not in parts:
            parts |= _cut(parts["train"], {"train": 1 - val, "val": val}, seed)
    if train_fraction != 1:
        kept = nested_subset(strata(parts["train"].labels), train_fraction, seed=seed)
        parts["train"] = parts["train"].take(kept)
    return {name: parts[name] for name in ("train", "val", "test")}, said


def content_digests(parts: Mapping[str, Part]) -> dict[str, list[str]]:
    """SHA-256 of every item's content.

    A file that cannot be read counts by its error: the decoder is the one to report it.
    """
    with ThreadPoolExecutor() as pool:
        return {name: list(pool.map(_content_digest, part.items)) for name, part in parts.items()}


def fingerprint(
    classes: tuple[str, ...],
    parts: Mapping[str, Part],
    contents: Mapping[str, Sequence[str]],
    parameters: Mapping[str, Any],
) -> str:
    """SHA-256 over the parameters, and each image's split, relative name, label and content."""
    digest = hashlib.sha256(json.dumps([DECODING, classes, sorted(parameters.items())]).encode())
    for name, part in parts.items():
        for image in zip(part.names, part.labels.tolist(), contents[name], strict=True):
            digest.update(json.dumps([name, *image]).encode())
    return digest.hexdigest()


def _cut(part: Part, fractions: Mapping[str, float], seed: int) -> dict[str, Part]:
    if not all(0 < fraction < 1 for fraction in fractions.values()):
        raise ValueError(
            "val and test must be above 0 and leave something to train on, got shares "
            + ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
        )
    shares = tuple(fractions.values())
    if part.groups is None:
        indices = stratified_split(strata(part.labels), shares, seed=seed)
    else:
        indices = grouped_split(strata(part.labels), part.groups, shares, seed=seed)
    return {name: part.take(chosen) for name, chosen in zip(fractions, indices, strict=True)}


def _content_digest(item: Item | tuple[str, ...]) -> str:
    if isinstance(item, tuple):  # a text, or a pair of texts
        return hashlib.sha256(json.dumps(item).encode()).hexdigest()
    if not isinstance(item, Path):
        kind = repr(item.shape) if item.dtype == np.uint8 else repr((item.shape, item.dtype.str))
        return hashlib.sha256(kind.encode() + item.tobytes()).hexdigest()
    try:
        return hashlib.sha256(item.read_bytes()).hexdigest()
    except OSError as error:
        return type(error).__name__
