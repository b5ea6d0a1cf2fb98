"""An exported network, or team, that says the class of new images, texts or arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import nn

from optuna_layerwise.models.rebuilding import rebuilt
from optuna_layerwise.models.team import is_team, load_team
from optuna_layerwise.models.weights import load_tensors
from optuna_layerwise.prediction.inputs import Reading, reading_of
from optuna_layerwise.records.saved_network import WEIGHTS, SavedNetwork, network_in
from optuna_layerwise.tasks import task_of
from optuna_layerwise.training.engine import Engine

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
        self._reading: Reading = reading_of(network)
        self._engine = Engine(mean=network.mean, std=network.std, device=device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.network.classes

    def predict(self, images: Any) -> list[Any]:
        """The answer for each image (or text, or array).

        It is the name of the most probable class; of several labels the names of those that are
        as probable as not, a tuple; or the numbers, float64 [targets].

        Args:
            images: See `predict_proba`.
        """
        answers = self.predict_proba(images)
        if self.network.task == "regression":
            return [*answers]
        if self.network.task == "multilabel":
            return [self.labels(row) for row in answers]
        return [self.classes[index] for index in answers.argmax(axis=1)]

    def labels(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """Of several labels the names of those with a probability of at least one half."""
        return tuple(self.classes[index] for index in np.flatnonzero(probabilities >= 0.5))

    def predict_proba(self, images: Any) -> NDArray[np.float64]:
        """The probabilities of all classes, float64 [images, classes]; each row has the sum 1.

        Of several labels each one's own probability; of targets the numbers.

        Images are decoded, resized, cropped and normalised as they were for the training.

        Args:
            images: Paths of image files, or arrays [H, W] (grey) or [H, W, 3] (RGB): uint8, or of
                other numbers where the network was trained on images of more than 8 bits. One
                path is one image; one array is one image, or with four axes several.

        Raises:
            FileNotFoundError: if a file does not exist.
            ValueError: if an image cannot be decoded, or a text is empty; it says which.
        """
        found: list[NDArray[np.float64]] = []
        for items in _parcels(self._reading.items(images)):
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
            if self.network.task != "classification":
                raise ValueError(f"no class is plausible: the task is {self.network.task}")
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

    def decoded(self, items: Sequence[Any]) -> list[Any]:
        """Each item as `probabilities` takes it, or, as a str, why it cannot be read.

        Raises:
            FileNotFoundError: if a file does not exist.
        """
        decoded: list[Any] = self._reading.decoded(items)
        return decoded

    def probabilities(self, decoded: Sequence[Any]) -> NDArray[np.float64]:
        """The probabilities of items that are decoded, float64 [items, classes]."""
        if not decoded:
            return np.empty((0, len(self.classes)))
        examples = self._reading.examples(decoded, self.classes)
        return task_of(self.network).answers(self._engine.outputs(self.model, examples))


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


def _parcels(items: Iterable[Any]) -> Iterator[list[Any]]:
    parcel: list[Any] = []
    for item in items:
        parcel.append(item)
        if len(parcel) == _AT_ONCE:
            yield parcel
            parcel = []
    if parcel:
        yield parcel


def _said(item: Any) -> str:
    if isinstance(item, Path):
        return f"the image {item}"
    return f"an array {list(item.shape)}" if hasattr(item, "shape") else f"the text {item}"
