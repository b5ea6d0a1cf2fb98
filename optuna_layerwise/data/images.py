"""Images: examples whose inputs are pixels, which are normalised for the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.examples import Examples, Rows
from optuna_layerwise.data.targets import Labels


@dataclass(frozen=True, eq=False)
class Images(Examples):
    """Labelled RGB images of one size; see `Examples`.

    Args:
        pixels: uint8 [N, H, W, 3].
        labels: See `Examples`.
        classes: See `Examples`.
        names: See `Examples`.
        groups: See `Examples`.
        scale: See `Examples`.

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
    labels: Labels
    classes: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    scale: tuple[tuple[float, float], ...] = ()

    noun: ClassVar[str] = "images"
    _field: ClassVar[str] = "pixels"

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise ValueError(f"pixels must be uint8 [N, H, W, 3], got {dtype} {list(shape)}")
        self.check()
