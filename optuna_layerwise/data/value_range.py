"""The one scale of a data set with images of more than 8 bits.

Cameras and scanners use a part of their range (12 bits in a 16-bit file, Hounsfield units,
kelvin), and no file says which. So the lowest value of the data set becomes 0 and the highest 255,
the same for every image. 8-bit images stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from optuna_layerwise.data.decode import Item
from optuna_layerwise.data.depth import (
    Deep,
    ValueRange,
    deep_values,
    is_cut_to_8_bits,
    require_finite,
)
from optuna_layerwise.data.formats import FORMATS, USUAL
from optuna_layerwise.data.notices import notice
from optuna_layerwise.data.raw import Part


@dataclass(frozen=True)
class _Found:
    """What one image holds."""

    name: str
    frames: bool  # several, of which the first counts
    kind: str = ""  # "floats" or "integers" of more than 8 bits; "cut" to upper bytes; or neither
    low: float = 0.0
    high: float = 0.0


def value_range(parts: Iterable[Part]) -> ValueRange | None:
    """The lowest and highest value of all images of more than 8 bits; ``None`` if there is none.

    Images that cannot be decoded do not count: the decoder is the one to report them.

    Raises:
        ValueError: if some hold integers and others floats, or the range is no finite number.
    """
    parts = list(parts)
    candidates = [
        pair
        for part in parts
        for pair in zip(part.names, part.items, strict=True)
        if isinstance(pair[1], Path) or pair[1].dtype != np.uint8
    ]
    with ThreadPoolExecutor() as pool:
        found = [one for one in pool.map(lambda pair: _inspect(*pair), candidates) if one]
    total = sum(map(len, parts))
    if several := [one.name for one in found if one.frames]:
        notice(
            f"{len(several)} of {total} images have several pages or frames, of which the first "
            f"is taken and the others are not ({several[0]})"
        )
    if cut := [one.name for one in found if one.kind == "cut"]:
        notice(
            f"{len(cut)} of {total} images hold 16-bit colour, of which only the upper byte can "
            f"be read ({cut[0]}); values that fill a part of the 16 bits become dark. Save them "
            "as PNG, or as 8-bit images, scaled as you need them"
        )
    deep = [one for one in found if one.kind not in ("", "cut")]
    if not deep:
        return None
    first = {one.kind: one.name for one in reversed(deep)}
    if len(first) > 1:
        raise ValueError(
            f"some images hold floats ({first['floats']}) and others integers of more than 8 bits "
            f"({first['integers']}), which no common scale serves; save all of them alike"
        )
    low, high = min(one.low for one in deep), max(one.high for one in deep)
    if not math.isfinite(high - low):
        raise ValueError(f"the images' values reach from {low:g} to {high:g}; rescale them")
    notice(
        f"{len(deep)} of {total} images have more than 8 bits: their values, which are "
        f"{low:.10g} to {high:.10g} over all splits, are scaled to 0 to 255 in every image alike"
    )
    return low, high


def _inspect(name: str, item: Item) -> _Found | None:
    frames = False
    try:
        if isinstance(item, Path):
            with Image.open(item, formats=FORMATS) as file:
                frames = file.format in USUAL and getattr(file, "n_frames", 1) > 1
                deep = deep_values(file)
                if deep is None:
                    return _Found(name, frames, "cut" if is_cut_to_8_bits(file) else "")
        else:
            deep = Deep(item)
        require_finite(deep.values)
    except MemoryError:
        raise
    except Exception:  # the decoder reports it; Pillow documents no list of what files raise
        return None
    values = deep.visible
    kind = "floats" if values.dtype.kind == "f" else "integers"
    return _Found(name, frames, kind, float(values.min()), float(values.max()))
