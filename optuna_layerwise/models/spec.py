"""A model as plain data: name, arguments, weights, input; it can be built, hashed and stored."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import hashlib
import http.client
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from optuna_layerwise.models.digits_cnn import DigitsCNN
from optuna_layerwise.models.heads import replace_head
from optuna_layerwise.models.partition import Blocks, Granularity, Patterns, partition
from optuna_layerwise.models.weights import load_weights

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "digits_cnn": DigitsCNN,
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "resnet18": torchvision.models.resnet18,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
}
"""Name to builder, called with ``num_classes``; torchvision's other classifiers need no row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A network, where its weights come from, and what it takes as input.

    Args:
        name: Of `MODELS`, or any classification model of torchvision.
        args: Further arguments of its builder, such as ``{"width_mult": 0.35}``.
        weights: A local file (see `load_weights`); ``DEFAULT`` or another name of torchvision's
            weights, which are downloaded; or ``None`` for random ones.
        mean: Per channel, of pixels in [0, 1]; default ImageNet's.
        std: Per channel, of pixels in [0, 1]; default ImageNet's.
        image_size: Side of the square input in pixels.
        granularity: Of `partition`.
        patterns: Of `partition`.

    Raises:
        ValueError: if the name is unknown or a value is out of its range.

    Example:
        >>> spec = ModelSpec(name="digits_cnn", image_size=8)
        >>> list(spec.partition(spec.build(10)))
        ['stem', 'stage1', 'stage2', 'stage3', 'head']
    """

    name: str
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | os.PathLike[str] | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    image_size: int = 224
    granularity: Granularity = "stage"
    patterns: Patterns | None = None

    def __post_init__(self) -> None:
        _builder(self.name)
        for field in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, field))
            if len(values) != 3 or (field == "std" and min(values) <= 0):
                raise ValueError(f"{field} must be 3 numbers (std above 0), got {values}")
            object.__setattr__(self, field, values)
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}")
        object.__setattr__(self, "args", dict(self.args))
        if self.weights is not None:
            object.__setattr__(self, "weights", os.fspath(self.weights))

    def build(self, num_classes: int) -> nn.Module:
        """The network with its weights and a head for ``num_classes``, on the CPU.

        Raises:
            ConnectionError: if torchvision's weights cannot be downloaded.
            FileNotFoundError: if the weights are a file that does not exist.
            ValueError: if the weights do not fit, or torchvision has none of that name, or the
                network does not take the arguments.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if self.weights is None or self._is_file:
            model = self._call(num_classes=num_classes)
            if self.weights is not None:
                load_weights(model, self.weights)
            return model
        try:
            model = self._call(weights=self._published)
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(
                f"cannot download {self.weights!r} of {self.name} ({error}); "
                "get the file elsewhere and pass its path as weights="
            ) from error
        replace_head(model, num_classes)
        return model

    def _call(self, **ours: Any) -> nn.Module:
        try:
            return _builder(self.name)(**ours, **self.args)
        except TypeError as error:
            raise ValueError(f"{self.name} does not take {dict(self.args)}: {error}") from error

    def partition(self, model: nn.Module) -> Blocks:
        """The blocks of a model that `build` made."""
        return partition(model, granularity=self.granularity, patterns=self.patterns)

    @property
    def weights_hash(self) -> str | None:
        """SHA-256 of the weight file, the full name of torchvision's weights, or ``None``."""
        if self.weights is None:
            return None
        if not self._is_file:
            return str(self._published)
        digest = hashlib.sha256()
        with Path(self.weights).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, with the content of the weights in place of their path."""
        fields = {**dataclasses.asdict(self), "weights": self.weights_hash}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def _is_file(self) -> bool:
        return self.weights is not None and (
            Path(self.weights).suffix != "" or Path(self.weights).is_file()
        )

    @property
    def _published(self) -> Any:
        known = {}
        if self.name in torchvision.models.list_models(module=torchvision.models):
            known = torchvision.models.get_model_weights(self.name).__members__
        if self.weights not in known:
            raise ValueError(
                f"weights of {self.name} must be a file or one of {list(known)}, "
                f"got {self.weights!r}"
            )
        return known[self.weights]


def check_input(model: nn.Module, image_size: int) -> None:
    """Verify that a copy of the model takes images of this size, in eval and in train mode.

    Raises:
        ValueError: with the model's own message if it does not, or if it does not return one
            row of outputs per image.
    """
    probe = copy.deepcopy(model)
    size = f"{image_size} x {image_size} pixels"
    for mode, n in (("eval", 1), ("train", 2)):
        images = torch.zeros(n, 3, image_size, image_size).to(next(probe.parameters()))
        try:
            with torch.no_grad():
                outputs = probe.train(mode == "train")(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(
                f"{type(model).__name__} cannot take images of {size} in {mode} mode: {error}; "
                "choose another image_size"
            ) from error
        if not isinstance(outputs, torch.Tensor) or outputs.shape[:-1] != (n,):
            got = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs)
            raise ValueError(
                f"{type(model).__name__} must return one row of outputs per image; for {n} images "
                f"of {size} in {mode} mode it gave {got}"
            )


def _builder(name: str) -> Callable[..., nn.Module]:
    published = torchvision.models.list_models(module=torchvision.models)
    if name in MODELS:
        return MODELS[name]
    if name not in published:
        names = [*MODELS, *published]
        near = difflib.get_close_matches(name, names) or sorted(names)
        raise ValueError(f"unknown model {name!r}; did you mean one of {near}?")
    builder: Callable[..., nn.Module] = torchvision.models.get_model_builder(name)
    return builder
