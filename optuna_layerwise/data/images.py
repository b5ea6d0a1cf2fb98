"""Images in memory (or in a memory-mapped file), and the sealed test split.

Every split has pixels of its own: no array behind `Splits.train` or `Splits.val` holds a row of
the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Decoding

Indices: TypeAlias = "NDArray[np.integer[Any]] | NDArray[np.bool_] | Sequence[int] | slice"


class Stacked:
    """Several arrays one behind the other, of which rows are read only when indexed."""

    def __init__(self, *parts: NDArray[np.uint8] | Rows) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype: np.dtype[np.uint8] = parts[0].dtype
        self.ndim: int = parts[0].ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Indices) -> NDArray[np.uint8]:
        rows = np.arange(len(self))[indices]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(which):
            here = which == number
            found[here] = self._parts[number][rows[here] - self._starts[number]]
        return found


class Rows:
    """Some rows of an array, in a chosen order, read only when indexed (what `subset` holds)."""

    def __init__(self, pixels: NDArray[np.uint8] | Stacked, rows: NDArray[np.int64]) -> None:
        self._pixels, self._rows = pixels, rows
        self.shape: tuple[int, ...] = (len(rows), *pixels.shape[1:])
        self.dtype, self.ndim = pixels.dtype, pixels.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Indices) -> NDArray[np.uint8]:
        return self._pixels[self._rows[indices]]

    def take(self, positions: NDArray[np.int64]) -> Rows:
        """A choice of these rows; copies no pixels."""
        return Rows(self._pixels, self._rows[positions])


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled RGB images of one size.

    Args:
        pixels: uint8 [N, H, W, 3]; an array, a memory map, or the `Rows` of a subset. Indexed with
            an array of integers, each gives an array; `batch` is the way that also serves slices.
        labels: int64 [N], indices into ``classes``.
        classes: The class names.
        names: One name per image, for messages: relative file name or index.
        groups: One name per image of what it belongs to, such as a patient, where the splits
            keep groups together.

    Raises:
        ValueError: if shapes, types or labels do not fit together.

    Examples:
        >>> images = Images(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 0]), ("a", "b"),
        ...                 ("x", "y", "z"))
        >>> images.subset([2, 1]).names
        ('z', 'y')
        >>> images.batch([0, 2]).shape
        (2, 8, 8, 3)
    """

    pixels: NDArray[np.uint8] | Rows
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise ValueError(f"pixels must be uint8 [N, H, W, 3], got {dtype} {list(shape)}")
        if self.labels.dtype != np.int64 or self.labels.shape != (shape[0],):
            raise ValueError(
                f"labels must be int64 [{shape[0]}] like the pixels, "
                f"got {self.labels.dtype} {list(self.labels.shape)}"
            )
        if len(self.names) != shape[0]:
            raise ValueError(f"expected {shape[0]} names like the pixels, got {len(self.names)}")
        if shape[0] and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(
                f"labels must be 0 to {len(self.classes) - 1} ({len(self.classes)} classes), "
                f"got {self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Indices) -> Images:
        """The images at ``indices`` in that order, sharing the pixels: nothing is read or copied.

        The pixels of a subset are `Rows` over the same array, of whichever kind, so that folds of
        a memory-mapped split stay on disk and folds in memory take no second copy.
        """
        positions = np.arange(len(self))[indices]
        rows = self.pixels if isinstance(self.pixels, Rows) else _all_rows(self.pixels)
        return replace(
            self,
            pixels=rows.take(positions),
            labels=self.labels[positions],
            names=tuple(self.names[position] for position in positions),
            groups=self.groups and tuple(self.groups[position] for position in positions),
        )

    def batch(self, indices: Indices = slice(None)) -> NDArray[np.uint8]:
        """A new array uint8 [n, H, W, 3] with the pixels at ``indices``, by default all."""
        return np.asarray(self.pixels[np.arange(len(self))[indices]])


class SealedImages:
    """The test split out of the search's reach: it shows its length and nothing else.

    Only ``finalize`` calls `open`, once, after the search has chosen.
    """

    __slots__ = ("__images",)

    def __init__(self, images: Images) -> None:
        self.__images = images

    def __len__(self) -> int:
        return len(self.__images)

    def __repr__(self) -> str:
        return f"<{len(self)} sealed images>"

    def open(self) -> Images:
        """The test images. Only ``finalize`` does this."""
        return self.__images


@dataclass(frozen=True, eq=False)
class Splits:
    """The three splits of a data set.

    Args:
        train: Images to train on.
        val: Images that choose between policies.
        test: Images that judge the chosen one.
        fingerprint: Hexadecimal SHA-256 of everything that decides the splits' content.
        source: What the data was loaded from.
        classes: The class names.
        notices: What a reader of results must know about the data, such as test images that are
            also among the training images; each was a warning when the data was loaded.
        decoding: How new images are decoded alike; ``None`` for pixels that come from elsewhere:
            new images are then resized and cropped as `decode` does by default.
    """

    train: Images
    val: Images
    test: SealedImages
    fingerprint: str
    source: str
    classes: tuple[str, ...]
    notices: tuple[str, ...] = ()
    decoding: Decoding | None = None


def joined(first: Images, second: Images) -> Images:
    """All images of two splits of one data set, the first split's first; copies no pixels."""
    groups = None
    if first.groups is not None and second.groups is not None:
        groups = (*first.groups, *second.groups)
    return Images(
        _all_rows(Stacked(first.pixels, second.pixels)),
        np.concatenate([first.labels, second.labels]),
        first.classes,
        (*first.names, *second.names),
        groups,
    )


def _all_rows(pixels: NDArray[np.uint8] | Stacked) -> Rows:
    return Rows(pixels, np.arange(len(pixels)))
