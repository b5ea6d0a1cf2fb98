"""One image file or array to square uint8 RGB, as BioTune prepares its images.

The short side is resized (bilinear with antialiasing; small images are enlarged) and the centre is
cropped: bit for bit torchvision's ``Resize`` and ``CenterCrop``. By default the short side becomes
``round(image_size * 232 / 224)``, and an image that already is ``image_size`` x ``image_size`` is
taken as it is.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from optuna_layerwise.data.depth import Deep, ValueRange, deep_values, require_finite, to_8_bits
from optuna_layerwise.data.formats import FORMATS

Item: TypeAlias = "Path | NDArray[Any]"
"""An image file, or an array of numbers [H, W] or [H, W, 3]."""


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How the images of a data set were decoded, so that new images can be decoded alike.

    Args:
        image_size: Side of the decoded images in pixels.
        resize: What the short side becomes; see `decode`.
        value_range: The values that become 0 and 255, of images of more than 8 bits.
    """

    image_size: int
    resize: int | None = None
    value_range: ValueRange | None = None

    def __call__(self, item: Item) -> NDArray[np.uint8]:
        """The image as uint8 [image_size, image_size, 3]; see `decode`."""
        return decode(item, self.image_size, resize=self.resize, value_range=self.value_range)


def decode(
    item: Item,
    image_size: int,
    *,
    resize: int | None = None,
    value_range: ValueRange | None = None,
) -> NDArray[np.uint8]:
    """The image as uint8 [image_size, image_size, 3].

    A given ``resize`` (at least ``image_size``) is what the short side of every image becomes.

    Files may be of any of ``FORMATS``, whatever their suffix; of several frames the first counts.

    * EXIF orientation is applied.
    * Integers of more than 8 bits and floats are scaled from the ``value_range`` to 0 to 255.
    * Transparent pixels are composited on black (what lies below full transparency is arbitrary).
    * Grey, palette and CMYK become RGB; colour profiles are ignored.

    Raises:
        ValueError: if the file is empty, or has more than 8 bits and holds NaN or no
            ``value_range`` is given.
        Exception: whatever Pillow raises for a damaged file.
    """
    if isinstance(item, Path):
        if item.stat().st_size == 0:
            raise ValueError("the file is empty (0 bytes)")
        with Image.open(item, formats=FORMATS) as file:
            deep = deep_values(file)
            image = ImageOps.exif_transpose(file) if deep is None else _scaled(deep, value_range)
            image = _to_rgb(image)
    elif item.dtype == np.uint8:
        image = _to_rgb(Image.fromarray(item))
    else:
        image = _to_rgb(_scaled(Deep(item), value_range))
    if resize is None and image.size == (image_size, image_size):
        return np.asarray(image)
    short = round(image_size * 232 / 224) if resize is None else resize
    return np.asarray(_crop(_resize(image, short), image_size))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("RGB")


def _scaled(deep: Deep, value_range: ValueRange | None) -> Image.Image:
    require_finite(deep.values)
    if value_range is None:
        raise ValueError("it has more than 8 bits; pass the value_range that becomes 0 to 255")
    return to_8_bits(deep, value_range)


def _resize(image: Image.Image, short: int) -> Image.Image:
    width, height = image.size
    if width <= height:
        size = (short, int(short * height / width))
    else:
        size = (int(short * width / height), short)
    return image.resize(size, Image.Resampling.BILINEAR)


def _crop(image: Image.Image, side: int) -> Image.Image:
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))
