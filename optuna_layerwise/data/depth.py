"""Images of more than 8 bits: their values, and how these become 8-bit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ValueRange: TypeAlias = "tuple[float, float]"
"""The values that become 0 and 255."""


def deep_values(file: Image.Image) -> NDArray[Any] | None:
    """The values [H, W] of an opened file of more than 8 bits, or ``None`` for any other."""
    if file.mode == "F" or file.mode.startswith("I"):
        return np.asarray(ImageOps.exif_transpose(file))
    return None


def is_cut_to_8_bits(file: Image.Image) -> bool:
    """Whether Pillow reads only the upper byte of each value, as it does in 16-bit colour."""
    tiles = getattr(file, "tile", ())
    return not file.mode.startswith("I") and any(";16" in str(tile[3]) for tile in tiles)


def require_finite(values: NDArray[Any]) -> None:
    """Refuse NaN and infinite values.

    Raises:
        ValueError: which counts them.
    """
    if values.dtype.kind == "f" and (count := np.count_nonzero(~np.isfinite(values))):
        raise ValueError(f"{count} of its {values.size} values are NaN or infinite")


def to_8_bits(values: NDArray[Any], value_range: ValueRange) -> Image.Image:
    """The image ``round(255 (value - low) / (high - low))``, clipped to 0 to 255."""
    low, high = value_range
    scaled = (values.astype(np.float64) - low) * (255 / (high - low or 1))
    return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8))
