"""timm's networks: ``timm/resnet10t``, or with the tag of its weights, ``timm/resnet10t.c3_in1k``.

Published weights are ``DEFAULT`` (those of the tag, else timm's first) or a tag.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from optuna_layerwise.models.sources.arguments import Defaults, defaults_in
from optuna_layerwise.models.sources.source import Preprocessing, extra, unknown

_ALSO = ("bn_eps", "bn_momentum", "drop_connect_rate", "img_size", "in_chans", "output_stride")
"""Arguments that timm takes out of ``**kwargs``."""


def check(name: str) -> None:
    """See `Source`."""
    timm = extra("timm")
    if not timm.is_model(name):
        raise unknown(name, timm.list_models(), prefix="timm/")


def arguments(name: str) -> Defaults | None:
    """See `Source`; of all of timm, since its networks hand arguments to each other's code."""
    return _arguments()


@functools.cache
def _arguments() -> Defaults:
    extra("timm")
    modules = [m for name, m in sys.modules.items() if name.startswith("timm.models.")]
    return {**dict.fromkeys(_ALSO, ()), **defaults_in(*modules)}


def takes_texts(name: str) -> bool:
    """See `Source`."""
    return False


def tokenizer(name: str) -> tuple[str, int]:
    """See `Source`."""
    raise ValueError(f"{name} takes images, and has no tokenizer")


def build(name: str, args: Mapping[str, Any], weights: str | None, num_classes: int) -> nn.Module:
    """See `Source`."""
    full = name if weights is None else published(name, weights)
    model: nn.Module = extra("timm").create_model(
        full, pretrained=weights is not None, num_classes=num_classes, **args
    )
    return model


def known_weights(name: str) -> Sequence[str]:
    """See `Source`."""
    architecture = name.partition(".")[0]
    found = extra("timm").list_pretrained(f"{architecture}.*")
    return ["DEFAULT", *(full.partition(".")[2] for full in found)] if found else []


def published(name: str, weights: str) -> str:
    """See `Source`."""
    architecture, _, tag = name.partition(".")
    if weights == "DEFAULT":
        weights = tag or extra("timm").get_pretrained_cfg(name).tag
    return f"{architecture}.{weights}"


def origin(name: str, weights: str | None) -> str:
    """See `Source`."""
    config = extra("timm").get_pretrained_cfg(
        name if weights is None else published(name, weights)
    )
    return f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else str(config.url)


def preprocessing(name: str, args: Mapping[str, Any], weights: str | None) -> Preprocessing:
    """See `Source`."""
    full = name if weights is None else published(name, weights)
    config = extra("timm").get_pretrained_cfg(full)
    size = config.input_size[-1]
    return Preprocessing(
        mean=tuple(config.mean),
        std=tuple(config.std),
        image_size=size,
        resize_size=math.floor(size / config.crop_pct),
        interpolation=config.interpolation,
    ).at(args.get("img_size"))
