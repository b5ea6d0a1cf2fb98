"""Images that a Python program has at hand, as arrays or paths, one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optuna_layerwise.data.decode import Item

_EXPECTED = (
    "expected paths of image files [n], or pixels [n, H, W] or [n, H, W, 3] as an array or a list "
    "of arrays"
)


def items_of(X: Any) -> list[Item]:
    """The images of ``X``, one by one.

    Raises:
        ValueError: if it is no list or array of paths or of pixels, or is empty.
    """
    if hasattr(X, "ndim") and not isinstance(X, np.ndarray):
        X = np.asarray(X)  # a pandas Series, a tensor
    if isinstance(X, str | os.PathLike) or not hasattr(X, "__len__"):
        raise ValueError(f"{_EXPECTED}, got a single {type(X).__name__}")
    if not isinstance(X, np.ndarray):
        X = list(X)
    if not len(X):
        raise ValueError(f"{_EXPECTED}, at least one, got an array with 0 sample(s)")
    if isinstance(X, np.ndarray) and X.dtype.kind not in "OUS":
        return list(_pixels_in(X, "X", batch=True))
    if isinstance(X, np.ndarray) and X.ndim != 1:
        raise ValueError(f"{_EXPECTED}, got an array {X.dtype} {list(X.shape)}")
    found: list[Item] = []
    for index, each in enumerate(X):
        if isinstance(each, str | os.PathLike):
            found.append(Path(each))
        elif isinstance(each, np.ndarray) and each.dtype.kind in "biuf":
            found.append(_pixels_in(each, f"X[{index}]", batch=False))
        else:
            raise ValueError(f"{_EXPECTED}, got a {type(each).__name__} in X[{index}]")
    return found


def _pixels_in(array: NDArray[Any], name: str, *, batch: bool) -> NDArray[Any]:
    """Pixels of one image, or of several, as `decode` takes them."""
    shape = array.shape[1:] if batch else array.shape
    if len(shape) == 3 and shape[-1] == 1:
        array, shape = array[..., 0], shape[:-1]
    if array.dtype.kind not in "biuf" or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        hint = ""
        if batch and array.ndim == 2:
            hint = "; flat pixels need their shape back, as in X.reshape(-1, 8, 8)"
        elif len(shape) == 3 and shape[0] in (1, 3):
            hint = "; move the channels to the end"
        raise ValueError(
            f"{_EXPECTED}, got {name} as an array {array.dtype} {list(array.shape)}{hint}"
        )
    if 0 in shape:
        raise ValueError(f"{_EXPECTED}, got {name} without pixels: {list(array.shape)}")
    return array * np.uint8(255) if array.dtype.kind == "b" else array


def names_of(items: Sequence[Item]) -> tuple[str, ...]:
    """A name of each image for messages: its path, or its place in ``X``."""
    return tuple(str(x) if isinstance(x, Path) else f"X[{i}]" for i, x in enumerate(items))


def is_eight_bit(items: Sequence[Item]) -> bool | None:
    """Whether the arrays are of bytes; ``None`` where files say that for themselves.

    Raises:
        ValueError: if some are and others are not.
    """
    kinds = {None if isinstance(item, Path) else item.dtype == np.uint8 for item in items}
    if {True, False} <= kinds:
        raise ValueError("X must have arrays of uint8, or none of uint8, got some of both")
    return None if None in kinds else kinds.pop()
