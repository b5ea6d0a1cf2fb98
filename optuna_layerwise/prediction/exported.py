"""An exported network, or team, that says the class of new images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import nn

from optuna_layerwise.data import Images
from optuna_layerwise.data.decode import Decoding, Item
from optuna_layerwise.models.rebuilding import rebuilt
from optuna_layerwise.models.team import is_team, load_team
from optuna_layerwise.models.weights import load_tensors
from optuna_layerwise.records.saved_network import WEIGHTS, SavedNetwork, network_in
from optuna_layerwise.training.engine import Engine

Image: TypeAlias = "str | os.PathLike[str] | NDArray[Any]"
"""The path of an image file, or an array [H, W] or [H, W, 3]."""
_AT_ONCE = 256
"""Images that are decoded, and kept in memory, at a time."""


class Exported:
    """A network, or a team of several, with all that it needs to classify new images.

    Args:
        network: How images are prepared, and what the outputs mean.
        model: The network, on the CPU.
        device: See `resolve_device`.

    Examples:
        See `load_exported`.
    """

    def __init__(self, network: SavedNetwork, model: nn.Module, *, device: str = "auto") -> None:
        self.network = network
        self.model = model.eval()
        self._decoding = Decoding(network.image_size, network.resize, network.value_range)
        self._engine = Engine(mean=network.mean, std=network.std, device=device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.network.classes

    def predict(self, images: Image | Iterable[Image]) -> list[str]:
        """The name of the most probable class of each image.

        Args:
            images: See `predict_proba`.
        """
        return [self.classes[index] for index in self.predict_proba(images).argmax(axis=1)]

    def predict_proba(self, images: Image | Iterable[Image]) -> NDArray[np.float64]:
        """The probabilities of all classes, float64 [images, classes]; each row has the sum 1.

        Images are decoded, resized, cropped and normalised as they were for the training.

        Args:
            images: Paths of image files, or arrays [H, W] (grey) or [H, W, 3] (RGB): uint8, or of
                other numbers where the network was trained on images of more than 8 bits. One
                path is one image; one array is one image, or with four axes several.

        Raises:
            FileNotFoundError: if a file does not exist.
            ValueError: if an image cannot be decoded; it says which.
        """
        found: list[NDArray[np.float64]] = []
        for items in _parcels(_items(images)):
            decoded = self.decoded(items)
            for item, image in zip(items, decoded, strict=True):
                if isinstance(image, str):
                    raise ValueError(f"{_said(item)} cannot be decoded: {image}")
            found.append(self.probabilities([d for d in decoded if not isinstance(d, str)]))
        return np.concatenate(found) if found else np.empty((0, len(self.classes)))

    def plausible(self, probabilities: NDArray[np.float64]) -> list[list[str]]:
        """The classes that are plausible for each image, the most probable one first.

        One class: the network is sure. None or several: it is not. For 9 of 10 images like those
        that it was trained on, the true class is among them.

        Args:
            probabilities: [images, classes], as `predict_proba` gives them.

        Raises:
            ValueError: if it is not known from which probability on a class is plausible.
        """
        if (least := self.network.plausible) is None:
            raise ValueError(
                "it is not known which classes are plausible: on held-out images, the "
                "probabilities of this network were not all finite"
            )
        return [
            [
                self.classes[index]
                for index in np.argsort(-row, kind="stable")
                if row[index] >= least
            ]
            for row in probabilities
        ]

    def decoded(self, items: Sequence[Item]) -> list[NDArray[np.uint8] | str]:
        """Each image as uint8 [size, size, 3], or why it cannot be decoded.

        Raises:
            FileNotFoundError: if a file does not exist.
        """
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

    def probabilities(self, decoded: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """The probabilities of images that are decoded, float64 [images, classes]."""
        if not decoded:
            return np.empty((0, len(self.classes)))
        n = len(decoded)
        images = Images(
            np.stack(decoded), np.zeros(n, np.int64), self.classes, tuple(map(str, range(n)))
        )
        logits = self._engine.outputs(self.model, images).cpu().double()
        probabilities: NDArray[np.float64] = logits.softmax(dim=1).numpy()
        return probabilities


def load_exported(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    build: Callable[[int], nn.Module] | None = None,
) -> Exported:
    """The network, or team, of an exported folder or of a file of weights.

    No code from the folder is run, and nothing is downloaded.

    Args:
        path: A folder that `optuna-layerwise export` wrote, or a file of weights that
            finalizing a study saved.
        device: See `resolve_device`.
        build: Makes the network, for a number of classes; for weights of an `OwnModel`, whose own
            `build` it may be.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, of an older release, or of a network whose package is not
            installed.
    """
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise FileNotFoundError(
            f"expected a folder that `optuna-layerwise export` wrote, with the file {WEIGHTS}; "
            f"found no such file in {path}"
        )
    network = network_in(file)

    def built() -> nn.Module:
        if build is not None:
            return build(len(network.classes))
        return rebuilt(network.model, network.args, network.config, len(network.classes))

    if is_team(file):
        return Exported(network, load_team(file, built), device=device)
    model = built()
    try:
        with safe_open(file, framework="pt") as opened:
            tied = opened.metadata() or {}  # as `save_model` notes them
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            for name in model.state_dict().keys() - tensors.keys():
                tensors[name] = opened.get_tensor(tied.get(name, name))
        load_tensors(model, tensors)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"the weights in {file} are not of the network {network.model} that the file names: "
            f"{reason[:300]}"
        ) from error
    return Exported(network, model, device=device)


def _items(images: Image | Iterable[Image]) -> Iterable[Item]:
    """Paths and arrays, an image each."""
    if isinstance(images, str | os.PathLike):
        return [Path(images)]
    if isinstance(images, np.ndarray) and (images.ndim == 2 or images.shape[2:] == (3,)):
        return [images]
    return (_item(image) for image in images)


def _item(image: Image) -> Item:
    if isinstance(image, str | os.PathLike):
        return Path(image)
    array = np.asarray(image.cpu() if isinstance(image, torch.Tensor) else image)
    if array.dtype.kind not in "uif" or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise ValueError(
            "expected the path of an image file, or an array of numbers [H, W] or [H, W, 3], got "
            f"{type(image).__name__} {array.dtype} {list(array.shape)}"
        )
    return array


def _parcels(items: Iterable[Item]) -> Iterator[list[Item]]:
    parcel: list[Item] = []
    for item in items:
        parcel.append(item)
        if len(parcel) == _AT_ONCE:
            yield parcel
            parcel = []
    if parcel:
        yield parcel


def _said(item: Item) -> str:
    return f"the image {item}" if isinstance(item, Path) else f"an array {list(item.shape)}"
