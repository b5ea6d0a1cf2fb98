"""A network to load saved weights into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from optuna_layerwise.models.own_model import OWN
from optuna_layerwise.models.sources import transformers
from optuna_layerwise.models.spec import ModelSpec


def rebuilt(
    name: str, args: Mapping[str, Any], config: Mapping[str, Any], num_classes: int
) -> nn.Module:
    """A network with random weights, built as it was for its training; nothing is downloaded.

    Args:
        name: As `ModelSpec.name`.
        args: As `ModelSpec.all_args`.
        config: The whole configuration of a network of transformers; empty for all others.
        num_classes: The number of its outputs.

    Raises:
        ValueError: if the network is unknown, its package is not installed, or it does not take
            the arguments.
    """
    if name.startswith(OWN):
        raise ValueError(
            f"these are weights of a network of your own, {name.removeprefix(OWN)!r}, which only "
            "you can build: say what makes it, as load_exported(file, build=...)"
        )
    if config:
        return transformers.from_config(config, num_classes)
    spec = ModelSpec(
        name=name, args=args, weights=None, mean=(0, 0, 0), std=(1, 1, 1), image_size=1
    )
    return spec.build(num_classes)
