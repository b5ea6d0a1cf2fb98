"""Images: examples whose inputs are pixels, which are normalised for the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.examples import Examples, Rows


@dataclass(frozen=True, eq=False)
class Images(Examples):
    """Labelled RGB images of one size, as uint8 [N, H, W, 3]; see `Examples`.

    Raises:
        ValueError: if shapes, types or labels do not fit together.

    Examples:
        >>> images = Images(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 0]), ("a", "b"),
        ...                 ("x", "y", "z"))
        >>> images.batch([0, 2]).shape
        (2, 8, 8, 3)
    """

    noun: ClassVar[str] = "images"

    @property
    def pixels(self) -> NDArray[np.uint8] | Rows:
        """The inputs."""
        return self.inputs

    def __post_init__(self) -> None:
        shape, dtype = self.inputs.shape, self.inputs.dtype
        if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise ValueError(f"pixels must be uint8 [N, H, W, 3], got {dtype} {list(shape)}")
        super().__post_init__()
