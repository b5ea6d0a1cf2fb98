"""Images of more than 8 bits: their values, and how these become 8-bit.

Pillow reads one byte of each value of 16-bit colour: the upper one, and the lower one if it is
told the other byte order. So such a file is read twice. Of a compressed TIFF in big-endian order,
Pillow swaps the bytes of floats and signed integers although libtiff has done so.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ValueRange: TypeAlias = "tuple[float, float]"
"""The values that become 0 and 255."""

_BITS, _PHOTOMETRIC, _PLANES, _SAMPLES = 258, 262, 284, 339
"""Tags of TIFF."""
_NATIVE = {"big": "B", "little": "L"}[sys.byteorder]


class Deep(NamedTuple):
    """Values [H, W] or [H, W, 3] of more than 8 bits, and their opacity [H, W] from 0 to 1."""

    values: NDArray[Any]
    alpha: NDArray[Any] | None = None

    @property
    def visible(self) -> NDArray[Any]:
        """The values that are not fully transparent, or all if each is."""
        if self.alpha is None or not self.alpha.any():
            return self.values
        return self.values[self.alpha > 0]


def deep_values(file: Image.Image) -> Deep | None:
    """The values of an opened file of more than 8 bits, or ``None`` for any other."""
    order = _order_of_colour(file)
    if order:
        return _colour(file, order)
    tags = getattr(file, "tag_v2", {})
    samples = tags.get(_SAMPLES, (0,))[0]
    if file.mode == "L" and samples == 2:  # signed, which Pillow takes for unsigned
        return Deep(np.asarray(ImageOps.exif_transpose(file)).view(np.int8))
    if file.mode != "F" and not file.mode.startswith("I"):
        return None
    file.tile = [_as_libtiff_gives(tile) for tile in _tiles(file)]  # type: ignore[attr-defined]
    values = np.asarray(ImageOps.exif_transpose(file))
    if samples == 1 and tags.get(_BITS) == (32,):
        values = values.view(np.uint32)
    if tags.get(_PHOTOMETRIC) == 0 and values.dtype.kind == "u":  # 0 is white
        values = ~values
    return Deep(values, _opaque(file, values))


def is_cut_to_8_bits(file: Image.Image) -> bool:
    """Whether only the upper byte of each value can be read: of 16-bit CMYK and such."""
    if file.format == "PPM" and file.mode == "RGB":
        return any(isinstance(args := tile[3], tuple) and args[1] > 255 for tile in _tiles(file))
    return any(";16" in _raw_mode(tile) for tile in _tiles(file))


def require_finite(values: NDArray[Any]) -> None:
    """Refuse NaN and infinite values.

    Raises:
        ValueError: which counts them.
    """
    if values.dtype.kind == "f" and (count := np.count_nonzero(~np.isfinite(values))):
        raise ValueError(f"{count} of its {values.size} values are NaN or infinite")


def to_8_bits(deep: Deep, value_range: ValueRange) -> Image.Image:
    """The image ``round(255 (value - low) / (high - low))``, clipped to 0 to 255, on black."""
    low, high = value_range
    scaled = (deep.values.astype(np.float64) - low) * (255 / (high - low or 1))
    scaled = np.clip(scaled, 0, 255)
    if deep.alpha is not None:
        scaled *= deep.alpha if scaled.ndim == 2 else deep.alpha[..., None]
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _order_of_colour(file: Image.Image) -> str:
    """Byte order, B or L, of 16-bit colour whose bytes can be read; empty for all else."""
    tiles = _tiles(file)
    if file.mode not in ("RGB", "RGBA") or not tiles:
        return ""
    if file.format == "PNG":
        return "B" if ";16" in _raw_mode(tiles[0]) else ""
    tags: Any = getattr(file, "tag_v2", {})
    if tags.get(_BITS, (8,))[0] != 16:
        return ""
    if tiles[0][0] != "libtiff":
        return "B" if tags.prefix == b"MM" else "L"
    return "" if tags.get(_PLANES) == 2 else _NATIVE  # of separate planes it gives upper bytes


def _colour(file: Image.Image, order: str) -> Deep:
    upper, stored = _bytes(file, order), _raw_mode(_tiles(file)[0])
    if stored.startswith("LA"):
        values = (upper[..., ::2].astype(np.uint16) << 8 | upper[..., 1::2])[..., [0, 0, 0, 1]]
    else:
        values = upper.astype(np.uint16) << 8 | _bytes(file, "BL".replace(order, ""))
    if stored.startswith("RGBa"):  # is on black already
        return Deep(values[..., :3])
    if values.shape[-1] == 4:
        return Deep(values[..., :3], values[..., 3] / 65535)
    return Deep(values, _opaque(file, values))


def _opaque(file: Image.Image, values: NDArray[Any]) -> NDArray[Any] | None:
    """Where the values are not those of the one transparent colour, if there is one."""
    key = file.info.get("transparency")
    if key is None:
        return None
    differs = values != key
    return np.asarray(differs if values.ndim == 2 else differs.any(axis=-1))


def _bytes(file: Image.Image, order: str) -> NDArray[np.uint8]:
    """One byte of each value: the upper one if it is the file's order, else the lower one.

    Grey with alpha comes as both bytes of both, as if it were four channels.
    """
    formats = None if file.format is None else [file.format]
    with Image.open(getattr(file, "filename", ""), formats=formats) as again:
        tiles = []
        for tile in _tiles(again):
            base = _raw_mode(tile).partition(";")[0].upper()
            mode = "RGBA" if base == "LA" else f"{base};16{order}"
            tiles.append(_stored_as(tile, mode))
        again.tile = tiles
        return np.asarray(ImageOps.exif_transpose(again))


def _as_libtiff_gives(tile: Any) -> Any:
    """A piece whose values are in the order of this machine, where libtiff decodes them."""
    raw = _raw_mode(tile)
    is_swapped = tile[0] == "libtiff" and raw.endswith(("BS", "BF"))
    return _stored_as(tile, raw.replace("B", "N")) if is_swapped else tile


def _stored_as(tile: Any, mode: str) -> Any:
    """A piece with another first argument."""
    args = mode if isinstance(tile[3], str) else (mode, *tile[3][1:])
    return getattr(type(tile), "_make", tuple)([*tile[:3], args])


def _tiles(file: Image.Image) -> list[Any]:
    """How Pillow reads an opened file: decoder, place, offset and arguments of each piece."""
    return list(getattr(file, "tile", ()))


def _raw_mode(tile: Any) -> str:
    """The first of the arguments: how the values are stored."""
    return tile[3] if isinstance(tile[3], str) else str(tile[3][0] if tile[3] else "")
