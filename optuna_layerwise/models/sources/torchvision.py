"""Our own networks, and torchvision's classifiers with their published weights."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torchvision
from torch import nn

from optuna_layerwise.models.digits_cnn import DigitsCNN
from optuna_layerwise.models.heads import replace_head
from optuna_layerwise.models.resnet20 import ResNet20
from optuna_layerwise.models.sources.arguments import Defaults, defaults_in, defaults_of
from optuna_layerwise.models.sources.source import Preprocessing, unknown


def _googlenet(*, aux_logits: bool = False, **args: Any) -> nn.Module:
    """Without auxiliary classifiers by default: the published ones were never trained."""
    if aux_logits or args.get("weights") is None:  # with weights, torchvision refuses False
        args["aux_logits"] = aux_logits
    model: nn.Module = torchvision.models.googlenet(**{**_QUIET, **_RESCALES, **args})
    return model


_QUIET = {"init_weights": False}
"""No warning on how random weights are drawn."""
_RESCALES = {"transform_input": True}
"""The published Inceptions rescale normalised input themselves."""
ALSO_GIVEN: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {**_RESCALES, "aux_logits": False},
    "inception_v3": _RESCALES,
}
"""Network to the arguments that it is built with here, and that torchvision's builder needs."""

MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "digits_cnn": DigitsCNN,
    "googlenet": _googlenet,
    "inception_v3": functools.partial(torchvision.models.inception_v3, **_QUIET, **_RESCALES),
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "resnet18": torchvision.models.resnet18,
    "resnet20": ResNet20,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
}
"""Name to builder, called with ``num_classes``; torchvision's other classifiers need no row."""

MADE_HERE: Mapping[str, str] = {
    "digits_cnn": "optuna_layerwise.training.pretrained_digits:pretrained_digits"
}
"""Our own networks whose weights are trained where they are first asked for, to the function that
gives their file; it is named, not imported, since training is made of models."""

_IMAGE_SIZES = {"digits_cnn": 8, "resnet20": 32}


def check(name: str) -> None:
    """See `Source`."""
    if name not in MODELS and name not in _published_models():
        raise unknown(name, [*MODELS, *_published_models()])


def arguments(name: str) -> Defaults | None:
    """See `Source`."""
    if name not in _published_models():
        return defaults_of(MODELS[name])
    builder = torchvision.models.get_model_builder(name)
    return defaults_in(importlib.import_module(builder.__module__))


def takes_texts(name: str) -> bool:
    """See `Source`."""
    return False


def tokenizer(name: str) -> tuple[str, int]:
    """See `Source`."""
    raise ValueError(f"{name} takes images, and has no tokenizer")


def build(name: str, args: Mapping[str, Any], weights: str | None, num_classes: int) -> nn.Module:
    """See `Source`."""
    builder = MODELS.get(name) or torchvision.models.get_model_builder(name)
    if weights is None:
        model: nn.Module = builder(num_classes=num_classes, **args)
        return model
    model = builder(weights=torchvision.models.get_model_weights(name)[weights], **args)
    replace_head(model, num_classes)
    return model


def known_weights(name: str) -> Sequence[str]:
    """See `Source`."""
    if name not in _published_models():
        return ["DEFAULT"] if name in MADE_HERE else []
    return list(torchvision.models.get_model_weights(name).__members__)


def published(name: str, weights: str) -> str:
    """See `Source`."""
    return str(torchvision.models.get_model_weights(name)[weights])


def origin(name: str, weights: str | None) -> str:
    """See `Source`."""
    return str(torchvision.models.get_model_weights(name)[weights or "DEFAULT"].url)


def preprocessing(name: str, args: Mapping[str, Any], weights: str | None) -> Preprocessing:
    """See `Source`."""
    if name not in _published_models():
        return Preprocessing().at(_IMAGE_SIZES.get(name))
    known = torchvision.models.get_model_weights(name)
    expected = known["DEFAULT" if weights is None else weights].transforms()
    return Preprocessing(
        mean=tuple(expected.mean),
        std=tuple(expected.std),
        image_size=expected.crop_size[0],
        resize_size=expected.resize_size[0],
        interpolation=expected.interpolation.value,
    ).at(args.get("image_size"))


def _published_models() -> list[str]:
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names
