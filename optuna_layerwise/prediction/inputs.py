"""How what a user has becomes a network's input: images, texts, or arrays as they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from optuna_layerwise.data import Arrays, Examples, Images, Tokenizing
from optuna_layerwise.data.decode import Decoding, Item
from optuna_layerwise.data.examples import as_numbers
from optuna_layerwise.data.tokens import Texts
from optuna_layerwise.records.saved_network import SavedNetwork


class Reading(Protocol):
    """Reads the items of one kind of network."""

    def items(self, given: Any) -> Iterable[Any]:
        """What a user gives, one by one.

        Raises:
            ValueError: if it is something else.
        """

    def decoded(self, items: Sequence[Any]) -> list[Any]:
        """Each item as the network needs it, or, as a str, why it cannot be read.

        Raises:
            FileNotFoundError: if a file does not exist.
        """

    def examples(self, decoded: Sequence[Any], classes: tuple[str, ...]) -> Examples:
        """All of them together, as if they were of the first class."""


def reading_of(network: SavedNetwork) -> Reading:
    """What reads the items of a network."""
    if network.takes == "texts":
        return ReadingTexts(Tokenizing(network.tokenizer, network.max_tokens))
    if network.takes == "arrays":
        return ReadingArrays()
    return ReadingImages(Decoding(network.image_size, network.resize, network.value_range))


class ReadingImages:
    """Reads images: paths of files, or arrays [H, W] (grey) or [H, W, 3] (RGB).

    Args:
        decoding: How they were decoded for the training.
    """

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding

    def items(self, given: Any) -> Iterable[Item]:
        """See `Reading`; one path or array is one image, an array with four axes several."""
        if isinstance(given, str | os.PathLike):
            return [Path(given)]
        if isinstance(given, np.ndarray) and (given.ndim == 2 or given.shape[2:] == (3,)):
            return [given]
        return (_image(image) for image in given)

    def decoded(self, items: Sequence[Item]) -> list[NDArray[np.uint8] | str]:
        """See `Reading`; each is uint8 [size, size, 3]."""
        for item in items:
            if isinstance(item, Path) and not item.exists():
                raise FileNotFoundError(f"expected an image at {item}, found none")
        with ThreadPoolExecutor() as pool:  # Pillow releases the GIL
            return list(pool.map(self._decoded, items))

    def _decoded(self, item: Item) -> NDArray[np.uint8] | str:
        try:
            return self._decoding(item)
        except MemoryError:
            raise
        except Exception as error:  # Pillow documents no list of what damaged files raise
            return f"{type(error).__name__}: {error}"

    def examples(self, decoded: Sequence[NDArray[np.uint8]], classes: tuple[str, ...]) -> Examples:
        """See `Reading`."""
        return Images(np.stack(decoded), *_unlabelled(len(decoded), classes))


class ReadingTexts:
    """Reads texts, or pairs of texts.

    Args:
        tokenizing: How they became tokens for the training.
    """

    def __init__(self, tokenizing: Tokenizing) -> None:
        self._tokenizing = tokenizing

    def items(self, given: Any) -> Iterable[tuple[str, ...]]:
        """See `Reading`; one str is one text, a tuple of two a pair."""
        if isinstance(given, str):
            return [(given,)]
        return (_text(each, f"texts[{place}]") for place, each in enumerate(given))

    def decoded(self, items: Sequence[tuple[str, ...]]) -> list[tuple[str, ...] | str]:
        """See `Reading`."""
        return [item if all(text.strip() for text in item) else "it is empty" for item in items]

    def examples(self, decoded: Sequence[tuple[str, ...]], classes: tuple[str, ...]) -> Examples:
        """See `Reading`."""
        if len({len(item) for item in decoded}) > 1:
            raise ValueError("expected texts or pairs of texts, got some of both")
        tokens, _ = self._tokenizing(decoded)
        return Texts(tokens, *_unlabelled(len(decoded), classes))


class ReadingArrays:
    """Reads arrays, which are given to the network as they are."""

    def items(self, given: Any) -> Iterable[NDArray[Any]]:
        """See `Reading`; the first axis counts them."""
        return (as_numbers(each) for each in given)

    def decoded(self, items: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Reading`."""
        return list(items)

    def examples(self, decoded: Sequence[NDArray[Any]], classes: tuple[str, ...]) -> Examples:
        """See `Reading`."""
        if len(shapes := {item.shape for item in decoded}) > 1:
            raise ValueError(f"expected arrays of one shape, got {sorted(shapes)}")
        return Arrays(np.stack(decoded), *_unlabelled(len(decoded), classes))


def _unlabelled(n: int, classes: tuple[str, ...]) -> tuple[Any, ...]:
    return np.zeros(n, np.int64), classes, tuple(map(str, range(n)))


def _image(image: Any) -> Item:
    if isinstance(image, str | os.PathLike):
        return Path(image)
    array = np.asarray(image.cpu() if isinstance(image, torch.Tensor) else image)
    if array.dtype.kind not in "uif" or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise ValueError(
            "expected the path of an image file, or an array of numbers [H, W] or [H, W, 3], got "
            f"{type(image).__name__} {array.dtype} {list(array.shape)}"
        )
    return array


def _text(text: Any, name: str) -> tuple[str, ...]:
    item = (text,) if isinstance(text, str) else text
    if not (isinstance(item, tuple | list) and len(item) in (1, 2)) or not all(
        isinstance(each, str) for each in item
    ):
        raise ValueError(f"expected a text or a pair of texts, got {name} = {text!r}")
    return tuple(item)
