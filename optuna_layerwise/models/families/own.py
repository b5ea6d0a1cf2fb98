"""The blocks of this package's own networks that are not simply their children."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from optuna_layerwise.models.families.paths import Depth, Family, Paths, expanded


def resnet20(model: nn.Module, depth: Depth) -> Paths:
    """The stem, each ``layer`` or each of its residual blocks, and ``linear``."""
    paths: Paths = {"stem": ["conv1", "bn1"]}
    for stage in ("layer1", "layer2", "layer3"):
        paths |= {stage: [stage]} if depth == "stage" else expanded(model, stage)
    return {**paths, "head": ["linear"]}


FAMILIES: Mapping[str, Family] = {"optuna_layerwise.models.resnet20.ResNet20": resnet20}
