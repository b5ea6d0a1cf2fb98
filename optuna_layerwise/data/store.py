"""Decode every image once, in parallel, into memory or into a memory-mapped file.

A cached data set is a folder named by its fingerprint with one raw uint8 file per split and
``bad.json``. It is written beside its place, flushed to disk and renamed, so that a folder of that
name is always whole. Nothing deletes it; it may be deleted at any time.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Decoding, Item
from optuna_layerwise.data.raw import Part

Decoded: TypeAlias = "tuple[NDArray[np.uint8], dict[int, str]]"
"""The pixels of the good images, and for each bad one its index and the reason."""
Decoder: TypeAlias = "Callable[[Item], NDArray[np.uint8]]"

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What writing to a full disk, or past a quota, raises."""

_CHUNK = 256  # images decoded ahead of the writer


def decode_in_memory(parts: Mapping[str, Part], decoding: Decoding) -> dict[str, Decoded]:
    """Decode each part into an array of its own."""
    decoded: dict[str, Decoded] = {}
    for name, part in parts.items():
        pixels = np.empty((len(part), *_shape(decoding)), np.uint8)
        bad: dict[int, str] = {}
        for row, image in enumerate(_good_images(part, decoding, bad)):
            pixels[row] = image
        decoded[name] = pixels[: len(part) - len(bad)], bad
    return decoded


def decode_to_disk(
    parts: Mapping[str, Part], decoding: Decoding, *, folder: Path
) -> dict[str, Decoded]:
    """Decode each part into a file of its own in ``folder``, unless that exists, and map them.

    Raises:
        OSError: if no space is left for it; what was written is removed.
        ValueError: if the folder exists and is damaged.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder.parent) as temporary:
                _write(parts, decoding, Path(temporary) / "images")
                try:
                    os.replace(Path(temporary) / "images", folder)
                except OSError:
                    if not folder.exists():  # otherwise another process was first
                        raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            needed = sum(map(len, parts.values())) * math.prod(_shape(decoding))
            raise OSError(
                error.errno,
                f"no space left for the decoded images in {folder.parent}: they take "
                f"{needed / 1e6:.0f} MB, {shutil.disk_usage(folder.parent).free / 1e6:.0f} MB are "
                "free; what was written is removed. Free some, choose another cache_dir (or the "
                "variable XDG_CACHE_HOME), or a smaller image_size (--image-size)",
            ) from error
    try:
        return _map(parts, decoding, folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"the image cache {folder} is damaged; delete it: {error}") from error


def _shape(decoding: Decoding) -> tuple[int, int, int]:
    return decoding.image_size, decoding.image_size, 3


def _write(parts: Mapping[str, Part], decoding: Decoding, folder: Path) -> None:
    folder.mkdir()
    reasons: dict[str, dict[int, str]] = {}
    for name, part in parts.items():
        with open(folder / f"{name}.u8", "wb") as file:
            bad = reasons.setdefault(name, {})
            for image in _good_images(part, decoding, bad):
                file.write(image.tobytes())
            file.flush()
            os.fsync(file.fileno())
    (folder / "bad.json").write_text(json.dumps(reasons))


def _map(parts: Mapping[str, Part], decoding: Decoding, folder: Path) -> dict[str, Decoded]:
    reasons = json.loads((folder / "bad.json").read_text())
    decoded: dict[str, Decoded] = {}
    for name, part in parts.items():
        bad = {int(index): str(reason) for index, reason in reasons[name].items()}
        shape = (len(part) - len(bad), *_shape(decoding))
        path = folder / f"{name}.u8"
        if (size := path.stat().st_size) != (expected := int(np.prod(shape))):
            raise ValueError(f"{path.name} should have {expected} bytes and has {size}")
        pixels = np.memmap(path, np.uint8, "r", shape=shape) if size else np.empty(shape, np.uint8)
        decoded[name] = pixels, bad
    return decoded


def _good_images(part: Part, decoder: Decoder, bad: dict[int, str]) -> Iterator[NDArray[np.uint8]]:
    """The images that can be decoded, in order; notes the others in ``bad``."""

    def attempt(item: Item) -> NDArray[np.uint8] | str:
        try:
            return decoder(item)
        except MemoryError:
            raise
        except Exception as error:  # Pillow documents no list of what damaged files raise
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor() as pool:  # Pillow releases the GIL
        for start in itertools.count(0, _CHUNK):
            if not (chunk := part.items[start : start + _CHUNK]):
                return
            for index, result in enumerate(pool.map(attempt, chunk), start):
                if isinstance(result, str):
                    bad[index] = result
                else:
                    yield result
